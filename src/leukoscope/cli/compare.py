"""``leukoscope compare``: two or more prediction tables on the same cells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leukoscope.cli.failures import keeping
from leukoscope.cli.output import IntervalName, Json, Positive, names_in, print_json, print_table

if TYPE_CHECKING:
    from leukoscope.evaluation.compare import Comparison


def compare(
    tables: Annotated[
        list[Path], typer.Argument(metavar="A B [C...]", help="Prediction tables (.csv, .parquet, .jsonl).")
    ],
    *,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="REPORT", help="Folder of the report.")
    ] = None,
    data: Annotated[Path | None, typer.Option(metavar="SOURCE", help="The cells, for the pictures.")] = None,
    threshold: Annotated[
        float, typer.Option(help="A cell is called a blast from this probability on.")
    ] = 0.5,
    interval: Annotated[
        IntervalName, typer.Option(help="How 95 % intervals are made of 2,000 draws of subjects.")
    ] = "expanded",
    positive: Positive = "",
    as_json: Json = False,
) -> int:
    """Set prediction tables beside each other, on the cells that all of them judge.

    Differences come with intervals that are paired by subject.
    """
    from leukoscope.cohort.open import open_cohort
    from leukoscope.evaluation.compare import compare as judge
    from leukoscope.evaluation.compare_report import write_comparison
    from leukoscope.evaluation.table import PredictionTable

    with keeping("nothing was written"):
        count_as_blast = names_in(positive)
        read = {
            name: PredictionTable.read(path, positive=count_as_blast) for name, path in named(tables).items()
        }
        manifest = None if data is None else open_cohort(data)
        comparison = judge(read, data=manifest, threshold=threshold, interval=interval)
        page = None if out is None else write_comparison(comparison, out)
    if as_json:
        print_json(comparison.to_json())
    else:
        print_comparison(comparison)
        if page is not None:
            print(f"report: {page}")
    return 0


def named(paths: Sequence[Path]) -> dict[str, Path]:
    """Tables by short names: as many of the last folders as tell them apart, without what all share.

    >>> list(named([Path("a/predictions.parquet"), Path("b/predictions.parquet")]))
    ['a', 'b']
    >>> list(named([Path("old.csv"), Path("new.csv")]))
    ['old', 'new']

    Raises:
        UsageError: when a table is given twice.
    """
    from leukoscope.errors import UsageError

    if len({path.resolve() for path in paths}) < len(paths):
        raise UsageError("the same table is given twice", hint="name each table once")
    parts = [path.resolve().with_suffix("").parts for path in paths]
    if len({path.with_suffix("") for path in paths}) < len(paths):  # one name in two formats
        parts = [path.resolve().parts for path in paths]
    depth = next(depth for depth in range(1, 1000) if len({own[-depth:] for own in parts}) == len(parts))
    names = [own[-depth:] for own in parts]
    while depth > 1 and len({own[-1] for own in names}) == 1:
        names, depth = [own[:-1] for own in names], depth - 1
    return dict(zip(("/".join(own) for own in names), paths, strict=True))


def print_comparison(comparison: Comparison) -> None:
    """Print every pair's differences, the tests that ignore subjects, and what must be said first."""
    from leukoscope.evaluation.paired import PAIRED
    from leukoscope.evaluation.report import p_text

    for stamp in comparison.stamps:
        print(f"[{stamp}]")
    print(
        f"{comparison.num_cells:,} cells of {comparison.num_subjects or 'unknown'} subjects that all judge; "
        f"threshold {comparison.threshold:g}"
    )
    for name in PAIRED:
        rows = []
        for pair in comparison.pairs:
            found = pair.differences[name]
            told = "undefined" if found.difference is None else f"{found.difference:+.3f}"
            if found.ci_low is not None:
                told += f" ({found.ci_low:+.3f} to {found.ci_high:+.3f})"
            rows.append((f"{pair.first} less {pair.second}", told, p_text(pair.adjusted_p[name])))
        many = len(comparison.pairs) > 1
        print_table((name, "difference, paired by subject", "p, corrected" if many else "p"), rows)
    print(f"{comparison.num_disputed:,} cells are not called the same by all")
    reasons = {
        found.reason for pair in comparison.pairs for found in pair.differences.values() if found.reason
    }
    for note in (*comparison.notes, *sorted(reasons)):
        print(note)
