"""The one place that shows progress: a bar on a terminal, a plain line now and then elsewhere.

Everything goes to standard error, so that results on standard output stay clean.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Protocol, TypeVar

T = TypeVar("T")

PLAIN_LINE_SECONDS = 10.0


class Bar(Protocol):
    """What a caller of :func:`progress` may do."""

    def advance(self, steps: int = 1) -> None:
        """Say that ``steps`` more are done."""

    def skip(self, steps: int) -> None:
        """Say that ``steps`` more were done before, by an earlier run: they say nothing of how fast it is."""

    def note(self, text: str) -> None:
        """Show a short text beside the bar, such as the current loss."""


class Unseen:
    """A bar that nobody sees, of a process beside the one that shows it."""

    def advance(self, steps: int = 1) -> None:
        """Shows nothing."""

    def skip(self, steps: int) -> None:
        """Shows nothing."""

    def note(self, text: str) -> None:
        """Shows nothing."""


class _PlainBar:
    def __init__(self, description: str, total: int | None) -> None:
        self.description, self.total, self.done, self.skipped, self.text = description, total, 0, 0, ""
        self.started = self.printed = time.monotonic()

    def advance(self, steps: int = 1) -> None:
        self.done += steps
        now = time.monotonic()
        if now - self.printed >= PLAIN_LINE_SECONDS:
            self.printed = now
            self.print_line()

    def skip(self, steps: int) -> None:
        self.done += steps
        self.skipped += steps

    def note(self, text: str) -> None:
        self.text = text

    def print_line(self) -> None:
        of = f" of {self.total:,}" if self.total is not None else ""
        rate = (self.done - self.skipped) / max(time.monotonic() - self.started, 1e-9)
        facts = [f"{rate:,.1f}/s", self._left(rate), self.text]
        print(
            f"{self.description}: {self.done:,}{of} ({', '.join(filter(None, facts))})",
            file=sys.stderr,
            flush=True,
        )

    def _left(self, rate: float) -> str:
        """In words; empty where it is not known, or nothing is left."""
        if self.total is None or self.done >= self.total or rate <= 0:
            return ""
        return f"{clock((self.total - self.done) / rate)} left"


def clock(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> clock(59.6), clock(4000)
    ('0:01:00', '1:06:40')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


@contextmanager
def progress(description: str, total: int | None = None) -> Iterator[Bar]:
    """Show the progress of one long step.

    Args:
        description: what is being done, as the user would say it: ``"checking files"``.
        total: number of steps, ``None`` when it is not known.

    On a terminal this is a bar with steps a second and the time that remains, or has gone where the total is
    not known. Elsewhere a line with the same appears every ten seconds, and one at the end of a step that
    took longer than that.
    """
    if sys.stderr.isatty():
        with _rich_bar(description, total) as bar:
            yield bar
        return
    plain = _PlainBar(description, total)
    yield plain
    if plain.printed > plain.started:
        plain.print_line()


@contextmanager
def _rich_bar(description: str, total: int | None) -> Iterator[Bar]:
    from rich import progress as rich
    from rich.console import Console

    class Rate(rich.ProgressColumn):
        def render(self, task: rich.Task) -> str:
            rate = task.finished_speed or task.speed
            return "" if rate is None else f"{rate:,.1f}/s"

    columns = (
        rich.TextColumn("{task.description:<28}"),
        rich.BarColumn(),
        rich.MofNCompleteColumn(),
        Rate(),
        rich.TimeElapsedColumn() if total is None else rich.TimeRemainingColumn(),
        rich.TextColumn("{task.fields[text]}"),
    )
    with rich.Progress(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task(description, total=total, text="")

        class RichBar:
            def advance(self, steps: int = 1) -> None:
                shown.advance(task, steps)

            def skip(self, steps: int) -> None:
                shown.reset(task, completed=int(shown.tasks[0].completed) + steps)

            def note(self, text: str) -> None:
                shown.update(task, text=text)

        yield RichBar()


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Pass ``items`` through while showing progress."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with progress(description, total) as bar:
        for item in items:
            yield item
            bar.advance()


def say(text: str) -> None:
    """Print one line for the user to standard error."""
    print(text, file=sys.stderr, flush=True)
