"""The process that does a study's runs: ``python -m leukoscope.studies.worker``.

It reads jobs from standard input, one line of JSON each, and answers each with a line when it is over.
Loading the training framework takes longer than a small run, so it is loaded once, and each run is a fork:
a process of its own, whose memory is its own and goes with it. Where the system cannot fork safely, the
worker does one job and ends, and the study starts another.

When the study dies, standard input ends, and the run that is going on ends with it: two processes never work
on one run.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TextIO

PRELOADED = ("torch", "lightning", "timm", "onnx", "sklearn.linear_model")
"""What takes long to load, and starts no threads, which a fork would lose."""

INTERRUPTED = 130
LAST = "last"
"""What stands behind the exit code of a run after which the worker ends."""


def can_fork() -> bool:
    """Whether this process has one thread alone, on a system that forks safely."""
    if sys.platform != "linux":
        return False
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return any(line.split() == ["Threads:", "1"] for line in lines)


def main() -> None:
    """Serve jobs until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")  # asking for devices must not start CUDA
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints goes where messages go
    for name in PRELOADED:
        importlib.import_module(name)
    for line in iter(sys.stdin.readline, ""):
        if not can_fork():
            _answer(answers, f"{_work(line)} {LAST}")
            return
        _answer(answers, str(_forked(line)))


def _answer(answers: TextIO, text: str) -> None:
    answers.write(text + "\n")
    answers.flush()


def _forked(line: str) -> int:
    child = os.fork()
    if not child:
        code = 1
        try:
            code = _work(line)
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _work(line: str) -> int:
    """Do one job; its exit code."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=_end_with_the_study, daemon=True).start()
    try:
        from leukoscope.studies.conduct import conduct
        from leukoscope.studies.outcome import Job

        outcome = conduct(Job.model_validate_json(line))
    except KeyboardInterrupt:
        return INTERRUPTED
    return INTERRUPTED if outcome.status == "interrupted" else 0


def _end_with_the_study() -> None:
    while os.read(0, 1024):
        pass
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
