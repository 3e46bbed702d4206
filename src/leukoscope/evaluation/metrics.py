"""Metrics as pure functions of labels, probabilities and weights.

``y`` (N,) says whether a cell is a blast (the positive class), ``p`` (N,) is ``blast_probability``, and
``weights`` is (N,) or (..., N): leading axes give one result each, which is how the bootstrap uses them.
A metric that is undefined is NaN, never 0; :func:`undefined_reason` says why.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from leukoscope.evaluation.ranking import Counts, Ranking, area_by_steps, area_under_roc, ratio

Floats = npt.NDArray[np.float64]

NUM_BINS = 15


class Confusion(NamedTuple):
    """Weight of the cells by label and call; all four of one shape.

    Attributes:
        tp: blasts called blast.
        fp: normal cells called blast.
        fn: blasts not called blast.
        tn: normal cells not called blast.
    """

    tp: Floats
    fp: Floats
    fn: Floats
    tn: Floats


def confusion(y: npt.ArrayLike, called: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> Confusion:
    """Count labels ``y`` (N,) against calls (N,), both boolean.

    >>> [int(count) for count in confusion([True, True, False], [True, False, False])]
    [1, 0, 1, 1]
    """
    truth, call = np.asarray(y, dtype=bool), np.asarray(called, dtype=bool)
    w = np.ones(len(truth)) if weights is None else np.asarray(weights, dtype=np.float64)
    cells = (truth & call, ~truth & call, truth & ~call, ~truth & ~call)
    return Confusion(*(w @ cell.astype(np.float64) for cell in cells))


def _with_both(c: Confusion, value: Floats) -> Floats:
    return np.where((c.tp + c.fn > 0) & (c.fp + c.tn > 0), value, np.nan)


def accuracy(c: Confusion) -> Floats:
    """Share of the cells that are called what they are."""
    return ratio(c.tp + c.tn, c.tp + c.fp + c.fn + c.tn)


def sensitivity(c: Confusion) -> Floats:
    """Share of the blasts that are called blast (recall)."""
    return ratio(c.tp, c.tp + c.fn)


def specificity(c: Confusion) -> Floats:
    """Share of the normal cells that are not called blast."""
    return ratio(c.tn, c.tn + c.fp)


def ppv(c: Confusion) -> Floats:
    """Share of the cells called blast that are blasts (precision)."""
    return ratio(c.tp, c.tp + c.fp)


def npv(c: Confusion) -> Floats:
    """Share of the cells called normal that are normal."""
    return ratio(c.tn, c.tn + c.fn)


def balanced_accuracy(c: Confusion) -> Floats:
    """Mean of sensitivity and specificity."""
    return (sensitivity(c) + specificity(c)) / 2


def weighted_f1(c: Confusion) -> Floats:
    """F1 of each class, weighted by the class's share of the labels; C-NMC's metric."""
    blast, normal = _f1_of_both(c)
    positive, negative = c.tp + c.fn, c.fp + c.tn
    return _with_both(c, ratio(blast * positive + normal * negative, positive + negative))


def macro_f1(c: Confusion) -> Floats:
    """Plain mean of the two classes' F1."""
    blast, normal = _f1_of_both(c)
    return _with_both(c, (blast + normal) / 2)


def _f1_of_both(c: Confusion) -> tuple[Floats, Floats]:
    wrong = c.fp + c.fn
    return ratio(2 * c.tp, 2 * c.tp + wrong), ratio(2 * c.tn, 2 * c.tn + wrong)


def mcc(c: Confusion) -> Floats:
    """Matthews' correlation coefficient, -1..1; undefined when labels or calls are all of one class."""
    sides = (c.tp + c.fp, c.tp + c.fn, c.tn + c.fp, c.tn + c.fn)
    # Roots before the product: the product of four counts of cells may pass what a float holds exactly.
    scale = np.prod([np.sqrt(side) for side in sides], axis=0)
    return ratio(c.tp * c.tn - c.fp * c.fn, scale)


def auroc(y: npt.ArrayLike, p: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> Floats:
    """Area under the ROC curve, 0..1, ties counting half.

    >>> auroc([True, True, False], [0.9, 0.4, 0.4])
    array(0.75)
    """
    return area_under_roc(_counts(y, p, weights))


def average_precision(y: npt.ArrayLike, p: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> Floats:
    """Area under the precision-recall curve by steps, 0..1, without interpolation."""
    return area_by_steps(_counts(y, p, weights))


def _counts(y: npt.ArrayLike, p: npt.ArrayLike, weights: npt.ArrayLike | None) -> Counts:
    ranking = Ranking.of(y, p)
    return ranking.counts(np.ones(len(ranking.order)) if weights is None else weights)


def squared_errors(y: npt.ArrayLike, p: npt.ArrayLike) -> Floats:
    """``(p - y)²`` of each cell; their mean is the Brier score."""
    return (np.asarray(p, dtype=np.float64) - np.asarray(y, dtype=np.float64)) ** 2


def log_losses(y: npt.ArrayLike, p: npt.ArrayLike) -> Floats:
    """Negative log-likelihood of each cell, natural logarithm.

    A probability of exactly 0 or 1 is moved by the float's precision (2.2e-16), as scikit-learn does, so that
    one cell that is wrong with certainty costs 36 and not infinity.
    """
    epsilon = np.finfo(np.float64).eps
    certain = np.where(np.asarray(y, dtype=bool), p, 1 - np.asarray(p, dtype=np.float64))
    return np.asarray(-np.log(np.clip(certain, epsilon, 1 - epsilon)))


def brier(y: npt.ArrayLike, p: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> Floats:
    """Mean squared difference of probability and label, 0..1, lower is better."""
    return _mean(squared_errors(y, p), weights)


def log_loss(y: npt.ArrayLike, p: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> Floats:
    """Mean negative log-likelihood, lower is better."""
    return _mean(log_losses(y, p), weights)


def _mean(values: Floats, weights: npt.ArrayLike | None) -> Floats:
    w = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
    return ratio(w @ values, w.sum(axis=-1))


def ece(y: npt.ArrayLike, p: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> Floats:
    """Expected calibration error over 15 bins that hold equally many cells, 0..1, lower is better.

    Sum over bins of the bin's share times ``|mean p - share of blasts|``. Cells of equal probability that lie
    on a border are shared out between its two bins, all alike, so that the order of the rows does not matter.
    """
    ranking = Ranking.of(y, p)
    counts = ranking.counts(np.ones(len(ranking.order)) if weights is None else weights)
    return equal_mass_error(counts, ranking.scores)


def equal_mass_error(counts: Counts, scores: Floats, num_bins: int = NUM_BINS) -> Floats:
    """:func:`ece` from cumulative counts (..., U) at the distinct scores (U,)."""
    mass = from_zero(counts.called)
    residual = from_zero(counts.tp - np.cumsum(counts.called_step * scores, axis=-1))
    return ratio(np.abs(shared_out(mass, residual, num_bins)).sum(axis=-1), mass[..., -1])


def from_zero(running: Floats) -> Floats:
    """Running sums (..., U) with the zero that they start from, (..., 1 + U)."""
    return np.concatenate([np.zeros((*running.shape[:-1], 1)), running], axis=-1)


def shared_out(mass: Floats, total: Floats, num_bins: int = NUM_BINS) -> Floats:
    """What falls into each of the bins of equal mass, (..., num_bins), of a running ``total``.

    Args:
        mass: (..., 1 + U) running weight of the cells, from zero; a group of cells on a border is shared out
            in proportion.
        total: (..., 1 + U) running sum of the quantity at the same places.
        num_bins: how many bins.
    """
    borders = mass[..., -1:] * np.arange(num_bins + 1) / num_bins
    rows = zip(*(each.reshape(-1, each.shape[-1]) for each in (borders, mass, total)), strict=True)
    return np.diff(np.reshape([np.interp(*row) for row in rows], borders.shape))


def width_bin(p: npt.ArrayLike, num_bins: int = NUM_BINS) -> npt.NDArray[np.intp]:
    """Which of the bins of equal width, ``((b)/B, (b+1)/B]`` and the first with 0, each probability is in."""
    bins = np.ceil(np.asarray(p, dtype=np.float64) * num_bins).astype(np.intp) - 1
    return np.clip(bins, 0, num_bins - 1)


def ece_equal_width(y: npt.ArrayLike, p: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> Floats:
    """Expected calibration error over 15 bins of equal width (Guo et al. 2017), of the blast probability."""
    values = np.asarray(p, dtype=np.float64)
    w = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
    residual = np.eye(NUM_BINS)[width_bin(values)] * (np.asarray(y, dtype=np.float64) - values)[:, None]
    return ratio(np.abs(w @ residual).sum(axis=-1), w.sum(axis=-1))


CALLED: dict[str, Callable[[Confusion], Floats]] = {
    "weighted_f1": weighted_f1,
    "macro_f1": macro_f1,
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "sensitivity": sensitivity,
    "specificity": specificity,
    "ppv": ppv,
    "npv": npv,
    "mcc": mcc,
}
"""Metrics that need a threshold."""

SCORED: dict[str, Callable[..., Floats]] = {
    "auroc": auroc,
    "average_precision": average_precision,
    "brier": brier,
    "ece": ece,
    "ece_equal_width": ece_equal_width,
    "log_loss": log_loss,
}
"""Metrics of the probabilities themselves."""

NAMES = (*CALLED, *SCORED)


def undefined_reason(name: str, num_blast: int, num_normal: int) -> str:
    """Why metric ``name`` has no value on so many cells of each class.

    >>> undefined_reason("auroc", 3, 0)
    'undefined: there are no normal cells'
    """
    if num_blast + num_normal == 0:
        return "undefined: there are no labelled, readable cells"
    if name == "ppv":
        return "undefined: no cell is called blast"
    if name == "npv":
        return "undefined: no cell is called normal"
    if num_blast and num_normal:
        return "undefined: all cells are called the same"
    return f"undefined: there are no {'normal cells' if num_blast else 'blasts'}"
