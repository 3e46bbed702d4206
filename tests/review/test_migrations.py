"""Tables come to be by migrations alone, and are those that the code knows."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import MetaData, inspect, select, text
from sqlalchemy.exc import IntegrityError

from leukoscope.errors import UsageError
from leukoscope.review.store.database import Database
from leukoscope.review.store.migrate import config, migrate
from leukoscope.review.store.tables import Base, Cell, Image, Job

NOW = datetime(2026, 1, 31, tzinfo=UTC)
OF_BEFORE = {
    "users": {"user_id": 1, "username": "ada", "full_name": "Ada", "role": "signer", "password_hash": "x"}
    | {"created_at": NOW, "num_failures": 0, "preferences": {}},
    "teams": {"team_id": 1, "name": "Laboratory", "created_at": NOW},
    "bundles": {"bundle_id": "b", "name": "starter", "demonstration": True, "added_at": NOW},
    "cases": {"case_id": 1, "team_id": 1, "subject_id": "P-1", "specimen": "", "priority": "routine"}
    | {"state": "to review", "bundle_id": "b", "operating_point": "x", "created_by": 1, "created_at": NOW}
    | {"changed_at": NOW, "version": 1},
    "images": {"image_id": 1, "case_id": 1, "name": "cell.bmp", "num_bytes": 1, "received_sha256": "0" * 64}
    | {"stored_sha256": "1" * 64, "received_by": 1, "received_at": NOW},
    "jobs": {"job_id": 1, "case_id": 1, "state": "done", "num_done": 1, "num_all": 1, "num_attempts": 0}
    | {"created_at": NOW},
    "cells": {"cell_id": 1, "case_id": 1, "image_id": 1, "position": 1, "photograph": ""}
    | {"model_decision": "blast", "decision": "blast", "row": {}},
}
"""A row of each of these tables as step 0001 has them."""


def test_migrations_make_the_tables_of_the_code(database):
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_a_second_start_changes_nothing(database):
    with database.write() as session:
        session.execute(text("UPDATE audit_head SET number = 0"))
    migrate(database)


def test_steps_can_be_taken_back(database):
    with database.engine.execution_options(writing=True).begin() as connection:
        command.downgrade(config(connection), "base")
    assert set(inspect(database.engine).get_table_names()) <= {"alembic_version"}
    migrate(database)


def test_a_room_of_before_there_were_photographs_keeps_its_cells(url):
    opened = Database(url)
    with opened.engine.execution_options(writing=True).begin() as connection:
        command.upgrade(config(connection), "0001")
        tables = MetaData()
        tables.reflect(connection)
        for name, row in OF_BEFORE.items():
            connection.execute(tables.tables[name].insert().values(row))
    migrate(opened)
    with opened.read() as session:
        image, cell, job = (session.scalars(select(kind)).one() for kind in (Image, Cell, Job))
        assert (image.kind, cell.apart, cell.image_id) == ("cell", "", image.image_id)
        assert (job.num_done, job.num_photographs) == (1, 0)
    with opened.write() as session:
        session.get_one(Image, 1).kind = "photograph"
    with pytest.raises(IntegrityError), opened.write() as session:
        session.get_one(Image, 1).kind = "drawing"
    with opened.engine.execution_options(writing=True).begin() as connection:
        command.downgrade(config(connection), "0001")
        assert connection.execute(text("SELECT name FROM images WHERE image_id = 1")).scalar() == "cell.bmp"
    opened.close()


def test_tables_of_a_newer_leukoscope_are_left_alone(database):
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(UsageError, match="step 9999"):
        migrate(database)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("nonsense", "expected a database URL"),
        ("mysql://localhost/x", "expected SQLite or PostgreSQL"),
        ("sqlite://", "in memory would lose"),
        ("postgresql+psycopg://nobody:secret@127.0.0.1:1/none", "127.0.0.1"),
    ],
)
def test_a_database_that_cannot_be_is_one_clear_line(address, said):
    with pytest.raises(UsageError, match=said) as caught:
        Database(address)
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)
