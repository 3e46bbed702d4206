"""A room of its own for each test: on SQLite, and on PostgreSQL where LEUKOSCOPE_POSTGRES names a server."""

from __future__ import annotations

import os
import uuid

import pytest

from leukoscope.review.auth.accounts import accept, invite_first
from leukoscope.review.auth.rights import Actor
from leukoscope.review.store.database import Database
from leukoscope.review.store.migrate import migrate

PASSWORD = "three quiet green apples"


def new_url(kind: str, folder) -> tuple[str, object]:
    """The URL of an empty database, and what to call when it is done with."""
    if kind == "sqlite":
        return f"sqlite:///{folder / 'room.db'}", lambda: None
    server = os.environ.get("LEUKOSCOPE_POSTGRES", "")
    if not server:
        pytest.skip("LEUKOSCOPE_POSTGRES names no PostgreSQL server: nothing was tested on one")
    from sqlalchemy import create_engine, make_url, text

    name = f"leukoscope_{uuid.uuid4().hex[:12]}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))

    def drop() -> None:
        with engine.connect() as connection:
            connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
        engine.dispose()

    return make_url(server).set(database=name).render_as_string(hide_password=False), drop


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request, tmp_path):
    """An empty database."""
    made, drop = new_url(request.param, tmp_path)
    yield made
    drop()


@pytest.fixture
def database(url):
    """A database with its tables."""
    opened = Database(url)
    migrate(opened)
    yield opened
    opened.close()


@pytest.fixture
def administrator(database) -> Actor:
    """The first account."""
    with database.write() as session:
        invited = invite_first(session)
    with database.write() as session:
        user = accept(session, invited.token, username="ada", full_name="Ada L.", password=PASSWORD)
        return Actor.of(user)
