"""Requests that nobody thought of, made from the API's description: no 5xx, nothing that it does not say."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import schemathesis
from fastapi.testclient import TestClient
from tests.review import conftest
from tests.review.programs import ADDRESS, make, send, serving

from leukoscope.review.app import create_app
from leukoscope.review.auth import tokens
from leukoscope.review.auth.rights import RIGHTS
from leukoscope.review.settings import ServerSettings
from leukoscope.review.store.tables import Team, User

NOT_SAID = ["412", "422"]
"""What a well-formed request may be answered, too: the room's own rules are in no schema."""


def config(num_examples: int, unexpected_methods: Sequence[str]) -> schemathesis.Config:
    """The same requests each time; all checks but those that only a run over the network can do."""
    said = ["2xx", "3xx", "401", "403", "404", "409", *NOT_SAID]
    generation = {"max-examples": num_examples, "deterministic": True, "database": "none", "no-shrink": True}
    return schemathesis.Config.from_dict(
        {
            "seed": 1,
            "generation": generation,
            "checks": {"positive_data_acceptance": {"expected-statuses": said}},
            "phases": {"coverage": {"unexpected-methods": list(unexpected_methods)}},
            "suppress-health-check": ["all"],
        }
    )


@pytest.fixture(scope="module")
def quick():
    with pytest.MonkeyPatch.context() as patch:
        conftest.quick_passwords.__wrapped__(patch)
        yield


@pytest.fixture(scope="module")
def served(tmp_path_factory, tiny_bundle, tiny_cohort, quick):
    """A room with a case to review, one that was signed, and an empty one."""
    with serving(tmp_path_factory.mktemp("generated") / "room", tiny_bundle) as opened:
        cells = [(path.name, path.read_bytes()) for path in sorted(tiny_cohort.rglob("UID_*.bmp"))[:12]]
        client = TestClient(opened.app, base_url=ADDRESS, headers=opened.key())
        for _ in range(2):
            address = make(client)
            assert send(client, address, cells).status_code == 200 and opened.room.worker.work_once()
        client.post(f"{address}/decisions", json={"cell_ids": [13, 14], "decision": "blast"})
        for tab in ("blast", "normal", "indeterminate"):
            client.post(f"{address}/approvals", json={"tab": tab})
        assert client.post(f"{address}/signature", json={"password": conftest.PASSWORD}).status_code == 201
        make(client)
        opened.room.worker.start()
        opened.app.router.lifespan_context = opened_already
        yield opened


KEYS: dict[str, dict[str, str]] = {}


def key_for(served, case) -> dict[str, str]:
    """A key of somebody who may; a new one where what was asked before has ended it or closed the account."""
    needs = case.operation.definition.raw.get("security", [{}])[0].get("key", [])
    name, role = ("ada", "administrator") if {"administer", "audit"} & set(needs) else ("sam", "signer")
    with served.room.database.read() as session:
        text = KEYS.get(name, {}).get("Authorization", "").removeprefix("Bearer ")
        actor = tokens.actor_of(session, text)
        if actor is not None and actor.rights == RIGHTS[role] and 1 in actor.team_ids:
            return KEYS[name]
    with served.room.database.write() as session:
        user = session.query(User).filter_by(username=name).one()
        user.role, user.disabled_at, user.locked_until = role, None, None
        user.teams = session.query(Team).filter_by(team_id=1).all()
    KEYS[name] = served.key(name)
    return KEYS[name]


def schema(num_examples: int, *unexpected_methods: str) -> schemathesis.BaseSchema:
    """The description, which needs no room."""
    room = SimpleNamespace(settings=ServerSettings(data_dir=Path("nowhere")))
    return schemathesis.openapi.from_dict(
        create_app(room).openapi(), config=config(num_examples, unexpected_methods)
    )


@asynccontextmanager
async def opened_already(_app):
    """Neither a beginning nor an end: each test would open the room again, which opens once."""
    yield


def check(case, served) -> None:
    """Ask the room, and hold its answer against the description."""
    case.operation.app = case.operation.schema.app = served.app
    case.call_and_validate(headers=key_for(served, case), base_url=ADDRESS)


quickly, for_long = schema(3, "PUT"), schema(150, "PUT", "DELETE", "PATCH", "TRACE", "OPTIONS")


def test_the_description_is_openapi_3_1():
    quickly.validate()
    assert quickly.raw_schema["openapi"].startswith("3.1")


@quickly.parametrize()
def test_no_request_breaks_what_the_api_says(case, served):
    check(case, served)


@pytest.mark.slow
@for_long.parametrize()
def test_no_request_of_many_breaks_what_the_api_says(case, served):
    check(case, served)
