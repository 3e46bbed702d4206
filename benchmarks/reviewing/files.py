"""Cells to upload, drawn or real, and how they are sent: as the page does it."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from leukoscope.cells.decode import IMAGE_SUFFIXES
from leukoscope.cohort.synth import synthesize
from reviewing.server import PASSWORD

FILES_AT_ONCE = 24
SIDE_BY_SIDE = 2
"""As transfer.js sends them."""
SUBJECTS = 20


def cells(folder: Path | None, num: int, scratch: Path) -> list[Path]:
    """So many image files: real ones where a folder is named, else drawn into ``scratch``."""
    if folder is None:
        synthesize(scratch, subjects=SUBJECTS, cells_per_subject=-(-num // SUBJECTS), unlabelled=1)
    found = sorted((folder or scratch).rglob("*"))
    paths = [
        path for path in found if path.suffix.lower() in IMAGE_SUFFIXES and "testing_data" not in path.parts
    ]
    if not paths or (folder is None and len(paths) < num):
        raise SystemExit(f"expected images below {folder}. Received: {len(paths)}")
    return paths[:num]


def endless(paths: Sequence[Path]) -> Iterator[tuple[str, bytes]]:
    """Files that never repeat, however few cells there are: the bytes behind a BMP's pixels are nobody's."""
    for number in itertools.count():
        path = paths[number % len(paths)]
        yield f"{number}-{path.name}", path.read_bytes() + b"%d" % number


class Sender:
    """Somebody who makes cases and uploads files."""

    def __init__(self, address: str, name: str) -> None:
        self.client = httpx.Client(base_url=address, timeout=120)
        answer = self.client.post("/sign-in", data={"username": name, "password": PASSWORD})
        assert answer.status_code == 303, answer.text
        word = re.findall(r'data-csrf="([^"]+)"', self.client.get("/").text)[0]
        self.client.headers["X-CSRF-Token"] = word

    def make_case(self, subject_id: str) -> str:
        answer = self.client.post("/cases", data={"subject_id": subject_id, "team_id": "1"})
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    def send(self, case: str, files: Sequence[tuple[str, bytes]]) -> list[str]:
        """Upload some; the reasons of those that were not taken."""
        answer = self.client.post(f"{case}/files", files=[("files", file) for file in files])
        if answer.status_code != 200:
            return [f"{answer.status_code} {answer.text[:200]}"]
        return [file["reason"] for file in answer.json()["files"] if file["reason"]]

    def send_all(self, case: str, paths: Sequence[Path]) -> list[str]:
        """Upload files as the page does; the reasons of those that were not taken."""
        starts = range(0, len(paths), FILES_AT_ONCE)
        batches = [paths[start : start + FILES_AT_ONCE] for start in starts]

        def send(batch: Sequence[Path]) -> list[str]:
            return self.send(case, [(path.name, path.read_bytes()) for path in batch])

        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            return list(itertools.chain.from_iterable(pool.map(send, batches)))

    def state(self, case: str) -> str:
        """What the case's page says of it."""
        return re.findall(r'<span class="mark ([^" ]+)">', self.client.get(case).text)[0]

    def wait(self, case: str, *, every: float = 1.0) -> None:
        """Until its cells were read."""
        while self.state(case) == "running":
            time.sleep(every)
