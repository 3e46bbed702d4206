"""What a request costs the server, by its kind: milliseconds of a processor, which other work on the machine
changes less than any wait."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import count
from typing import Any

import httpx

from reviewing.files import Sender
from reviewing.server import Server

WARM_UP = 10
SCREEN = 48

Ask = Callable[[int], httpx.Response]


def costs(server: Server, sender: Sender, case: str, num: int) -> dict[str, float]:
    """Milliseconds of the server's processor for one request of each kind, the mean of ``num``, one after
    another; no cell is read meanwhile."""
    found = {}
    for kind, ask in _kinds(sender.client, case).items():
        numbers = count()
        for number, _ in zip(numbers, range(WARM_UP), strict=False):
            _checked(kind, ask(number))
        before = server.taken()["server"].processor_seconds
        for number, _ in zip(numbers, range(num), strict=False):
            _checked(kind, ask(number))
        spent = server.taken()["server"].processor_seconds - before
        found[kind] = round(spent / num * 1e3, 2)
    return found


def _checked(kind: str, answer: httpx.Response) -> None:
    if answer.status_code >= 400:
        raise SystemExit(f"{kind}: {answer.status_code} {answer.text[:200]}")


def _kinds(client: httpx.Client, case: str) -> dict[str, Ask]:
    view: dict[str, Any] = {"tab": "blast", "order": "suspicion"}
    cells = client.get(f"{case}/order", params=view).json()["cells"]
    images = re.findall(r'src="(/cases/[^"]+\.webp)"', client.get(case, params=view).text)

    def cell(number: int) -> str:
        return str(cells[number % len(cells)])

    def screen(number: int) -> str:
        return ",".join(cell(number + place) for place in range(SCREEN))

    def known(number: int) -> httpx.Response:
        image = images[number % len(images)]
        return client.get(image, headers={"If-None-Match": f'"{image.rpartition("/")[2]}"'})

    return {
        "image": lambda number: client.get(images[number % len(images)]),
        "known": known,
        "worklist": lambda _: client.get("/"),
        "case": lambda _: client.get(case, params=view),
        "order": lambda _: client.get(f"{case}/order", params=view),
        "tiles": lambda number: client.get(f"{case}/tiles", params={"cells": screen(number)}),
        "standing": lambda _: client.get(f"{case}/standing", params=view | {"version": "0"}),
        "cell": lambda number: client.get(f"{case}/cells/{cell(number)}", params=view),
        "decision": lambda number: client.post(
            f"{case}/decisions", data=view | {"decision": "blast", "cells": cell(number)}
        ),
        "undo": lambda _: client.post(f"{case}/undo", data=view),
    }
