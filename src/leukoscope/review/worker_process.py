"""The worker in a process of its own: pages never wait for the interpreter while cells are read, and what
ends the one does not end the other.

``python -m leukoscope.review.worker_process`` is that process. Its first line of standard input says where
the room is, each further one that there may be a job; the end of the input, also that of a server that was
killed, tells it to stop after its chunk.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from threading import Event, Lock, Thread

from leukoscope.core.parallel import how_it_ended
from leukoscope.review.services.bundles import Bundles
from leukoscope.review.services.jobs import Worker
from leukoscope.review.settings import ServerSettings
from leukoscope.review.store.database import Database
from leukoscope.review.store.derived import Derived
from leukoscope.review.store.images import ImageStore

log = logging.getLogger(__name__)

NICENESS = 10
"""Pages go first."""

AGAIN_SECONDS = 1.0
LAST_CHUNK_SECONDS = 60.0


class WorkerProcess:
    """Starts the process, calls it, stops it, and starts another where it ended by itself.

    Args:
        settings: those of the room.
    """

    def __init__(self, settings: ServerSettings) -> None:
        place = {"database": settings.database_url, "data_dir": str(settings.data_dir.absolute())}
        self._place = json.dumps(place)
        self._stop, self._lock = Event(), Lock()
        self._process: subprocess.Popen[str] | None = None
        self._thread = Thread(target=self._watch, name="leukoscope-worker", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._process = self._begin()
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def call(self) -> None:
        """Say that there may be a job, so that nobody waits for the next look."""
        self._tell("\n")

    def stop(self, *, wait: bool = True) -> None:
        """End after the chunk that is being read; the job waits for the next start."""
        with self._lock:  # so that none is begun behind our back
            self._stop.set()
            process = self._process
        if process is None or process.stdin is None:
            return
        with suppress(OSError):  # it may have ended
            process.stdin.close()
        if wait:
            try:
                process.wait(LAST_CHUNK_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()

    def _begin(self) -> subprocess.Popen[str]:
        words = [sys.executable, "-m", __name__]
        process = subprocess.Popen(words, stdin=subprocess.PIPE, text=True, start_new_session=True)
        self._process = process
        self._tell(self._place + "\n")
        return process

    def _tell(self, line: str) -> None:
        process = self._process
        if process is not None and process.stdin is not None:
            with suppress(OSError, ValueError):  # it has just ended; the next one looks by itself
                process.stdin.write(line)
                process.stdin.flush()

    def _watch(self) -> None:
        process = self._process
        while process is not None:
            code = process.wait()
            if self._stop.wait(AGAIN_SECONDS):
                return
            log.error("the process that reads cells %s; another is started", how_it_ended(code))
            with self._lock:
                if self._stop.is_set():
                    return
                process = self._begin()


def main() -> None:
    """Work until standard input ends."""
    for name in (signal.SIGINT, signal.SIGTERM):  # meant for the server, which says when to stop
        signal.signal(name, signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    place = json.loads(sys.stdin.readline())
    folder = Path(place["data_dir"])
    database = Database(place["database"])
    images, derived = ImageStore(folder / "images"), Derived(folder / "derived")
    worker = Worker(database, Bundles(folder / "bundles"), images, derived)

    def listen() -> None:
        for _ in sys.stdin:
            worker.call()
        worker.stop(wait=False)

    Thread(target=listen, daemon=True).start()
    worker.run()
    database.close()


if __name__ == "__main__":
    main()
