"""The table of subjects: what pooled figures hide."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import polars as pl

from leukoscope.core.config import Config
from leukoscope.evaluation.bootstrap import NUM_DRAWS, IntervalMethod
from leukoscope.evaluation.by_subject import wilson
from leukoscope.evaluation.ranking import ratio
from leukoscope.evaluation.readings import Bools, Cells, Floats, interval_of_reading
from leukoscope.evaluation.subject_pairs import auroc_of_draws

Ends = tuple[float, float] | None

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
        ci_low, ci_high: Wilson's 95 % interval of ``blast_fraction``, as if the subject's cells were
            independent.
    """

    subject_id: str
    label: str
    num_cells: int
    accuracy: float
    blast_fraction: float
    mean_probability: float
    ci_low: float | None = None
    ci_high: float | None = None

    def with_interval(self) -> SubjectRow:
        """The same with Wilson's interval of :attr:`blast_fraction`."""
        low, high = _wilson(self.blast_fraction, self.num_cells)
        return self.model_copy(update={"ci_low": low, "ci_high": high})


class SubjectMeans(Config):
    """Accuracy over subjects, each counting once, whatever the number of its cells.

    Attributes:
        blast, normal: mean accuracy over the subjects of that kind; ``None`` where there is none.
        auroc: of the subjects, each ranked by its mean probability: how well blast subjects are told from
            normal ones; no cell is counted in it.
        blast_ci, normal_ci, auroc_ci: their 95 % intervals, from draws of these subjects; ``None`` below
            five.
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
    auroc: float | None = None
    auroc_ci: tuple[float, float] | None = None
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
    low, high = wilson(pl.col("called").sum(), pl.len())
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
            ci_low=low,
            ci_high=high,
        )
    )
    return sorted((SubjectRow(**row) for row in rows.iter_rows(named=True)), key=_by_label_and_number)


def _by_label_and_number(row: SubjectRow) -> tuple[str, list[tuple[int, str]]]:
    return row.label, natural(row.subject_id)


def natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts names with numbers as people do.

    >>> sorted(["H22", "H7", "3"], key=natural)
    ['3', 'H7', 'H22']
    """
    parts = re.split(r"([0-9]+)", name)
    return [(int(part) if part.isdecimal() else -1, part) for part in parts]


def subject_means(
    rows: Sequence[SubjectRow],
    positive: Sequence[str],
    *,
    draws: int = NUM_DRAWS,
    seed: int = 0,
    method: IntervalMethod = "expanded",
) -> SubjectMeans:
    """Mean and worst accuracy over the subjects with at least :data:`MIN_CELLS` cells; mixed ones in neither.

    Args:
        rows: of :func:`subject_rows`.
        positive: the class names that count as blast.
        draws: of the subjects, for the intervals; 0 gives none.
        seed: of the draws.
        method: of the intervals.
    """
    enough = [row for row in rows if row.num_cells >= MIN_CELLS and row.label != MIXED]
    is_blast = np.array([row.label in positive for row in enough], dtype=bool)
    names = np.array([row.subject_id for row in enough], dtype=np.str_)
    once = Cells(is_blast, names, draws, seed, method)  # a subject in place of a cell
    worst = min(enough, key=lambda row: row.accuracy, default=None)
    kinds = ((BLAST, is_blast.any()), (NORMAL, (~is_blast).any()))
    missing = [name for name, there in kinds if not there]
    reason = f"undefined: no {' and no '.join(missing)} subject has {MIN_CELLS} cells" if missing else None
    accuracy = np.array([row.accuracy for row in enough])
    probability = np.array([row.mean_probability for row in enough])
    found = {
        "blast": _mean("sensitivity", accuracy, is_blast, once),
        "normal": _mean("specificity", accuracy, ~is_blast, once),
    }
    if not missing:
        areas = auroc_of_draws(is_blast, probability, once.subjects, once.times)
        found["auroc"] = float(areas[0]), interval_of_reading("auroc", areas, once).ends
    figures = {name: figure for name, (figure, _) in found.items()}
    intervals = {f"{name}_ci": ends for name, (_, ends) in found.items()}
    return SubjectMeans(
        **figures,
        **intervals,
        worst=worst.accuracy if worst else None,
        worst_subject_id=worst.subject_id if worst else None,
        worst_ci=_wilson(worst.accuracy, worst.num_cells) if worst else None,
        num_blast_subjects=int(is_blast.sum()),
        num_normal_subjects=int((~is_blast).sum()),
        reason=reason,
    )


def _mean(name: str, values: Floats, kept: Bools, once: Cells) -> tuple[float | None, Ends]:
    if not kept.any():
        return None, None
    times = once.times[:, once.subjects.index[kept]]
    means = ratio(times @ values[kept], times.sum(axis=1))
    return float(means[0]), interval_of_reading(name, means, once).ends


def _wilson(share: float, num: int) -> tuple[float, float]:
    low, high = wilson(pl.lit(share * num), pl.lit(num))
    return pl.select(low, high.alias("high")).row(0)
