"""The study's side of the worker: start it, hand it a run, wait, pass an interruption on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self

from leukoscope.core.parallel import how_it_ended
from leukoscope.studies.outcome import OUTCOME, Job, Outcome, read_outcome
from leukoscope.studies.worker import INTERRUPTED, LAST

MODULE = "leukoscope.studies.worker"

ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
"""The linear algebra of numpy and scipy starts threads when it is loaded, which a fork would lose. A run
hardly uses it: networks compute with torch, which has its own."""

TICK = 0.2


class Worker:
    """A process that does runs, one after another. Use it in a ``with`` block.

    It is in a session of its own, so that Ctrl-C on a terminal reaches the study alone, which passes it on
    once: the run then ends after its batch and keeps what it has.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._answers: SimpleQueue[str] = SimpleQueue()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait()

    def do(self, job: Job) -> Outcome:
        """Do one run and give its outcome.

        Raises:
            KeyboardInterrupt: when the user stopped it; what it has is kept.
        """
        process = self._running()
        (job.folder / OUTCOME).unlink(missing_ok=True)
        assert process.stdin is not None
        process.stdin.write(job.model_dump_json() + "\n")
        process.stdin.flush()
        try:
            answer = self._answer()
        except KeyboardInterrupt:
            self._interrupt(process)
            self._answer()
            raise
        code = int(answer.split()[0]) if answer else process.wait()
        if not answer or LAST in answer:
            process.wait()
            self._process = None
        outcome = read_outcome(job.folder)
        if code == INTERRUPTED or (outcome is not None and outcome.status == "interrupted"):
            raise KeyboardInterrupt
        if code or outcome is None:
            outcome = Outcome(status="failed", reason=f"the run's process {how_it_ended(code)}")
            outcome.write(job.folder)
        return outcome

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", MODULE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
                env=os.environ | ONE_THREAD,
            )
            self._answers = SimpleQueue()
            threading.Thread(target=_listen, args=(self._process, self._answers), daemon=True).start()
        return self._process

    def _answer(self) -> str:
        """The worker's next line, empty where it has ended. It looks up now and then: a signal that reaches
        another thread of this process does not wake the one that waits."""
        while True:
            try:
                return self._answers.get(timeout=TICK)
            except Empty:
                continue

    def _interrupt(self, process: subprocess.Popen[str]) -> None:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.terminate()


def _listen(process: subprocess.Popen[str], answers: SimpleQueue[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        answers.put(line)
    answers.put("")
