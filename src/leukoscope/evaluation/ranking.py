"""Cells in the order of their scores: what ROC, precision-recall and equal-mass bins are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class Curve(NamedTuple):
    """Points of a curve, from the strictest threshold to the loosest.

    Attributes:
        x, y: (P,) coordinates; for ROC false and true positive rate, for precision-recall recall and
            precision.
        thresholds: (P,) a cell is called a blast from this probability on; infinite where nothing is called.
    """

    x: Floats
    y: Floats
    thresholds: Floats


class Counts(NamedTuple):
    """Weight of the cells called blast at each distinct score, strictest first; all four (..., U).

    Attributes:
        tp: blasts that score at least this much; the last is the total.
        called: cells that score at least this much; the last is the total.
        tp_step, called_step: blasts and cells of exactly this score.
    """

    tp: Floats
    called: Floats
    tp_step: Floats
    called_step: Floats


@dataclass(frozen=True)
class Ranking:
    """Labels and scores sorted once, to be weighted many times.

    Attributes:
        order: (N,) positions of the cells by falling score.
        positive: (N,) 1.0 for a blast, 0.0 for a normal cell, in that order.
        last: (U,) where in that order each group of equal scores ends.
        scores: (U,) the distinct scores, falling.
    """

    order: npt.NDArray[np.intp]
    positive: Floats
    last: npt.NDArray[np.intp]
    scores: Floats

    @classmethod
    def of(cls, y: npt.ArrayLike, p: npt.ArrayLike) -> Self:
        """Sort labels (N,) by scores (N,); N at least 1."""
        scores = np.asarray(p, dtype=np.float64)
        order = np.argsort(-scores, kind="stable")
        falling = scores[order]
        last = np.append(np.flatnonzero(np.diff(falling)), len(falling) - 1)
        return cls(order, np.asarray(y, dtype=np.float64)[order], last, falling[last])

    def counts(self, weights: npt.ArrayLike) -> Counts:
        """Cumulative weights for weights (..., N), given in the order of the cells."""
        return self.sorted_counts(np.asarray(weights, dtype=np.float64)[..., self.order])

    def sorted_counts(self, weights: Floats) -> Counts:
        """The same for weights (..., N) that are in the order of the scores already."""
        positive = weights * self.positive
        tp, called = np.cumsum(positive, axis=-1), np.cumsum(weights, axis=-1)
        if len(self.last) == len(self.order):
            return Counts(tp, called, positive, weights)
        # An index in place of take would lay the draws side by side, and each later sum jump between them.
        tp, called = np.take(tp, self.last, axis=-1), np.take(called, self.last, axis=-1)
        return Counts(tp, called, _steps(tp), _steps(called))


def _steps(running: Floats) -> Floats:
    steps = running.copy()
    steps[..., 1:] -= running[..., :-1]
    return steps


def area_under_roc(counts: Counts) -> Floats:
    """The chance that a blast scores above a normal cell, ties counting half; NaN without both classes."""
    tp, called, tp_step, called_step = counts
    blasts = tp[..., -1]
    # The sum over scores of cells there times (blasts above + half the blasts there), without the pairs of
    # two blasts: they add up to half the square of all blasts.
    pairs = _dot(called_step, tp) - _dot(called_step, tp_step) / 2 - blasts**2 / 2
    return ratio(pairs, blasts * (called[..., -1] - blasts))


def area_by_steps(counts: Counts) -> Floats:
    """Average precision: precision summed over the steps of recall; NaN without both classes."""
    tp, called = counts.tp, counts.called
    precision = tp / np.maximum(called, np.finfo(np.float64).tiny)  # 0 where nothing is called
    both = (tp[..., -1] > 0) & (called[..., -1] > tp[..., -1])
    # A running sum adds in the order of the scores, whatever the layout; so a draw alone reads the same.
    area = np.cumsum(counts.tp_step * precision, axis=-1)[..., -1]
    return ratio(area, np.where(both, tp[..., -1], 0.0))


def _dot(a: Floats, b: Floats) -> Floats:
    return np.asarray(np.einsum("...u,...u->...", a, b))


def roc_curve(counts: Counts, scores: Floats) -> Curve:
    """The ROC curve of counts (U,), from (0, 0) to (1, 1)."""
    fp = counts.called - counts.tp
    x, y = fp / fp[-1], counts.tp / counts.tp[-1]
    return Curve(np.append(0.0, x), np.append(0.0, y), np.append(np.inf, scores))


def precision_recall_curve(counts: Counts, scores: Floats) -> Curve:
    """Recall and precision of counts (U,), from the strictest threshold that calls a cell."""
    return Curve(counts.tp / counts.tp[-1], counts.tp / counts.called, scores)


def thinned(curve: Curve, points: int = 400) -> Curve:
    """At most about ``points`` of the curve's points, evenly along its length, with both ends."""
    if len(curve.x) <= points:
        return curve
    length = np.append(0.0, np.cumsum(np.hypot(np.diff(curve.x), np.diff(curve.y))))
    kept = np.unique(np.searchsorted(length, np.linspace(0.0, length[-1], points)))
    kept = np.unique(np.concatenate([[0], kept, [len(curve.x) - 1]]))
    return Curve(curve.x[kept], curve.y[kept], curve.thresholds[kept])


def ratio(numerator: npt.ArrayLike, denominator: npt.ArrayLike) -> Floats:
    """``numerator / denominator``, NaN where that is undefined.

    >>> ratio([1.0, 0.0], [2.0, 0.0])
    array([0.5, nan])
    """
    top, bottom = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    undefined = np.full(np.broadcast_shapes(top.shape, bottom.shape), np.nan)
    return np.asarray(np.divide(top, bottom, out=undefined, where=bottom != 0))
