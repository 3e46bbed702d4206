"""How measurements of one kind become a table of the page, and targets of the chart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

Found = dict[str, Any]
"""A measurement, as :func:`record.kept` reads it."""


class Target(NamedTuple):
    """A number that was asked for, and what was measured.

    Attributes:
        label: what was measured.
        spread: see :func:`record.spread`.
        limit: at least, or at most, so much.
        unit: behind the number; a few letters.
        at_most: less is better.
    """

    label: str
    spread: Found
    limit: float
    unit: str = ""
    at_most: bool = False

    @property
    def met(self) -> bool:
        return self.spread["median"] <= self.limit if self.at_most else self.spread["median"] >= self.limit


def limit_words(target: Target) -> str:
    """
    >>> limit_words(Target("", {}, limit=1.4, unit="times"))
    'at least 1.4 times'
    """
    return f"at {'most' if target.at_most else 'least'} {target.limit:,g}{target.unit and ' '}{target.unit}"


class Table(NamedTuple):
    """A section of the page: its heading, what to know, and the rows of each measurement."""

    title: str
    words: str
    columns: Sequence[str]
    rows: Callable[[Found], list[list[str]]]
    targets: Callable[[Found], list[Target]] = lambda found: []


def in_pairs(ratio: Found) -> str:
    """Median, least and greatest.

    >>> in_pairs({"median": 1, "least": 0.5, "greatest": 2, "num": 3})
    '1.00 (0.50 to 2.00, 3 pairs)'
    """
    pairs = "1 pair" if ratio["num"] == 1 else f"{ratio['num']} pairs"
    return f"{ratio['median']:.2f} ({ratio['least']:.2f} to {ratio['greatest']:.2f}, {pairs})"


def markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]
