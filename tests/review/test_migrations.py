"""Tables come to be by migrations alone, and are those that the code knows."""

from __future__ import annotations

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text

from leukoscope.errors import UsageError
from leukoscope.review.store.database import Database
from leukoscope.review.store.migrate import config, migrate
from leukoscope.review.store.tables import Base


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
