"""Bring a database's tables to the form that this Leukoscope knows."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, make_url, text

from leukoscope.errors import UsageError
from leukoscope.review.store.database import Database, shown

LOCK = 7_402_653
"""A number of ours for PostgreSQL: two servers that start at once must not both make the tables."""


def migrate(database: Database) -> None:
    """Take every step that is missing, in one transaction.

    Raises:
        UsageError: when a newer Leukoscope made the tables.
    """
    with database.engine.execution_options(writing=True).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        _check_known(connection)
        command.upgrade(config(connection), "head")


def open_existing(url: str) -> Database:
    """A room's database as it is, to be read; nothing is made.

    Raises:
        UsageError: when there is none, or another Leukoscope made its tables.
    """
    parts = make_url(url) if url.startswith("sqlite:") else None
    if parts is not None and parts.database and not Path(parts.database).is_file():
        raise UsageError(
            f"there is no room: {parts.database} is not there", hint="name its --data-dir or --database"
        )
    database = Database(url)
    with database.engine.connect() as connection:
        _check_known(connection)
        if MigrationContext.configure(connection).get_current_revision() != _newest(connection):
            raise UsageError(
                f"{shown(url)} is no room of this Leukoscope, or one of an older version",
                hint="start leukoscope serve on it once: that brings it up to date",
            )
    return database


def _newest(connection: Connection) -> str | None:
    return ScriptDirectory.from_config(config(connection)).get_current_head()


def config(connection: Connection) -> Config:
    """Alembic's settings for the steps beside this file."""
    settings = Config()
    settings.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    settings.set_main_option("file_template", "step_%%(rev)s_%%(slug)s")
    settings.set_main_option("path_separator", "os")
    settings.attributes["connection"] = connection
    return settings


def _check_known(connection: Connection) -> None:
    found = MigrationContext.configure(connection).get_current_revision()
    known = {step.revision for step in ScriptDirectory.from_config(config(connection)).walk_revisions()}
    if found is not None and found not in known:
        raise UsageError(
            f"the database is at step {found}, which this Leukoscope does not know",
            hint="a newer one wrote it: pip install --upgrade leukoscope",
        )
