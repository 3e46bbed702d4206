"""One database by URL: SQLite by default, PostgreSQL for a laboratory; for reading or for writing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from threading import RLock
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.orm import Session

from leukoscope.errors import MissingExtraError, UsageError

MOST_CONNECTIONS = 50
"""More than there are threads that answer, so that none waits for a connection."""

ONE_MOMENT = {"isolation_level": "REPEATABLE READ"}

BUSY_MS = 30_000
"""How long a writer waits for another before it gives up."""


class Database:
    """Sessions on one database.

    Args:
        url: SQLAlchemy's form: ``sqlite:///FILE`` or ``postgresql+psycopg://user:password@host/name``.

    Raises:
        UsageError: for a URL of another kind, or a server that does not answer.
        MissingExtraError: without the program for PostgreSQL.
    """

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)
        self._writing = self.engine.execution_options(writing=True)
        # "One moment" is what SQLite gives a reader anyhow.
        is_file = self.engine.dialect.name == "sqlite"
        self._reading = self.engine if is_file else self.engine.execution_options(**ONE_MOMENT)
        # SQLite's own waiting looks again after up to a tenth of a second; a lock wakes the next at once.
        self._turn: AbstractContextManager[object] = RLock() if is_file else nullcontext()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A view of one moment; what is changed in it is thrown away."""
        with Session(self._reading, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """All or nothing: what was changed is there for good when the block ends well, else none of it.

        Writers come one after another on SQLite; on PostgreSQL those who lock the same rows do.
        """
        with (
            self._turn,
            Session(self._writing, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()


def _engine(url: str) -> Engine:
    try:
        parts = make_url(url)
    except ArgumentError:
        raise UsageError(
            "expected a database URL such as sqlite:///room.db or postgresql+psycopg://user@host/name",
            hint="check --database; its text is not shown here, for it may hold a password",
        ) from None
    if parts.get_backend_name() not in ("sqlite", "postgresql"):
        raise UsageError(
            f"expected SQLite or PostgreSQL. Received: {parts.get_backend_name()}", hint="check --database"
        )
    try:
        if parts.get_backend_name() == "sqlite":
            return _sqlite(url, parts.database)
        engine = create_engine(url, pool_pre_ping=True, pool_size=10, max_overflow=MOST_CONNECTIONS - 10)
        with engine.connect():
            return engine
    except ModuleNotFoundError:
        raise MissingExtraError("PostgreSQL", "postgres") from None
    except NoSuchModuleError:
        raise UsageError(
            f"expected postgresql+psycopg://. Received: {parts.drivername}://", hint="check --database"
        ) from None
    except DBAPIError as error:
        reason = str(error.orig).strip().splitlines()[0] if error.orig else "no answer"
        is_file = parts.get_backend_name() == "sqlite"
        hint = (
            "is it a database, and may this user write there?"
            if is_file
            else "does it run, and is the user right?"
        )
        raise UsageError(f"{shown(url)}: {reason}", hint=hint) from None


def shown(url: str) -> str:
    """A database's URL without its password.

    >>> shown("postgresql+psycopg://ada:secret@db/room")
    'postgresql+psycopg://ada:***@db/room'
    """
    return make_url(url).render_as_string(hide_password=True)


def _sqlite(url: str, file: str | None) -> Engine:
    if not file or file == ":memory:":
        raise UsageError("a database in memory would lose every result", hint="name a file: sqlite:///FILE")
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    # All are kept: what comes beyond a pool is closed after use, and opening one costs more than a query.
    engine = create_engine(url, connect_args={"timeout": BUSY_MS / 1000}, pool_size=MOST_CONNECTIONS)

    @event.listens_for(engine, "connect")
    def _settings(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions begin where _begin says, not where sqlite3 guesses
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_MS}"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writing = connection.get_execution_options().get("writing", False)
        # A writer that began as a reader could find at its first change that it has come too late.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    with engine.connect():
        return engine
