"""A real ``leukoscope serve`` of its own process, its people, and what it takes of the machine."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import httpx

from leukoscope.review.auth.accounts import invite
from leukoscope.review.auth.rights import Actor
from leukoscope.review.store.database import Database
from leukoscope.review.store.tables import User

PASSWORD = "three quiet green apples"
END_SECONDS = 120
TICKS = os.sysconf("SC_CLK_TCK")


class Taken(NamedTuple):
    """Of one process: resident memory in MB, and seconds of processor so far."""

    memory_mb: float
    processor_seconds: float


class Server:
    """Started with ``with``; the SQLite file and all else lie in ``folder``."""

    def __init__(self, folder: Path, bundle: str) -> None:
        self.folder = folder
        words = ["-m", "leukoscope", "serve", bundle, "--port", "0", "--data-dir", str(folder)]
        self._process = subprocess.Popen([sys.executable, *words], stderr=subprocess.PIPE, text=True)
        said = []
        for line in self._process.stderr or ():
            said.append(line)
            if line.startswith("open at "):
                break
        else:
            raise SystemExit(f"the server ended with {self._process.wait()}:\n{''.join(said)}")
        text = "".join(said)
        self.address = re.findall(r"open at (\S+);", text)[0]
        self._link = re.findall(r"/join/\S+", text)
        self.said: list[str] = []
        Thread(target=lambda: self.said.extend(self._process.stderr or ()), daemon=True).start()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(END_SECONDS)

    @property
    def database_url(self) -> str:
        return f"sqlite:///{self.folder / 'leukoscope.db'}"

    def make_people(self, num: int) -> list[str]:
        """The usernames of so many new accounts; the first one administers."""
        names = [f"person-{number}" for number in range(num)]
        self._join(names[0], self._link[0])
        database = Database(self.database_url)
        for name in names[1:]:
            with database.write() as session:
                ada = Actor.of(session.query(User).filter_by(username=names[0]).one())
                token = invite(session, ada, "signer", sorted(ada.team_ids)).token
            self._join(name, f"/join/{token}")
        database.close()
        return names

    def _join(self, name: str, path: str) -> None:
        form = {"username": name, "full_name": name, "password": PASSWORD, "repeated": PASSWORD}
        answer = httpx.post(self.address + path, data=form, timeout=60)
        assert answer.status_code == 303, answer.text

    def taken(self) -> dict[str, Taken]:
        """Of the server and of the process that reads cells."""
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        (worker,) = children
        return {"server": _taken(pid), "worker": _taken(int(worker))}


def _taken(pid: int) -> Taken:
    status = Path(f"/proc/{pid}/status").read_text()
    memory = int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024
    # fields 14 and 15, counted behind the name, which may hold blanks
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return Taken(memory, (int(fields[11]) + int(fields[12])) / TICKS)
