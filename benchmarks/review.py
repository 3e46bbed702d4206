"""The review room under load: how long pages take, how fast cells are taken in, whether memory stays flat.

    python benchmarks/review.py load    [--users 16] [--cells 5000] [--minutes 2]
    python benchmarks/review.py upload  [--cells 2000]
    python benchmarks/review.py memory  [--users 16] [--cells 5000] [--minutes 10]
    python benchmarks/review.py cost    [--cells 5000]

Each starts a real ``leukoscope serve`` with an empty data folder and ends by itself. ``load`` and ``memory``:
people at their browsers review one case of 5,000 cells, each a second or so after the last answer, with the
looks that an open gallery takes by itself, while a job reads another case all the time; afterwards every
acknowledged decision must be in the database and the audit trail must hold. ``upload``: 2,000 files, 24 a
request on two connections as the page sends them, until the last cell is read. ``cost``: what the server
spends of a processor on one request of each kind. People and server share the machine. ``--images FOLDER``
takes real cells in place of drawn ones, ``--keep FOLDER`` writes the JSON elsewhere.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from statistics import fmean
from threading import Event, Thread
from typing import Any

import numpy as np
from sqlalchemy import func, select

from leukoscope.review.audit import verify
from leukoscope.review.store.database import Database
from leukoscope.review.store.tables import Cell, Decision, Job
from record import RESULTS, keep, once
from reviewing.cost import costs
from reviewing.files import FILES_AT_ONCE, Sender, cells, endless
from reviewing.people import PAGES, Noted, Person
from reviewing.server import Server, Taken

LIMITS = {"load": 300, "upload": 90, "memory": 1.1}
"""p95 of pages in milliseconds; seconds for 2,000 cells; memory at the end, times that at the start."""
SAMPLES = 120
REQUESTS = 300
"""Of each kind; a processor's time is told in hundredths of a second."""
AHEAD = 200
"""Cells that always wait to be read."""


class Feeder:
    """Keeps a job running: sends cells to a case of its own whenever few are waiting."""

    def __init__(self, server: Server, name: str, paths: Sequence[Path]) -> None:
        self._database, self._sender = Database(server.database_url), Sender(server.address, name)
        self._case, self._files, self._stop = self._sender.make_case("always-read"), endless(paths), Event()
        self.errors: list[str] = []
        self.num_idle = 0
        self._thread = Thread(target=self._work)

    def __enter__(self) -> Feeder:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def num_read(self) -> int:
        """Cells of its case that were read."""
        with self._database.read() as session:
            return session.scalar(select(func.sum(Job.num_done)).where(Job.case_id == self._id)) or 0

    @property
    def _id(self) -> int:
        return int(self._case.rpartition("/")[2])

    def _work(self) -> None:
        while not self._stop.is_set():
            with self._database.read() as session:
                open_jobs = select(func.sum(Job.num_all - Job.num_done)).where(
                    Job.case_id == self._id, Job.finished_at.is_(None)
                )
                waiting = session.scalar(open_jobs)
            self.num_idle += not waiting
            if (waiting or 0) < AHEAD:
                self.errors += self._sender.send(self._case, list(islice(self._files, FILES_AT_ONCE)))
            else:
                self._stop.wait(0.5)


class Sampler:
    """Looks at the processes of a server now and then."""

    def __init__(self, server: Server) -> None:
        self._server, self._found = server, list[tuple[float, dict[str, Taken]]]()

    async def sample(self, every: float) -> None:
        """Until it is cancelled."""
        while True:
            self._found.append((time.monotonic(), self._server.taken()))
            await asyncio.sleep(every)

    def memory_mb(self) -> dict[str, list[float]]:
        """Of each process, one number a look."""
        names = self._found[0][1]
        return {name: [round(one[name].memory_mb, 1) for _, one in self._found] for name in names}

    def processors(self) -> dict[str, float]:
        """How many processors each process kept busy."""
        (began, first), (ended, last) = self._found[0], self._found[-1]
        spent = {name: last[name].processor_seconds - first[name].processor_seconds for name in first}
        return {name: round(seconds / (ended - began), 2) for name, seconds in spent.items()}


def under_load(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """What happened while people worked."""
    paths = cells(options.images, options.cells, folder / "cells")
    with Server(folder / "room", options.bundle) as server:
        names = server.make_people(options.users)
        sender = Sender(server.address, names[0])
        case = sender.make_case("reviewed")
        refused = sender.send_all(case, paths)
        sender.wait(case)
        print(
            f"{len(paths):,} cells are read; {options.users} people work for {options.minutes:g} min",
            flush=True,
        )
        noted, sampler = Noted(), Sampler(server)
        with Feeder(server, names[0], paths[:500]) as feeder:
            time.sleep(5)
            before = feeder.num_read()
            people = [Person(server.address, name, noted, random.Random(name)) for name in names]
            asyncio.run(_work(people, case, sampler, options.minutes * 60))
            read = feeder.num_read() - before
        lost = _lost(server, noted)
    return {
        "cells": len(paths),
        "users": options.users,
        "minutes": options.minutes,
        "pages_ms": _milliseconds([one for kind in PAGES for one in noted.seconds[kind]]),
        "kinds_ms": {kind: _milliseconds(taken) for kind, taken in sorted(noted.seconds.items())},
        "errors": noted.errors[:20] + feeder.errors[:20] + refused[:20],
        "num_errors": len(noted.errors) + len(feeder.errors) + len(refused),
        "num_acknowledged": len(noted.actions),
        "num_conflicts": noted.num_refused,
        "num_lost": lost,
        "read_by_job": read,
        "looks_without_job": feeder.num_idle,
        "processors": sampler.processors(),
        "memory_mb": sampler.memory_mb(),
    }


async def _work(people: Sequence[Person], case: str, sampler: Sampler, seconds: float) -> None:
    for person in people:
        await person.sign_in()
    until = time.monotonic() + seconds
    sampling = asyncio.create_task(sampler.sample(seconds / SAMPLES))
    shares = np.linspace(0, 1, len(people), endpoint=False)
    await asyncio.gather(*(one.work(case, until, share) for one, share in zip(people, shares, strict=True)))
    sampling.cancel()
    for person in people:
        await person.close()


def _milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    if not seconds:
        return {"num": 0}
    levels = dict(zip(("p50", "p95", "p99", "most"), np.quantile(seconds, [0.5, 0.95, 0.99, 1]), strict=True))
    return {"num": len(seconds)} | {name: round(float(value) * 1e3, 1) for name, value in levels.items()}


def _lost(server: Server, noted: Noted) -> int:
    """How many acknowledged decisions are not in the database; the trail must hold."""
    database = Database(server.database_url)
    with database.read() as session:
        there = {
            (action_id, cell_id)
            for action_id, cell_id in session.execute(select(Decision.action_id, Decision.cell_id))
        }
        wanted = {(action_id, cell_id) for action_id, ids in noted.actions.items() for cell_id in ids}
        breaks = verify(session)
    database.close()
    if breaks:
        raise SystemExit(f"the audit trail does not hold: {breaks[:5]}")
    return len(wanted - there)


def upload(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Seconds from the first byte to the last cell."""
    paths = cells(options.images, options.cells, folder / "cells")
    with Server(folder / "room", options.bundle) as server:
        names = server.make_people(1)
        sender = Sender(server.address, names[0])
        case = sender.make_case("uploaded")
        started = time.perf_counter()
        refused = sender.send_all(case, paths)
        sent = time.perf_counter() - started
        sender.wait(case, every=0.25)
        seconds = time.perf_counter() - started
        taken = server.taken()
        with Database(server.database_url).read() as session:
            read = session.scalar(select(func.count()).select_from(Cell))
    return {
        "cells": len(paths),
        "read": read,
        "errors": refused[:20],
        "num_errors": len(refused),
        "upload_seconds": round(sent, 2),
        "seconds": once(round(seconds, 2)),
        "limit_seconds": LIMITS["upload"],
        "processor_seconds": {name: round(one.processor_seconds, 1) for name, one in taken.items()},
    }


def load(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Pages under load."""
    found = under_load(options, folder)
    return found | {"limit_ms": LIMITS["load"], "p95": once(found["pages_ms"]["p95"])}


def memory(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Memory under load, the last third of the time beside the first."""
    found = under_load(options, folder)
    thirds = {name: _thirds(values) for name, values in found["memory_mb"].items()}
    both = [sum(side) for side in zip(*thirds.values(), strict=True)]
    return found | {
        "limit_times": LIMITS["memory"],
        "thirds_mb": thirds | {"both": both},
        "times": once(round(both[1] / both[0], 3)),
    }


def cost(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """What each kind of request costs the server."""
    paths = cells(options.images, options.cells, folder / "cells")
    with Server(folder / "room", options.bundle) as server:
        sender = Sender(server.address, server.make_people(1)[0])
        case = sender.make_case("reviewed")
        sender.send_all(case, paths)
        sender.wait(case)
        return {"cells": len(paths), "processor_ms": costs(server, sender, case, REQUESTS)}


def _thirds(values: Sequence[float]) -> list[float]:
    """The means of the first and of the last third.

    >>> _thirds([1, 1, 5, 2, 2, 2])
    [1.0, 2.0]
    """
    third = max(1, len(values) // 3)
    return [round(fmean(values[:third]), 1), round(fmean(values[-third:]), 1)]


PARTS = {"load": load, "upload": upload, "memory": memory, "cost": cost}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=tuple(PARTS))
    parser.add_argument("--users", type=int, default=16)
    parser.add_argument("--cells", type=int)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--bundle", default="starter")
    parser.add_argument("--images", type=Path, metavar="FOLDER")
    parser.add_argument("--keep", type=Path, default=RESULTS, metavar="FOLDER")
    options = parser.parse_args()
    options.cells = options.cells or (2000 if options.part == "upload" else 5000)
    options.minutes = options.minutes or (10 if options.part == "memory" else 2)
    with tempfile.TemporaryDirectory() as scratch:
        found = PARTS[options.part](options, Path(scratch))
    found["images"] = "drawn" if options.images is None else "real"
    path = keep("review", options.part, {"bundle": options.bundle} | found, folder=options.keep)
    shown = {name: value for name, value in found.items() if name != "memory_mb"}
    for name, value in shown.items():
        print(f"{name}: {value}")
    print(path)


if __name__ == "__main__":
    main()
