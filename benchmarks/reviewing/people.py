"""People at their browsers: they do what the pages do, a second apart, and note what was acknowledged."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import httpx

from reviewing.server import PASSWORD

TABS = ("blast", "normal", "indeterminate")
LOOK_EVERY = 3.0
"""Seconds between two looks of an open gallery for what others did, as in gallery.js."""
SEEN = 48
"""Tiles that fit on a screen."""
AT_ONCE = 6
"""Requests that a browser has under way at one server."""
STEPS = range(10, 25)
"""Decisions before a person goes back to the worklist."""
THINKING = (0.5, 1.5)

PAGES = ("worklist", "case", "order", "tiles", "standing", "decision", "undo", "cell")
"""What a person waits for; images come behind."""


class Noted:
    """What happened, of all people together."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.errors: list[str] = []
        self.actions: dict[str, set[int]] = {}
        self.num_refused = 0


class Person:
    """One browser, signed in.

    Args:
        address: of the server.
        name: of the account.
        noted: shared by all.
        rng: of this person alone.
    """

    def __init__(self, address: str, name: str, noted: Noted, rng: random.Random) -> None:
        limits = httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE)
        self._client = httpx.AsyncClient(base_url=address, timeout=60, limits=limits)
        self._name, self._noted, self._rng = name, noted, rng
        self._kept: set[str] = set()
        self._word, self._version = "", 0

    async def sign_in(self) -> None:
        answer = await self._client.post("/sign-in", data={"username": self._name, "password": PASSWORD})
        assert answer.status_code == 303, answer.text

    async def close(self) -> None:
        await self._client.aclose()

    async def work(self, case: str, until: float, share: float) -> None:
        """Go to the case again and again, and review what lies at this share of a tab's cells."""
        await asyncio.sleep(self._rng.uniform(0, 2))
        while time.monotonic() < until:
            front = await self._ask("worklist", "/")
            self._word = re.findall(r'data-csrf="([^"]+)"', front.text)[0]
            await self._think()
            await self._visit(case, until, share)

    async def _visit(self, case: str, until: float, share: float) -> None:
        view = {"tab": self._rng.choice(TABS), "order": "suspicion"}
        page = await self._ask("case", case, params=view)
        found = await self._ask("order", f"{case}/order", params=view)
        ids = found.json()["cells"]
        self._version = found.json()["version"]
        await self._look_at(re.findall(r'src="(/cases/[^"]+\.webp)"', page.text)[:SEEN])
        place = int(share * len(ids))
        watching = asyncio.create_task(self._watch(case, view, lambda: ids[place : place + SEEN]))
        try:
            for _ in range(self._rng.choice(STEPS)):
                if time.monotonic() > until or not ids:
                    return
                await self._think()
                place = (place + 1) % len(ids)
                await self._step(case, view, ids, place)
        finally:
            watching.cancel()

    async def _step(self, case: str, view: dict[str, str], ids: Sequence[int], place: int) -> None:
        chance = self._rng.random()
        if chance < 0.05:
            await self._send("undo", f"{case}/undo", view)
        elif chance < 0.1:
            page = await self._ask("cell", f"{case}/cells/{ids[place]}", params=view)
            await self._look_at(re.findall(r'src="(/cases/[^"]+\.png)"', page.text)[:1])
        elif chance < 0.2:  # scrolls
            await self._tiles(case, ids[place : place + SEEN])
        else:
            called = view["tab"] if self._rng.random() < 0.8 else self._rng.choice(TABS)
            form = view | {"decision": called, "cells": str(ids[place])}
            answer = await self._send("decision", f"{case}/decisions", form)
            if answer is not None:
                self._noted.actions[answer["action_id"]] = {ids[place]}

    async def _watch(self, case: str, view: dict[str, str], shown: Any) -> None:
        """What an open gallery does by itself."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            asked = view | {"version": str(self._version)}
            answer = await self._ask("standing", f"{case}/standing", params=asked)
            if answer.status_code == 200:
                found = await self._ask("order", f"{case}/order", params=view)
                self._version = found.json()["version"]
                await self._tiles(case, shown())

    async def _tiles(self, case: str, ids: Iterable[int]) -> None:
        asked = {"cells": ",".join(map(str, ids))}
        page = await self._ask("tiles", f"{case}/tiles", params=asked)
        await self._look_at(re.findall(r'src="(/cases/[^"]+\.webp)"', page.text))

    async def _look_at(self, images: Iterable[str]) -> None:
        """Load images as a browser does: a few at a time, each once."""
        wanted = [image for image in dict.fromkeys(images) if image not in self._kept]
        self._kept.update(wanted)
        await asyncio.gather(*(self._ask("image", image) for image in wanted))

    async def _send(self, what: str, path: str, form: dict[str, str]) -> dict[str, Any] | None:
        answer = await self._ask(
            what, path, method="POST", data=form, headers={"X-CSRF-Token": self._word}, may_conflict=True
        )
        if answer.status_code != 200:
            return None
        document: dict[str, Any] = answer.json()
        if document["version"] == self._version + 1:  # else the next look sees that others were here
            self._version = document["version"]
        return document

    async def _ask(
        self, what: str, path: str, *, method: str = "GET", may_conflict: bool = False, **more: Any
    ) -> httpx.Response:
        """One request, timed from the moment in which a browser would have a connection free."""
        started = time.perf_counter()
        try:
            answer = await self._client.request(method, path, **more)
        except httpx.HTTPError as error:
            self._noted.errors.append(f"{what}: {type(error).__name__}")
            return httpx.Response(599)
        self._noted.seconds[what].append(time.perf_counter() - started)
        if may_conflict and answer.status_code == 409:  # somebody else had decided on the cell since
            self._noted.num_refused += 1
        elif answer.status_code >= 400:
            self._noted.errors.append(f"{what}: {answer.status_code} {answer.text[:200]}")
        return answer

    async def _think(self) -> None:
        await asyncio.sleep(self._rng.uniform(*THINKING))
