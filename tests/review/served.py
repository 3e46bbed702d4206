"""A real ``leukoscope serve``: a process, an address, a person who has signed in."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from threading import Thread

import httpx
from tests.review.conftest import PASSWORD

START_SECONDS = 120


class Served:
    """``python -m leukoscope serve`` with a data folder; ends with its ``with`` block."""

    def __init__(
        self, folder: Path, *words: object, port: int = 0, environment: dict[str, str] | None = None
    ) -> None:
        command = [sys.executable, "-m", "leukoscope", "serve", *map(str, words), "--port", str(port)]
        if folder is not None:
            command += ["--data-dir", str(folder)]
        around = os.environ | (environment or {})
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=around)
        self.said: list[str] = []
        for line in self.process.stderr:
            self.said.append(line.rstrip("\n"))
            if line.startswith("open at "):
                break
        else:
            raise AssertionError(f"ended with {self.process.wait()}: {self.said}")
        # so that the pipe never fills
        self._reader = Thread(target=lambda: self.said.extend(self.process.stderr), daemon=True)
        self._reader.start()

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.end(signal.SIGTERM)

    @property
    def address(self) -> str:
        return re.search(
            r"https?://\S+?(?=;)", next(line for line in self.said if line.startswith("open at"))
        )[0]

    @property
    def link(self) -> str | None:
        return next((line.strip() for line in self.said if "/join/" in line), None)

    def end(self, by: signal.Signals) -> int:
        """End it by a signal, and give what it ended with."""
        self.process.send_signal(by)
        code = self.process.wait(START_SECONDS)
        self._reader.join(START_SECONDS)
        return code


class Person:
    """Somebody at a browser of this server."""

    def __init__(self, address: str, **settings: object) -> None:
        self.client = httpx.Client(base_url=address, timeout=60, follow_redirects=False, **settings)
        self._word = ""

    def join(self, link: str, username: str = "ada") -> None:
        """Make the first account."""
        form = {"username": username, "full_name": "Ada L.", "password": PASSWORD, "repeated": PASSWORD}
        assert self.client.post(httpx.URL(link).path, data=form).status_code == 303

    def sign_in(self, username: str = "ada") -> None:
        """Sign in."""
        answer = self.client.post("/sign-in", data={"username": username, "password": PASSWORD})
        assert answer.status_code == 303, answer.text
        self._word = ""

    def post(self, path: str, **content: object) -> httpx.Response:
        """Send a form with the word of the session; httpx errors where the server is gone."""
        if not self._word:
            self._word = re.search(r'data-csrf="([^"]+)"', self.client.get("/").text)[1]
        return self.client.post(path, headers={"X-CSRF-Token": self._word}, **content)

    def make_case(self, subject_id: str = "P-17") -> str:
        """The address of a new case."""
        answer = self.post("/cases", data={"subject_id": subject_id, "team_id": "1"})
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    def upload(self, case: str, files: list[tuple[str, bytes]], **said: str) -> list[dict[str, object]]:
        """Send files; what the answer says of each."""
        answer = self.post(f"{case}/files", files=[("files", file) for file in files], data=said)
        assert answer.status_code == 200, answer.text
        return answer.json()["files"]
