"""What a person sees of a long step: how far, how fast, how long still."""

from __future__ import annotations

import io
import sys

import pytest
from rich.progress import Progress

from leukoscope.core import progress as module
from leukoscope.core.progress import progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test turns."""
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(capsys) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_a_line_says_rate_and_time_left(clock, capsys):
    with progress("predicting", 1_000) as bar:
        for _ in range(3):
            clock[0] += 8
            bar.advance(100)
    assert lines(capsys) == [
        "predicting: 200 of 1,000 (12.5/s, 0:01:04 left)",
        "predicting: 300 of 1,000 (12.5/s, 0:00:56 left)",
    ]


def test_without_a_total_a_line_says_the_rate_alone(clock, capsys):
    with progress("predicting") as bar:
        clock[0] += 20
        bar.advance(5_000)
        bar.note("loss 0.5")
    assert lines(capsys) == ["predicting: 5,000 (250.0/s)", "predicting: 5,000 (250.0/s, loss 0.5)"]


def test_what_an_earlier_run_did_counts_but_not_as_speed(clock, capsys):
    with progress("predicting", 1_000) as bar:
        bar.skip(600)
        clock[0] += 20
        bar.advance(100)
        clock[0] += 60
        bar.advance(300)
    assert lines(capsys) == [
        "predicting: 700 of 1,000 (5.0/s, 0:01:00 left)",
        "predicting: 1,000 of 1,000 (5.0/s)",
        "predicting: 1,000 of 1,000 (5.0/s)",
    ]


def test_a_short_step_says_nothing(clock, capsys):
    with progress("predicting", 10) as bar:
        clock[0] += 9
        bar.advance(10)
    assert lines(capsys) == []


@pytest.mark.parametrize("total", [None, 1_000])
def test_a_terminal_shows_the_same(monkeypatch, total):
    """The clock of rich is turned, too; of what it draws the last picture is looked at."""
    now, screen = [100.0], Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.setenv("TERM", "xterm")
    shown: list[Progress] = []
    begin = Progress.__init__

    def with_my_clock(self, *columns, **settings):
        begin(self, *columns, **settings, get_time=lambda: now[0], auto_refresh=False)
        shown.append(self)

    monkeypatch.setattr(Progress, "__init__", with_my_clock)
    with progress("predicting", total) as bar:
        bar.skip(300)
        for _ in range(5):
            now[0] += 10
            bar.advance(100)
        bar.note("fold 2")
        shown[0].refresh()
    last = screen.getvalue().split("predicting")[-1]
    assert "10.0/s" in last and "fold 2" in last
    assert ("800/1000" in last and "0:00:20" in last) if total else ("800/?" in last and "0:00:50" in last)
