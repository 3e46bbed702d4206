"""Results on standard output: a table for people, or one JSON document for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, TextIO

import typer

IntervalName = Literal["expanded", "percentile", "bca"]
"""Of ``evaluation.bootstrap.IntervalMethod``, which would load numpy for ``--help``."""

Positive = Annotated[
    str, typer.Option("--positive", metavar="NAME,NAME", help="Labels of a table that count as blast.")
]


def names_in(text: str) -> tuple[str, ...]:
    """Names that were given with commas between.

    >>> names_in("pre-B, pro-B"), names_in("")
    (('pre-B', 'pro-B'), ())
    """
    return tuple(name.strip() for name in text.split(",") if name.strip())


Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON document.")]


def print_json(document: Any) -> None:
    """Print plain data as JSON; NaN has no place in it."""
    print(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False, default=str))


def print_table(
    head: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "", err: bool = False
) -> None:
    """Print rows in columns: ruled on a terminal, plain elsewhere. Numbers to the right, None is empty.

    With ``err`` they go to standard error, beside results that others read.
    """
    stream = sys.stderr if err else sys.stdout
    texts = [[_text(value) for value in row] for row in rows]
    right = [_is_numeric([row[place] for row in texts]) for place in range(len(head))]
    if stream.isatty():
        _print_rich(head, texts, right, title, stream)
        return
    if title:
        print(title, file=stream)
    widths = [max(len(row[place]) for row in [list(head), *texts]) for place in range(len(head))]
    for row in [list(head), *texts]:
        cells = [
            text.rjust(width) if numeric else text.ljust(width)
            for text, width, numeric in zip(row, widths, right, strict=True)
        ]
        print("  ".join(cells).rstrip(), file=stream)


def _print_rich(
    head: Sequence[str], rows: list[list[str]], right: list[bool], title: str, stream: TextIO
) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", box=SIMPLE_HEAD)
    for name, numeric in zip(head, right, strict=True):
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    Console(file=stream).print(table)


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _is_numeric(texts: list[str]) -> bool:
    written = [text for text in texts if text]
    return bool(written) and all(text[0].isdigit() or text[0] in "+-\u2212." for text in written)


def reading(metric: Any) -> str:
    """A metric with its interval as a person reads it, or why there is none.

    Args:
        metric: has ``estimate``, ``ci_low``, ``ci_high`` and ``reason``.
    """
    if metric.estimate is None:
        return metric.reason or "undefined"
    if metric.ci_low is None or metric.ci_high is None:
        return f"{metric.estimate:.3f}"
    return f"{metric.estimate:.3f} ({metric.ci_low:.3f} to {metric.ci_high:.3f})"
