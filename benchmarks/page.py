"""RESULTS.md and its chart, from the measurements in benchmarks/results.

    python benchmarks/page.py

Whatever is there is shown. ``results/KIND.md`` is written by hand and stands below the table of that kind:
where a target is missed, it says what takes the time, what was tried, and why.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from chart import draw
from leukoscope.core.files import write_text
from prediction.tables import TABLES as PREDICTION
from record import BENCHMARKS, RESULTS, kept
from reviewing.tables import TABLES as REVIEWING
from smear.tables import TABLES as SMEARS
from tables import Found, Table, Target, markdown
from training.tables import TABLES as TRAINING

PAGE, CHART = "RESULTS.md", "results.svg"
TABLES: dict[str, Table] = PREDICTION | TRAINING | REVIEWING | SMEARS
"""The sections, in the order of the page."""
HEAD = """# How fast predicting, training and explaining are

Written by `make bench` from the files in `benchmarks/results`, which say command, day, machine and versions.
Ratios are of two things measured in turn in one run: the median over the pairs (least to greatest).
"""
ALT = "Every measured target: how far on which side of it, with the spread of the runs"


def targets(results: Sequence[Found]) -> list[Target]:
    """Whatever was asked for in numbers, in the order of the page."""
    return [
        target
        for kind, table in TABLES.items()
        for one in results
        if one["kind"] == kind
        for target in table.targets(one)
    ]


def render(results: Sequence[Found], notes: Path = RESULTS) -> str:
    """The page, from the measurements of :func:`record.kept`.

    Args:
        results: of any kinds; those that have no table are not shown.
        notes: the folder of what is written by hand.
    """
    lines = [HEAD]
    if asked := targets(results):
        lines += [f"![{ALT}]({CHART})", "", f"*{_summary(asked)}*", ""]
    for kind, table in TABLES.items():
        found = [one for one in results if one["kind"] == kind]
        if found:
            lines += _section(table, found, notes / f"{kind}.md")
    return "\n".join(lines)


def _summary(asked: Sequence[Target]) -> str:
    missed = [target.label for target in asked if not target.met]
    said = f"Missed: {'; '.join(missed)}." if missed else "None is missed."
    return f"{len(asked)} targets; right of the line is better than asked for. {said}"


def _section(table: Table, found: Sequence[Found], note: Path) -> list[str]:
    rows = [row for one in found for row in table.rows(one)]
    lines = [f"## {table.title}", "", table.words, "", *markdown(table.columns, rows), ""]
    if note.is_file():
        lines += [note.read_text(encoding="utf-8").strip(), ""]
    return [*lines, *sorted({f"* {_where(one)}" for one in found}), ""]


def _where(found: Found) -> str:
    machine, named = found["machine"], dict(found["versions"]) | found.get("peer_versions", {})
    words = ", ".join(f"{name} {number}" for name, number in named.items())
    card = f", {found['card']}" if found.get("card") else ""
    return f"{machine['processor']}, {machine['cores']} cores{card}; {words}; {found['at'][:10]}"


def in_words(found: Found) -> str:
    """One measurement as a table; empty for what has none."""
    table = TABLES.get(found.get("kind", ""))
    return "\n".join(markdown(table.columns, table.rows(found))) if table else ""


def write_page() -> Path:
    """Write the page and its chart."""
    results = kept()
    write_text(BENCHMARKS / PAGE, render(results))
    if asked := targets(results):
        write_text(BENCHMARKS / CHART, draw(asked))
    return BENCHMARKS / PAGE


if __name__ == "__main__":
    print(write_page())
