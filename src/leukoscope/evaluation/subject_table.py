"""The table of subjects: what pooled figures hide."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import polars as pl

from leukoscope.core.config import Config
from leukoscope.evaluation.bootstrap import NUM_DRAWS, interval
from leukoscope.evaluation.by_subject import wilson
from leukoscope.evaluation.readings import Bools, Floats

MIN_CELLS = 20
"""Cells that a subject needs to count in the means over subjects."""

BLAST, NORMAL, MIXED = "blast", "normal", "mixed"


class SubjectRow(Config):
    """How one subject's cells are called at the threshold.

    Attributes:
        subject_id: whose cells.
        label: the class of all of them, or ``"mixed"``.
        num_cells: judged cells.
        accuracy: share called what they are.
        blast_fraction: share called blast.
        mean_probability: mean ``blast_probability``.
    """

    subject_id: str
    label: str
    num_cells: int
    accuracy: float
    blast_fraction: float
    mean_probability: float


class SubjectMeans(Config):
    """Accuracy over subjects, each counting once, whatever the number of its cells.

    Attributes:
        blast, normal: mean accuracy over the subjects of that kind; ``None`` where there is none.
        blast_ci, normal_ci: their 95 % intervals, from draws of these subjects; ``None`` below five.
        worst: the lowest accuracy of a subject, whose ``subject_id`` is ``worst_subject_id``.
        worst_ci: Wilson's 95 % interval of that share, as if the subject's cells were independent.
        num_blast_subjects, num_normal_subjects: that the means are over.
        min_cells: subjects with fewer cells are left out.
        reason: what is undefined, and why.
    """

    blast: float | None
    normal: float | None
    worst: float | None
    worst_subject_id: str | None
    blast_ci: tuple[float, float] | None = None
    normal_ci: tuple[float, float] | None = None
    worst_ci: tuple[float, float] | None = None
    num_blast_subjects: int
    num_normal_subjects: int
    min_cells: int = MIN_CELLS
    reason: str | None = None


def subject_rows(judged: pl.DataFrame, y: Bools, p: Floats, *, threshold: float) -> list[SubjectRow]:
    """One row for every subject with a judged cell, by label, then by subject in natural order.

    Args:
        judged: the N judged rows, with ``subject_id`` and ``label``; those without a subject make no row.
        y, p: (N,) labels and blast probabilities.
        threshold: a cell is called a blast from it on.
    """
    called = p >= threshold
    frame = judged.select("subject_id", "label").with_columns(
        right=pl.Series(called == y), called=pl.Series(called), p=pl.Series(p)
    )
    rows = (
        frame.filter(pl.col("subject_id").is_not_null())
        .group_by("subject_id")
        .agg(
            label=pl.when(pl.col("label").n_unique() == 1)
            .then(pl.col("label").first())
            .otherwise(pl.lit(MIXED)),
            num_cells=pl.len().cast(pl.Int64),
            accuracy=pl.col("right").mean(),
            blast_fraction=pl.col("called").mean(),
            mean_probability=pl.col("p").mean(),
        )
    )
    return sorted((SubjectRow(**row) for row in rows.iter_rows(named=True)), key=_by_label_and_number)


def _by_label_and_number(row: SubjectRow) -> tuple[str, list[tuple[int, str]]]:
    parts = re.split(r"([0-9]+)", row.subject_id)
    return row.label, [(int(part) if part.isdecimal() else -1, part) for part in parts]


def subject_means(
    rows: Sequence[SubjectRow], positive: Sequence[str], *, draws: int = NUM_DRAWS, seed: int = 0
) -> SubjectMeans:
    """Mean and worst accuracy over the subjects with at least :data:`MIN_CELLS` cells; mixed ones in neither.

    Args:
        rows: of :func:`subject_rows`.
        positive: the class names that count as blast.
        draws: of the subjects, for the intervals; 0 gives none.
        seed: of the draws.
    """
    enough = [row for row in rows if row.num_cells >= MIN_CELLS and row.label != MIXED]
    blast = [row.accuracy for row in enough if row.label in positive]
    normal = [row.accuracy for row in enough if row.label not in positive]
    worst = min(enough, key=lambda row: row.accuracy, default=None)
    missing = [name for name, values in ((BLAST, blast), (NORMAL, normal)) if not values]
    reason = f"undefined: no {' and no '.join(missing)} subject has {MIN_CELLS} cells" if missing else None
    return SubjectMeans(
        blast=float(np.mean(blast)) if blast else None,
        normal=float(np.mean(normal)) if normal else None,
        worst=worst.accuracy if worst else None,
        worst_subject_id=worst.subject_id if worst else None,
        blast_ci=_interval_of_mean(blast, draws, seed),
        normal_ci=_interval_of_mean(normal, draws, seed),
        worst_ci=_wilson(worst) if worst else None,
        num_blast_subjects=len(blast),
        num_normal_subjects=len(normal),
        reason=reason,
    )


def _interval_of_mean(values: Sequence[float], draws: int, seed: int) -> tuple[float, float] | None:
    if not (values and draws):
        return None
    drawn = np.random.default_rng(seed).choice(np.asarray(values), size=(draws, len(values)))
    found = interval(drawn.mean(axis=1), len(values))
    return None if found.low is None or found.high is None else (found.low, found.high)


def _wilson(row: SubjectRow) -> tuple[float, float]:
    low, high = wilson(pl.lit(row.accuracy * row.num_cells), pl.lit(row.num_cells))
    return pl.select(low, high.alias("high")).row(0)
