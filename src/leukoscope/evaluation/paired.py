"""Two sets of predictions on the same cells: the difference, with the interval of the difference.

Both are read on the same draws of subjects, so what a hard subject costs the one it costs the other too,
and the difference is known far better than either number.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import polars as pl

from leukoscope.core.config import Config
from leukoscope.errors import TableError
from leukoscope.evaluation.bootstrap import CONFIDENCE, NUM_DRAWS, Interval
from leukoscope.evaluation.readings import Cells, Judgement, interval_of
from leukoscope.evaluation.table import PredictionTable

PAIRED = ("auroc", "weighted_f1")


class Difference(Config):
    """One metric of two sets of predictions on the same cells.

    Attributes:
        first, second: the two estimates, ``None`` where undefined.
        difference: ``first - second``.
        ci_low, ci_high: its interval, from draws of subjects shared by both.
        confidence_level, unit: of the interval.
        num_cells, num_subjects: that both were read on.
        reason: why there is no difference or no interval.
    """

    first: float | None
    second: float | None
    difference: float | None
    ci_low: float | None = None
    ci_high: float | None = None
    confidence_level: float = CONFIDENCE
    unit: str = "subject"
    num_cells: int
    num_subjects: int | None = None
    reason: str | None = None


def differences(first: Judgement, second: Judgement, names: Iterable[str] = PAIRED) -> dict[str, Difference]:
    """``first - second`` for some metrics; both must judge the same cells with the same draws."""
    cells = first.cells
    known = cells.subject_ids is not None
    result = {}
    for name in names:
        one, other = first.values[name], second.values[name]
        defined = bool(np.isfinite(one[0]) and np.isfinite(other[0]))
        reason = first.metrics[name].reason or second.metrics[name].reason
        found = interval_of(name, one - other, cells) if defined else Interval(None, None, reason)
        result[name] = Difference(
            first=first.metrics[name].estimate,
            second=second.metrics[name].estimate,
            difference=float(one[0] - other[0]) if defined else None,
            ci_low=found.low,
            ci_high=found.high,
            num_cells=len(cells.y),
            num_subjects=len(cells.subjects.names) if known else None,
            reason=found.reason,
        )
    return result


def compare_tables(
    first: PredictionTable,
    second: PredictionTable,
    *,
    threshold: float = 0.5,
    draws: int = NUM_DRAWS,
    seed: int = 0,
) -> dict[str, Difference]:
    """``first - second`` for AUROC and weighted F1, on the judged cells that both tables have.

    Raises:
        TableError: when they share no cell, or disagree about whose or what a cell is.
    """
    one, other = (_facts(table) for table in (first, second))
    both = one.join(other, on="cell_id", how="inner", suffix="_other", maintain_order="left")
    if not both.height:
        raise TableError(
            "the two tables share no labelled, readable cell", hint="compare them on one data set"
        )
    disagree = both.filter((pl.col("y") != pl.col("y_other")) | pl.col("subject").ne(pl.col("subject_other")))
    if disagree.height:
        cell = disagree["cell_id"][0]
        raise TableError(
            f"the tables disagree on label or subject of {disagree.height:,} cells, the first is '{cell}'",
            hint="predict both from one manifest",
        )
    subjects = both["subject"].to_numpy().astype(np.str_)
    ids = None if (subjects == "").any() else subjects
    cells = Cells(both["y"].to_numpy(), ids, draws, seed)
    return differences(
        Judgement(cells, both["p"].to_numpy(), threshold),
        Judgement(cells, both["p_other"].to_numpy(), threshold),
    )


def _facts(table: PredictionTable) -> pl.DataFrame:
    facts = {"cell_id": table.judged["cell_id"], "subject": table.subjects, "y": table.y, "p": table.p}
    frame = pl.DataFrame(facts, schema_overrides={"subject": pl.Utf8})
    if frame["cell_id"].is_duplicated().any():
        twice = frame.filter(frame["cell_id"].is_duplicated())["cell_id"][0]
        raise TableError(f"cell '{twice}' is in a table twice", hint="keep one row a cell")
    return frame
