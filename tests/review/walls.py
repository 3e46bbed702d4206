"""Every route of the room, whoever adds it, and people who try them: one may, others may not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import product
from typing import Any, NamedTuple

from fastapi.testclient import TestClient
from sqlalchemy import select
from starlette.routing import Mount
from tests.review.conftest import PASSWORD
from tests.review.test_photographs import field

from leukoscope.review.app import create_app
from leukoscope.review.auth.accounts import accept, invite, set_account
from leukoscope.review.auth.rights import Actor
from leukoscope.review.auth.tokens import issue
from leukoscope.review.room import Room
from leukoscope.review.services.decisions import approve
from leukoscope.review.services.jobs import Worker
from leukoscope.review.services.signing import sign
from leukoscope.review.settings import ServerSettings
from leukoscope.review.store.tables import Cell, Decision, Image, Job, Photograph, Signature, Team, User

SAFE = {"GET", "HEAD", "OPTIONS"}
SECRET = "P-LEAK-17"
"""A pseudonym that must stand on no page for others."""

DOORS = ("/sign-in", "/join/{token}", "/reset/{token}")
PUBLIC = (*DOORS, "/api/v1/openapi.json", "/api/v1/docs", "/api/v1/health")
"""What anybody at the address may ask for."""


FIELDS = {
    "decision": "normal",
    "tab": "blast",
    "password": "no such password here",
    "why": "a reason of some words",
    "reason": "a reason of some words",
}
"""What the forms and bodies of the room ask for: so much of it that a request gets as far as the case."""


class Route(NamedTuple):
    """A method at a path, as ``/cases/{case_id}``."""

    method: str
    path: str

    @property
    def parameters(self) -> list[str]:
        """The names in its path."""
        return re.findall(r"{(\w+)", self.path)

    @property
    def is_of_a_program(self) -> bool:
        """Whether it is asked with a key instead of a cookie."""
        return self.path.startswith("/api/")


def routes_of(app: Any, prefix: str = "") -> Iterator[Route]:
    """All of an application, those of its routers with it."""
    for found in app.routes:
        if isinstance(found, Mount):
            continue
        if inner := getattr(found, "original_router", None):
            yield from routes_of(inner, prefix + found.include_context.prefix)
        else:
            yield from (Route(method, prefix + found.path) for method in sorted(found.methods - {"HEAD"}))


class Walls:
    """A room with a case that was read, reviewed and signed, and people inside and outside of its team.

    ``signer`` belongs to the team, ``stranger`` is a signer of another, ``administrator`` is in no team.
    """

    def __init__(self, folder, bundle, cells) -> None:
        self.room = Room(ServerSettings(data_dir=folder / "room"), bundle)
        self.app = create_app(self.room)
        self.routes = sorted(set(routes_of(self.app)))
        self.clients, self.words, self.keys = {"nobody": self._client()}, {"nobody": ""}, {"nobody": ""}
        self._join("administrator", self.room.first_link())
        with self.room.database.write() as session:
            session.add(Team(name="Elsewhere"))
            session.flush()
            ada = Actor.of(session.scalars(select(User)).one())
            teams = {team.name: team.team_id for team in session.scalars(select(Team))}
            links = {
                "signer": invite(session, ada, "signer", [teams["Laboratory"]]).token,
                "stranger": invite(session, ada, "signer", [teams["Elsewhere"]]).token,
            }
            set_account(session, ada, ada.user_id, team_ids=[])
        for name, link in links.items():
            self._join(name, link)
        self.ids = self._case(teams["Laboratory"], cells)

    def close(self) -> None:
        self.room.close()

    def _client(self) -> TestClient:
        return TestClient(self.app, base_url="http://127.0.0.1", follow_redirects=False)

    def _join(self, name: str, link: str) -> None:
        with self.room.database.write() as session:
            user = accept(session, link, username=name, full_name=name.title(), password=PASSWORD)
        client = self.clients[name] = self._client()
        assert client.post("/sign-in", data={"username": name, "password": PASSWORD}).status_code == 303
        self.words[name] = re.search(r'data-csrf="([^"]+)"', client.get("/").text)[1]
        with self.room.database.write() as session:
            actor = Actor.of(session.get(User, user.user_id))
            self.keys[name] = issue(session, actor, "robot", sorted(actor.rights)).text

    def _case(self, team_id: int, cells) -> dict[str, list[str]]:
        client, word = self.clients["signer"], {"X-CSRF-Token": self.words["signer"]}
        made = client.post("/cases", data={"subject_id": SECRET, "team_id": team_id}, headers=word)
        address = made.headers["location"]
        files = [("files", cell) for cell in cells]
        assert client.post(f"{address}/files", files=files, headers=word).status_code == 200
        smear, said = [("files", ("field.png", field()))], {"kind": "photographs"}
        assert client.post(f"{address}/files", files=smear, data=said, headers=word).status_code == 200
        assert Worker(self.room.database, self.room.bundles, self.room.images).work_once()
        case_id = int(address.rpartition("/")[2])
        with self.room.database.write() as session:
            user = session.scalars(select(User).where(User.username == "signer")).one()
            actor = Actor.of(user)
            for tab in ("blast", "normal", "indeterminate", "rejected"):
                approve(session, actor, case_id, tab)
            bundle = self.room.bundles.open(self.room.bundle_id)
            sign(session, actor, case_id, bundle, confirmed=user)
        with self.room.database.read() as session:
            image = session.scalars(select(Image)).first()
            self.image = image
            decision = session.scalars(select(Decision)).first()
            return {
                "case_id": [str(case_id)],
                "cell_id": [str(session.scalars(select(Cell.cell_id)).first())],
                "image_id": [str(image.image_id)],
                "photograph_id": [str(session.scalars(select(Photograph.photograph_id)).one())],
                "sha256": [image.stored_sha256],
                "job_id": [str(session.scalars(select(Job.job_id)).first())],
                "signature_id": [str(session.scalars(select(Signature.signature_id)).first())],
                "number": ["1"],
                "action_id": [decision.action_id],
                "form": ["png", "webp", "pdf", "html", "json"],
                "format": ["pdf", "html", "json"],
            }

    def addresses(self, route: Route, **instead: str) -> list[str]:
        """The addresses of a route with real ids in it, ``instead`` of some others."""
        known = self.ids | {name: [value] for name, value in instead.items()}
        choices = [known.get(name, ["1"]) for name in route.parameters]
        return [
            re.sub(r"{\w+(:\w+)?}", lambda _, left=list(values): left.pop(0), route.path)
            for values in product(*choices)
        ]

    def ask(self, name: str, route: Route, address: str, *, with_word: bool = True):
        """Send a request as one of the people, with fields that forms of the room have."""
        headers = {}
        if route.is_of_a_program:
            headers["Authorization"] = f"Bearer {self.keys[name]}"
        elif with_word:
            headers["X-CSRF-Token"] = self.words[name]
        if route.method in SAFE:
            wanted = {"tab": "blast", "version": "0"}
            if route.is_of_a_program:
                wanted = {name: value for name, value in wanted.items() if name in self._asked(route)}
            return self.clients[name].request(route.method, address, headers=headers, params=wanted)
        body = FIELDS | {"cell_ids": [int(self.ids["cell_id"][0])]}
        if route.is_of_a_program and "files" not in route.path:
            known = self._properties(route)
            body = {name: value for name, value in body.items() if name in known}
            return self.clients[name].request(route.method, address, headers=headers, json=body)
        files = {"files": ("x.bmp", b"BM", "image/bmp")} if "files" in route.path else None
        return self.clients[name].request(route.method, address, headers=headers, data=body, files=files)

    def _asked(self, route: Route) -> set[str]:
        """The words that the address of a program's request may ask with."""
        operation = self.app.openapi()["paths"].get(route.path, {}).get(route.method.lower(), {})
        return {one["name"] for one in operation.get("parameters", []) if one["in"] == "query"}

    def _properties(self, route: Route) -> set[str]:
        """What the body of a program's request may hold."""
        schema = self.app.openapi()
        told = schema["paths"].get(route.path, {}).get(route.method.lower(), {}).get("requestBody", {})
        kinds = re.findall(r"#/components/schemas/(\w+)", json.dumps(told))
        return {name for kind in kinds for name in schema["components"]["schemas"][kind]["properties"]}


class Inline(HTMLParser):
    """What of a page a strict policy would not run, and what must therefore not be there."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self._script = False
        self.feed(text)

    def handle_starttag(self, tag, attrs) -> None:
        self._script = tag == "script"
        if tag == "style" or (tag == "script" and not dict(attrs).get("src", "").startswith("/static/")):
            self.found.append(f"<{tag}>")
        for name, value in attrs:
            if name == "style" or name.startswith(("on", "hx-on")):
                self.found.append(f"<{tag} {name}>")
            if (value or "").lower().lstrip().startswith(("javascript:", "data:", "http:", "https:", "//")):
                self.found.append(f"<{tag} {name}={value}>")

    def handle_endtag(self, tag) -> None:
        self._script = False

    def handle_data(self, data) -> None:
        if self._script and data.strip():
            self.found.append(f"script: {data[:40]}")
