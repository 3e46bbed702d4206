"""A room that programs ask: its people, their keys, and a case whose cells have been read."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.testclient import TestClient
from tests.review.conftest import PASSWORD

from leukoscope.review.app import create_app
from leukoscope.review.auth import tokens
from leukoscope.review.auth.accounts import accept, invite, invite_first
from leukoscope.review.auth.rights import RIGHTS, Actor
from leukoscope.review.room import Room
from leukoscope.review.settings import ServerSettings
from leukoscope.review.store.tables import Team, User

ADDRESS = "http://127.0.0.1"
API = "/api/v1"


class Served:
    """A room with an administrator (ada), a signer (sam), and a guest of another team (eve)."""

    def __init__(self, room: Room) -> None:
        self.room, self.app = room, create_app(room)
        with room.database.write() as session:
            first = invite_first(session).token
        with room.database.write() as session:
            ada = Actor.of(accept(session, first, username="ada", full_name="Ada L.", password=PASSWORD))
            session.add(Team(name="Elsewhere"))
            session.flush()
            elsewhere = session.query(Team).filter_by(name="Elsewhere").one().team_id
            for name, teams in (("sam", list(ada.team_ids)), ("eve", [elsewhere])):
                token = invite(session, ada, "signer", teams).token
                accept(session, token, username=name, full_name=name.title(), password=PASSWORD)

    def key(self, username: str = "sam", scopes: list[str] | None = None) -> dict[str, str]:
        """The header that a program of this person sends; for all that they may where no scope is given."""
        with self.room.database.write() as session:
            user = session.query(User).filter_by(username=username).one()
            wanted = sorted(RIGHTS[user.role]) if scopes is None else scopes
            text = tokens.issue(session, Actor.of(user), "robot", wanted).text
        return {"Authorization": f"Bearer {text}"}


@contextmanager
def serving(folder: Path, bundle: Path | str, url: str = "", **settings: object) -> Iterator[Served]:
    """Such a room; its worker runs while a client is open."""
    room = Room(ServerSettings(data_dir=folder, database=url, **settings), bundle)
    yield Served(room)
    room.close()


@contextmanager
def asking(app: FastAPI, headers: dict[str, str]) -> Iterator[TestClient]:
    """A program with this key."""
    with TestClient(app, base_url=ADDRESS, headers=headers, raise_server_exceptions=False) as client:
        yield client


def make(client: TestClient, **fields: object) -> str:
    """The address of a new case."""
    answer = client.post(f"{API}/cases", json={"subject_id": "P-17", **fields})
    assert answer.status_code == 201, answer.text
    return answer.headers["location"]


def send(client: TestClient, address: str, cells: list[tuple[str, bytes]], **headers: str):
    """The answer to an upload."""
    return client.post(f"{address}/files", files=[("files", cell) for cell in cells], headers=headers)


def wait(client: TestClient, address: str) -> dict:
    """The newest job of a case, ended."""
    while (job := client.get(f"{address}/jobs").json()["items"][0])["state"] in ("queued", "running"):
        time.sleep(0.02)
    return job


def read(client: TestClient, cells: list[tuple[str, bytes]], **fields: object) -> str:
    """The address of a case whose cells have been read."""
    address = make(client, **fields)
    assert send(client, address, cells).status_code == 200
    assert wait(client, address)["state"] == "done"
    return address
