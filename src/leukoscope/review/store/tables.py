"""The tables of the review room, in SQLAlchemy's typed way; SQLite and PostgreSQL alike.

Times are UTC. Hashes are SHA-256 in hexadecimal. A password, a session, a token and an invitation are kept as
hashes only, so that a copy of the database opens no door.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Date,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

ROLES = ("reader", "signer", "administrator")
STATES = ("new", "running", "to review", "to sign", "signed")
PRIORITIES = ("routine", "urgent")
DECISIONS = ("blast", "normal", "indeterminate", "rejected")
"""What a cell can be called: the model's three, and what a person throws out as no cell to be judged."""
JOB_STATES = ("queued", "running", "done", "failed", "cancelled")
IMAGE_KINDS = ("cell", "photograph", "cut")
"""A picture of one cell and a photograph of a smear came as files; what was cut out of one did not."""
APART = ("not lymphoid", "not single")
"""Why an indeterminate cell of a photograph is counted by itself; empty for all other cells."""

Key = BigInteger().with_variant(Integer, "sqlite")
"""Whole numbers that count up; SQLite does so for plain integers only."""


class UtcTime(TypeDecorator[datetime]):
    """A moment in UTC; SQLite, which knows no zones, keeps it without."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Into the database."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"expected a time with its zone. Received: {value!r}")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Out of it."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def utc_now() -> datetime:
    """This moment."""
    return datetime.now(UTC)


def _one_of(column: str, values: tuple[str, ...]) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


class Base(DeclarativeBase):
    """Base of all tables; constraints have names, so that a migration can change them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UtcTime,
        date: Date,
        dict[str, Any]: JSON,
        list[str]: JSON,
        int: Key,
    }


class Setting(Base):
    """What the administrator sets for the whole laboratory."""

    __tablename__ = "settings"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[Any] = mapped_column(JSON)


class User(Base):
    """An account. ``username`` is in lower case; nobody is ever deleted, for the trail names them."""

    __tablename__ = "users"
    __table_args__ = (_one_of("role", ROLES),)

    user_id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(String(64), unique=True)
    full_name: Mapped[str] = mapped_column(String(200))
    role: Mapped[str] = mapped_column(String(16))
    password_hash: Mapped[str] = mapped_column(String(256))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    disabled_at: Mapped[datetime | None]
    seen_at: Mapped[datetime | None]
    num_failures: Mapped[int] = mapped_column(default=0)
    locked_until: Mapped[datetime | None]
    preferences: Mapped[dict[str, Any]] = mapped_column(default=dict)
    teams: Mapped[list[Team]] = relationship(secondary="memberships", order_by="Team.name")


class Team(Base):
    """Whose cases are whose: a person sees the cases of the teams that they belong to, and no other."""

    __tablename__ = "teams"

    team_id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class Membership(Base):
    """Who belongs to which team."""

    __tablename__ = "memberships"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.user_id"), primary_key=True)
    team_id: Mapped[int] = mapped_column(ForeignKey("teams.team_id"), primary_key=True)


class Invitation(Base):
    """A link that makes one account, once; with ``user_id`` it gives that account another password instead.

    ``for_whom`` is a note for whoever looks after the open ones.
    """

    __tablename__ = "invitations"
    __table_args__ = (_one_of("role", ROLES),)

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    role: Mapped[str] = mapped_column(String(16))
    team_ids: Mapped[list[int]] = mapped_column(JSON, default=list)
    for_whom: Mapped[str] = mapped_column(String(200), default="")
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.user_id"))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    user: Mapped[User | None] = relationship()


class LoginSession(Base):
    """A browser that is signed in; ``csrf_token`` goes into its forms."""

    __tablename__ = "sessions"

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.user_id"), index=True)
    csrf_token: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    seen_at: Mapped[datetime] = mapped_column(default=utc_now)
    expires_at: Mapped[datetime]
    user: Mapped[User] = relationship()


class ApiToken(Base):
    """A key for programs, with the scopes that it opens."""

    __tablename__ = "api_tokens"

    token_id: Mapped[int] = mapped_column(primary_key=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.user_id"), index=True)
    name: Mapped[str] = mapped_column(String(100))
    scopes: Mapped[list[str]]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    user: Mapped[User] = relationship()


class StoredBundle(Base):
    """A bundle that cases were read with; its files lie in the data folder for good."""

    __tablename__ = "bundles"

    bundle_id: Mapped[str] = mapped_column(String(16), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    demonstration: Mapped[bool]
    added_at: Mapped[datetime] = mapped_column(default=utc_now)


class Case(Base):
    """One specimen of one subject. ``version`` counts changes, so that nobody overwrites unseen ones."""

    __tablename__ = "cases"
    __table_args__ = (
        _one_of("state", STATES),
        _one_of("priority", PRIORITIES),
        Index("ix_cases_worklist", "team_id", "state", "priority", "created_at"),
    )

    case_id: Mapped[int] = mapped_column(primary_key=True)
    team_id: Mapped[int] = mapped_column(ForeignKey("teams.team_id"))
    subject_id: Mapped[str] = mapped_column(String(64), index=True)
    specimen: Mapped[str] = mapped_column(String(100), default="")
    taken_on: Mapped[date | None]
    priority: Mapped[str] = mapped_column(String(16), default="routine")
    state: Mapped[str] = mapped_column(String(16), default="new")
    bundle_id: Mapped[str] = mapped_column(ForeignKey("bundles.bundle_id"))
    operating_point: Mapped[str] = mapped_column(String(64))
    created_by: Mapped[int] = mapped_column(ForeignKey("users.user_id"))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    changed_at: Mapped[datetime] = mapped_column(default=utc_now)
    version: Mapped[int] = mapped_column(default=1)

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - as SQLAlchemy declares it


class Image(Base):
    """A file as it was received, and the copy without loss that everything downstream reads.

    ``reason`` says why a file was not taken; it then has no ``stored_sha256``. Of what was cut out of a
    photograph, ``num_bytes`` and ``received_*`` are those of the photograph.
    """

    __tablename__ = "images"
    __table_args__ = (
        _one_of("kind", IMAGE_KINDS),
        Index("ix_images_case_received", "case_id", "received_sha256"),
        Index("ix_images_case_stored", "case_id", "stored_sha256"),
    )

    image_id: Mapped[int] = mapped_column(primary_key=True)
    case_id: Mapped[int] = mapped_column(ForeignKey("cases.case_id"))
    kind: Mapped[str] = mapped_column(String(16), default="cell")
    name: Mapped[str] = mapped_column(String(512))
    num_bytes: Mapped[int]
    received_sha256: Mapped[str] = mapped_column(String(64))
    stored_sha256: Mapped[str | None] = mapped_column(String(64))
    width: Mapped[int | None]
    height: Mapped[int | None]
    reason: Mapped[str | None] = mapped_column(Text)
    received_by: Mapped[int] = mapped_column(ForeignKey("users.user_id"))
    received_at: Mapped[datetime] = mapped_column(default=utc_now)


class Photograph(Base):
    """What is known of an image that is a photograph of a smear.

    ``name`` is how its cells name it, once in a case. ``settings`` are those that it is read with, for good:
    fields of :class:`~leukoscope.cohort.smears.SmearSettings`, all of them once it was read. ``read_at`` is
    when its cells were found, empty before; ``flags`` is how often each was given then, also of what is no
    cell; ``problem`` why nothing could be found in it.
    """

    __tablename__ = "photographs"
    __table_args__ = (UniqueConstraint("case_id", "name"),)

    photograph_id: Mapped[int] = mapped_column(ForeignKey("images.image_id"), primary_key=True)
    case_id: Mapped[int] = mapped_column(ForeignKey("cases.case_id"))
    name: Mapped[str] = mapped_column(String(512))
    settings: Mapped[dict[str, Any]]
    micrometres_per_pixel: Mapped[float | None]
    scale_source: Mapped[str | None] = mapped_column(String(32))
    num_red_cells: Mapped[int] = mapped_column(default=0)
    num_cells: Mapped[int] = mapped_column(default=0)
    flags: Mapped[dict[str, Any]] = mapped_column(default=dict)
    problem: Mapped[str | None] = mapped_column(Text)
    read_at: Mapped[datetime | None]
    image: Mapped[Image] = relationship()


class Cut(Base):
    """Where in its photograph an image was cut out: box and outline in pixels of the photograph."""

    __tablename__ = "cuts"
    __table_args__ = (UniqueConstraint("photograph_id", "number"),)

    image_id: Mapped[int] = mapped_column(ForeignKey("images.image_id"), primary_key=True)
    photograph_id: Mapped[int] = mapped_column(ForeignKey("photographs.photograph_id"))
    number: Mapped[int]
    box: Mapped[list[int]] = mapped_column(JSON)
    outline: Mapped[list[list[int]]] = mapped_column(JSON)
    flags: Mapped[str] = mapped_column(String(128), default="")
    photograph: Mapped[Photograph] = relationship()
    image: Mapped[Image] = relationship()


class Cell(Base):
    """A cell, what the model said of it, and what it is called now.

    ``row`` is the row of the prediction table as it was first written. ``model_decision`` is never changed;
    ``decision`` is what stands after review, ``reviewed_at`` when a person looked. ``apart`` says that the
    cell, as long as it is called indeterminate, is counted by itself.
    """

    __tablename__ = "cells"
    __table_args__ = (
        _one_of("decision", DECISIONS),
        UniqueConstraint("case_id", "position"),
        Index("ix_cells_gallery", "case_id", "decision", "blast_probability"),
        # What is counted at each step of a review, without reading the rows that are wide.
        Index(
            "ix_cells_counted", "case_id", "decision", "reviewed_at", "model_decision", "photograph", "apart"
        ),
    )

    cell_id: Mapped[int] = mapped_column(primary_key=True)
    case_id: Mapped[int] = mapped_column(ForeignKey("cases.case_id"))
    image_id: Mapped[int] = mapped_column(ForeignKey("images.image_id"), index=True)
    position: Mapped[int]
    photograph: Mapped[str] = mapped_column(String(512), default="")
    model_decision: Mapped[str] = mapped_column(String(16))
    decision: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(Text)
    apart: Mapped[str] = mapped_column(String(16), default="")
    blast_probability: Mapped[float | None]
    row: Mapped[dict[str, Any]]
    reviewed_by: Mapped[int | None] = mapped_column(ForeignKey("users.user_id"))
    reviewed_at: Mapped[datetime | None]


class Decision(Base):
    """One step in the history of a cell. What was done to several cells at once shares an ``action_id``.

    ``before``, ``before_by`` and ``before_at`` are what the cell had as ``decision``, ``reviewed_by`` and
    ``reviewed_at`` before it; ``is_undone`` says that it was taken back since.
    """

    __tablename__ = "decisions"
    __table_args__ = (
        _one_of("decision", DECISIONS),
        Index("ix_decisions_action", "action_id"),
        Index("ix_decisions_last", "case_id", "user_id", "decision_id"),
    )

    decision_id: Mapped[int] = mapped_column(primary_key=True)
    case_id: Mapped[int] = mapped_column(ForeignKey("cases.case_id"))
    cell_id: Mapped[int] = mapped_column(ForeignKey("cells.cell_id"), index=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.user_id"))
    action_id: Mapped[str] = mapped_column(String(32))
    kind: Mapped[str] = mapped_column(String(16))
    before: Mapped[str] = mapped_column(String(16))
    before_by: Mapped[int | None]
    before_at: Mapped[datetime | None]
    is_undone: Mapped[bool] = mapped_column(default=False)
    decision: Mapped[str] = mapped_column(String(16))
    decided_at: Mapped[datetime] = mapped_column(default=utc_now)


class Job(Base):
    """Work that outlives a request and a restart. Who works on it holds it until ``held_until``.

    ``num_all`` counts cells, those of photographs once they are found; ``num_photographs`` what is to be
    looked through.
    """

    __tablename__ = "jobs"
    __table_args__ = (_one_of("state", JOB_STATES), Index("ix_jobs_waiting", "state", "job_id"))

    job_id: Mapped[int] = mapped_column(primary_key=True)
    case_id: Mapped[int] = mapped_column(ForeignKey("cases.case_id"), index=True)
    state: Mapped[str] = mapped_column(String(16), default="queued")
    num_done: Mapped[int] = mapped_column(default=0)
    num_all: Mapped[int] = mapped_column(default=0)
    num_photographs_done: Mapped[int] = mapped_column(default=0)
    num_photographs: Mapped[int] = mapped_column(default=0)
    num_attempts: Mapped[int] = mapped_column(default=0)
    holder: Mapped[str | None] = mapped_column(String(64))
    held_until: Mapped[datetime | None]
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class Signature(Base):
    """A signed report, kept as it was signed; a reopened case keeps it and says why it was reopened."""

    __tablename__ = "signatures"
    __table_args__ = (UniqueConstraint("case_id", "number"),)

    signature_id: Mapped[int] = mapped_column(primary_key=True)
    case_id: Mapped[int] = mapped_column(ForeignKey("cases.case_id"))
    number: Mapped[int]
    signed_by: Mapped[int] = mapped_column(ForeignKey("users.user_id"))
    signed_at: Mapped[datetime]
    report: Mapped[dict[str, Any]]
    report_sha256: Mapped[str] = mapped_column(String(64))
    audit_hash: Mapped[str] = mapped_column(String(64))
    reopened_by: Mapped[int | None] = mapped_column(ForeignKey("users.user_id"))
    reopened_at: Mapped[datetime | None]
    reopened_why: Mapped[str | None] = mapped_column(Text)


class Answer(Base):
    """What a program was answered under an idempotency key, so that it is answered so again."""

    __tablename__ = "answers"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.user_id"), primary_key=True)
    key: Mapped[str] = mapped_column(String(128), primary_key=True)
    request_sha256: Mapped[str] = mapped_column(String(64))
    status: Mapped[int]
    body: Mapped[Any] = mapped_column(JSON)
    answered_at: Mapped[datetime] = mapped_column(default=utc_now)


class AuditEntry(Base):
    """One link of the trail: ``entry_hash`` covers all that stands here and the hash before it."""

    __tablename__ = "audit"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    written_at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(64))
    case_id: Mapped[int | None] = mapped_column(index=True)
    details: Mapped[dict[str, Any]]
    previous_hash: Mapped[str] = mapped_column(String(64))
    entry_hash: Mapped[str] = mapped_column(String(64), unique=True)


class AuditHead(Base):
    """The end of the trail, one row: who writes an entry locks it."""

    __tablename__ = "audit_head"

    head_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int]
    entry_hash: Mapped[str] = mapped_column(String(64))
