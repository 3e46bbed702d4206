"""A room of its own for each test: on SQLite, and on PostgreSQL where LEUKOSCOPE_POSTGRES names a server."""

from __future__ import annotations

import os
import uuid
from types import SimpleNamespace

import pytest
from argon2 import PasswordHasher

from leukoscope.review.auth import passwords
from leukoscope.review.auth.accounts import accept, invite, invite_first
from leukoscope.review.auth.rights import Actor
from leukoscope.review.services.bundles import Bundles
from leukoscope.review.services.cases import make_case
from leukoscope.review.services.intake import add_images
from leukoscope.review.services.jobs import Worker
from leukoscope.review.services.uploads import UploadLimits, receive
from leukoscope.review.store.database import Database
from leukoscope.review.store.images import ImageStore
from leukoscope.review.store.migrate import migrate


@pytest.fixture(autouse=True)
def quick_passwords(monkeypatch):
    """Hashes of a thousandth of the cost: what is tested is not how long Argon2 takes."""
    monkeypatch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
    passwords._nobodys.cache_clear()


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


@pytest.fixture
def room(database, administrator, tmp_path, tiny_bundle):
    """A room with one bundle, an administrator, a signer, and a worker that works when it is told to."""
    return make_room(database, administrator, tmp_path, tiny_bundle)


def make_room(database, administrator, folder, bundle) -> SimpleNamespace:
    images, bundles = ImageStore(folder / "images"), Bundles(folder / "bundles")
    with database.write() as session:
        stored = bundles.add(session, bundle)
        token = invite(session, administrator, "signer", list(administrator.team_ids)).token
    with database.write() as session:
        signer = accept(session, token, username="sam", full_name="Sam S.", password=PASSWORD)
    point = bundles.open(stored.bundle_id).info.operating_points[0].name
    return SimpleNamespace(
        database=database,
        images=images,
        bundles=bundles,
        bundle=stored,
        point=point,
        administrator=administrator,
        signer=Actor.of(signer),
        worker=Worker(database, bundles, images),
    )


def new_case(room, **fields) -> int:
    wanted = {"subject_id": "P-17", "team_id": next(iter(room.signer.team_ids)), **fields}
    with room.database.write() as session:
        made = make_case(session, room.signer, bundle=room.bundle, operating_point=room.point, **wanted)
        return made.case_id


def upload(room, case_id, files) -> list:
    """Put files (name, bytes) into a case."""
    received = [receive(name, data, room.images, UploadLimits()) for name, data in files]
    with room.database.write() as session:
        return add_images(session, room.signer, case_id, received)


@pytest.fixture
def cells(tiny_cohort) -> list[tuple[str, bytes]]:
    """Names and bytes of 12 synthetic cells."""
    return [(path.name, path.read_bytes()) for path in sorted(tiny_cohort.rglob("UID_*.bmp"))[:12]]


@pytest.fixture
def read_case(room, cells) -> int:
    """A case whose cells have been read."""
    case_id = new_case(room)
    upload(room, case_id, cells)
    assert room.worker.work_once()
    return case_id
