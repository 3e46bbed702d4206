"""Metrics with their intervals: what a table says, and how far it might say something else."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from leukoscope.core.config import Config
from leukoscope.evaluation import metrics
from leukoscope.evaluation.bootstrap import (
    CONFIDENCE,
    NO_BEND,
    Bend,
    Interval,
    IntervalMethod,
    Subjects,
    bend_of,
    called_counts,
    interval,
    p_value,
    replicates,
)

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


class Metric(Config):
    """One number with its interval.

    Attributes:
        estimate: ``None`` where it is undefined.
        ci_low, ci_high: the interval, ``None`` where there is none to give.
        confidence_level: of the interval.
        unit: what was resampled.
        num_cells: cells that enter: the blasts for sensitivity, those called blast for the positive
            predictive
            value, and so on.
        num_subjects: whose they are; ``None`` where subjects are not known.
        threshold: a cell is called a blast from this probability on; ``None`` where it does not matter.
        reason: why there is no estimate or no interval.
    """

    estimate: float | None
    ci_low: float | None = None
    ci_high: float | None = None
    confidence_level: float = CONFIDENCE
    unit: str = "subject"
    num_cells: int
    num_subjects: int | None = None
    threshold: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Cells:
    """The cells that are judged, and how often each subject is drawn.

    Attributes:
        y: (N,) is it a blast?
        subject_ids: (N,) whose it is, ``None`` where that is not known of all.
        num_draws: bootstrap draws; 0 for none.
        seed: of the draws; equal seeds draw the same subjects, so that readings can be paired.
        method: of the intervals.
    """

    y: Bools
    subject_ids: npt.NDArray[np.str_] | None
    num_draws: int
    seed: int
    method: IntervalMethod = "expanded"

    @cached_property
    def subjects(self) -> Subjects:
        """Whose the cells are; one for all where that is not known."""
        ids = np.zeros(len(self.y), dtype=np.str_) if self.subject_ids is None else self.subject_ids
        return Subjects.of(ids, self.y)

    @cached_property
    def times(self) -> Floats:
        """(1 + B, S) weight of each subject's cells: once as they are, then the draws; for BCa intervals S
        more rows, each without one subject."""
        size = len(self.subjects.names)
        once = np.ones((1, size))
        if self.subject_ids is None or not self.num_draws:
            return once
        rows = [once, self.subjects.draw(self.num_draws, self.seed)]
        return np.concatenate([*rows, 1 - np.eye(size)] if self.method == "bca" else rows)

    def part(self, kept: Bools) -> Cells:
        """Some of the cells; ``kept`` (N,)."""
        ids = None if self.subject_ids is None else self.subject_ids[kept]
        return Cells(self.y[kept], ids, self.num_draws, self.seed, self.method)


@dataclass(frozen=True)
class Judgement:
    """What one set of probabilities reads on the cells.

    Attributes:
        cells: that were judged.
        p: (N,) blast probabilities.
        threshold: a cell is called a blast from it on.
    """

    cells: Cells
    p: Floats
    threshold: float

    @cached_property
    def values(self) -> dict[str, Floats]:
        """name -> (1 + B,): the metric on the table, then on each draw; NaN where undefined."""
        if not len(self.p):
            return {name: np.full(1, np.nan) for name in metrics.NAMES}
        return replicates(
            self.cells.y, self.p, self.cells.subjects, self.cells.times, threshold=self.threshold
        )

    @cached_property
    def metrics(self) -> dict[str, Metric]:
        """Every metric with its interval, in the order of :data:`metrics.NAMES`."""
        called = self.p >= self.threshold
        return {
            name: read_metric(
                name,
                self.values[name],
                self.cells,
                called,
                threshold=self.threshold if name in metrics.CALLED else None,
            )
            for name in metrics.NAMES
        }

    def part(self, kept: Bools) -> Judgement:
        """The same on some of the cells."""
        return self if kept.all() else Judgement(self.cells.part(kept), self.p[kept], self.threshold)


def read_metric(
    name: str, values: Floats, cells: Cells, called: Bools, *, threshold: float | None = None
) -> Metric:
    """Put a metric's estimate, interval and base together.

    Args:
        name: of the metric.
        values: (1 + B,) on the table and on each draw.
        cells: that it was read on.
        called: (N,) cells that are called blast.
        threshold: for the record.
    """
    base = _base(name, cells.y, called)
    known = cells.subject_ids is not None
    estimate = float(values[0]) if np.isfinite(values[0]) else None
    num_blasts = int(cells.y.sum())
    if estimate is None:
        reason = metrics.undefined_reason(name, num_blasts, len(cells.y) - num_blasts)
        found = Interval(None, None, reason)
    else:
        found = interval_of_reading(name, values, cells)
    return Metric(
        estimate=estimate,
        ci_low=found.low,
        ci_high=found.high,
        num_cells=int(base.sum()),
        num_subjects=len(np.unique(cells.subjects.index[base])) if known else None,
        threshold=threshold,
        reason=found.reason,
    )


def interval_of(name: str, values: Floats, cells: Cells) -> Interval:
    """The interval of a metric's values under the rows of ``cells.times``, whose first is the estimate."""
    if cells.subject_ids is None:
        return Interval(None, None, "no interval: the subjects of the cells are not known")
    if len(values) == 1:
        return Interval(None, None, "no interval: no draws were asked for")
    return interval(**_drawn(name, values, cells))


def interval_of_reading(name: str, values: Floats, cells: Cells) -> Interval:
    """The same of a figure by itself, with no interval where every draw reads the same.

    Five people without an error do not say that a sixth has none. A difference may be nothing in every draw.
    """
    found = interval_of(name, values, cells)
    if found.low is not None and found.low == found.high:
        return Interval(None, None, "no interval: every draw of subjects reads the same")
    return found


def p_value_of(name: str, values: Floats, cells: Cells) -> float | None:
    """The p value of a difference under the rows of ``cells.times``; ``None`` where it has no interval."""
    if cells.subject_ids is None or len(values) == 1:
        return None
    return p_value(**_drawn(name, values, cells))


def _drawn(name: str, values: Floats, cells: Cells) -> _Drawn:
    draws = values[1 : 1 + cells.num_draws]
    bend = NO_BEND
    if cells.method == "bca":
        bend = bend_of(values[0], draws, values[1 + cells.num_draws :], cells.subjects.strata)
    num = _num_independent(name, cells.subjects)
    return _Drawn(draws=draws, num_subjects=num, method=cells.method, bend=bend)


class _Drawn(TypedDict):
    draws: Floats
    num_subjects: int
    method: IntervalMethod
    bend: Bend


def _base(name: str, y: Bools, called: Bools) -> Bools:
    bases = {"sensitivity": y, "specificity": ~y, "ppv": called, "npv": ~called}
    return bases.get(name, np.ones(len(y), dtype=bool))


def _num_independent(name: str, subjects: Subjects) -> int:
    """Subjects of the smallest class that the metric looks at."""
    blast, normal = subjects.num_with(blasts=True), subjects.num_with(blasts=False)
    if name == "sensitivity":
        return blast
    if name == "specificity":
        return normal
    return min(number for number in (blast, normal) if number)


def read_calls(cells: Cells, called_blast: Bools, called_normal: Bools) -> dict[str, Metric]:
    """Sensitivity, specificity, predictive values and the share called neither, for given calls.

    A cell that is called neither blast nor normal counts among all blasts or all normal cells, so it lowers
    sensitivity or specificity; it is in no predictive value.

    Args:
        cells: that were judged, N of them.
        called_blast, called_normal: (N,), never both.
    """
    names = ("sensitivity", "specificity", "ppv", "npv", "share_indeterminate")
    if not len(cells.y):
        values = {name: np.full(1, np.nan) for name in names}
    else:
        blast = called_counts(cells.y, called_blast, cells.subjects, cells.times)
        normal = called_counts(~cells.y, called_normal, cells.subjects, cells.times)
        called = blast.tp + blast.fp + normal.tp + normal.fp
        values = {
            "sensitivity": metrics.sensitivity(blast),
            "specificity": metrics.sensitivity(normal),
            "ppv": metrics.ppv(blast),
            "npv": metrics.ppv(normal),
            "share_indeterminate": 1 - called / (blast.tp + blast.fp + blast.fn + blast.tn),
        }
    calls = {"npv": ~called_normal}
    return {
        name: read_metric(name, value, cells, calls.get(name, called_blast)) for name, value in values.items()
    }
