"""Runs the program inside the test's process."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from leukoscope.cli.main import main


class Ran(NamedTuple):
    """What a command gave back, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output as the one JSON document that it is."""
        return json.loads(self.out)


@pytest.fixture
def leukoscope(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """``leukoscope("data", "check", path)`` runs that command."""

    def run(*words: object) -> Ran:
        capsys.readouterr()
        code = main([str(word) for word in words])
        return Ran(code, *capsys.readouterr())

    return run
