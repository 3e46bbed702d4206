"""Whether probabilities mean what they say: bins with intervals of subjects, slope and intercept, the parts
of the Brier score."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from leukoscope.core.config import Config
from leukoscope.evaluation import metrics
from leukoscope.evaluation.ranking import Ranking, ratio
from leukoscope.evaluation.readings import Floats, Judgement, Metric, interval_of_reading, read_metric

NUM_LOGITS = 16
CHUNK = 4_000_000
STEPS, LONGEST_STEP, ACCURACY = 25, 5.0, 1e-4  # Newton's last step; what is left is its square


class ReliabilityBin(Config):
    """One of 15 bins that hold equally many cells (fractions of one where they do not divide).

    Attributes:
        mean_probability, blast_share: of the cells in it.
        ci_low, ci_high: interval of ``blast_share`` from draws of subjects, the bins left where they are.
        num_cells: in it.
    """

    mean_probability: float
    blast_share: float
    ci_low: float | None = None
    ci_high: float | None = None
    num_cells: float


class BrierParts(Config):
    """The Brier score as reliability - resolution + uncertainty + within_bins (Murphy 1973; Stephenson et al.
    2008), over the same bins.

    Attributes:
        reliability: mean square of probability less frequency; 0 is best.
        resolution: mean square of a bin's frequency less that of all; more is better.
        uncertainty: of the classes themselves; no model changes it.
        within_bins: what differs among the cells of one bin.
        reliability_ci, resolution_ci, uncertainty_ci, within_bins_ci: 95 % intervals from draws of subjects,
            the bins left where they are; ``None`` where there is none to give.
    """

    reliability: float
    resolution: float
    uncertainty: float
    within_bins: float
    reliability_ci: tuple[float, float] | None = None
    resolution_ci: tuple[float, float] | None = None
    uncertainty_ci: tuple[float, float] | None = None
    within_bins_ci: tuple[float, float] | None = None


class CalibrationReading(Config):
    """How far probabilities mean what they say.

    Attributes:
        slope: of a logistic regression of the label on the logit of the probability: below 1 the model is too
            sure, above 1 not sure enough.
        intercept: of that regression with the slope held at 1, "calibration in the large": above 0 there are
            more blasts than the probabilities say, below 0 fewer.
        brier: the parts of the Brier score; ``None`` without cells.
        bins: by rising probability.
    """

    slope: Metric
    intercept: Metric
    brier: BrierParts | None
    bins: list[ReliabilityBin]


def read_calibration(model: Judgement) -> CalibrationReading:
    """Slope, intercept, bins and the parts of the Brier score of a judgement."""
    if not len(model.p):
        nothing = np.full(1, np.nan)
        return CalibrationReading(
            slope=_metric("slope", nothing, model),
            intercept=_metric("intercept", nothing, model),
            brier=None,
            bins=[],
        )
    share_of_bin = bin_shares(model)
    y, times = model.cells.y.astype(np.float64), model.cells.times
    totals = model.cells.subjects.totals
    cells = times @ totals(share_of_bin)
    shares = ratio(times @ totals(share_of_bin * y[:, None]), cells)
    means = ratio(times @ totals(share_of_bin * model.p[:, None]), cells)
    ends = [interval_of_reading("reliability", column, model.cells) for column in shares.T]
    return CalibrationReading(
        slope=_metric("slope", slopes(model), model),
        intercept=_metric("intercept", intercepts(model), model),
        brier=_parts(shares, means, cells, model),
        bins=[
            ReliabilityBin(
                mean_probability=float(np.clip(mean, 0, 1)),
                blast_share=float(np.clip(share, 0, 1)),
                ci_low=end.low,
                ci_high=end.high,
                num_cells=len(y) / metrics.NUM_BINS,
            )
            for mean, share, end in zip(means[0], shares[0], ends, strict=True)
        ],
    )


def bin_shares(model: Judgement) -> Floats:
    """(N, 15) how much of each cell lies in each bin of equal numbers of cells, by rising probability.

    Cells of one probability on a border are shared out alike.
    """
    ranking = Ranking.of(model.cells.y, model.p)
    mass = metrics.from_zero(ranking.counts(np.ones(len(model.p))).called)
    borders = mass[-1] * np.arange(metrics.NUM_BINS + 1) / metrics.NUM_BINS
    low, high = mass[:-1, None], mass[1:, None]
    inside = np.clip(np.minimum(high, borders[1:]) - np.maximum(low, borders[:-1]), 0, None) / (high - low)
    group = np.searchsorted(-ranking.scores, -model.p)
    return np.asarray(inside[group][:, ::-1])


class _Points(NamedTuple):
    """Cells of one subject and class with nearly one logit as one point: logit, label, number, subject."""

    x: Floats
    y: Floats
    num: Floats
    owner: npt.NDArray[np.intp]


def slopes(model: Judgement) -> Floats:
    """(1 + B,): fitted on the table, and for each draw on its cells, put together in 16 bins of the logit.

    NaN where the regression has no end, because the classes are told apart without an error.
    """
    points = _points(model, 0)
    once = np.ones((1, len(model.cells.subjects.names)))
    start = _fitted(points, once, np.zeros(2), free_slope=True)[0]
    if not np.isfinite(start).all():
        return np.full(len(model.cells.times), np.nan)
    draws = _fitted(_points(model, NUM_LOGITS), model.cells.times[1:], start, free_slope=True)
    return np.concatenate([start[1:], draws[:, 1]])


def intercepts(model: Judgement) -> Floats:
    """(1 + B,): fitted as :func:`slopes` are, with the slope held at 1. NaN with one class only."""
    y, start = model.cells.y, np.array([0.0, 1.0])
    if y.all() or not y.any():
        return np.full(len(model.cells.times), np.nan)
    once = np.ones((1, len(model.cells.subjects.names)))
    start = _fitted(_points(model, 0), once, start, free_slope=False)[0]
    draws = _fitted(_points(model, NUM_LOGITS), model.cells.times[1:], start, free_slope=False)
    return np.concatenate([start[:1], draws[:, 0]])


def _points(model: Judgement, num_bins: int) -> _Points:
    """The cells themselves for 0 bins."""
    x, y, owner = _logits(model.p), model.cells.y.astype(np.float64), model.cells.subjects.index
    if not num_bins:
        return _Points(x, y, np.ones(len(x)), owner)
    place = np.searchsorted(np.quantile(x, np.arange(1, num_bins) / num_bins), x)
    key = (owner * num_bins + place) * 2 + model.cells.y
    found, point = np.unique(key, return_inverse=True)
    num = np.bincount(point).astype(np.float64)
    return _Points(np.bincount(point, weights=x) / num, found % 2.0, num, found // (2 * num_bins))


def _fitted(points: _Points, times: Floats, start: Floats, *, free_slope: bool) -> Floats:
    """(B, 2) intercept and slope under each row of subject weights (B, S), by Newton's method; NaN where that
    does not come to an end."""
    step = max(1, CHUNK // len(points.x))
    parts = [times[begin : begin + step] for begin in range(0, len(times), step)]
    found = [_newton(points, part, start, free_slope=free_slope) for part in parts]
    return np.concatenate(found) if found else np.zeros((0, 2))


def _newton(points: _Points, times: Floats, start: Floats, *, free_slope: bool) -> Floats:
    weights = times[:, points.owner] * points.num
    columns = np.stack([np.ones_like(points.x), points.x, points.x**2], axis=1)
    at = np.repeat(start[None], len(times), axis=0)
    moved = np.full(len(times), np.inf)
    for _ in range(STEPS):
        mean = _sigmoid(at[:, :1] + at[:, 1:] * points.x)
        pull = (weights * (points.y - mean)) @ columns[:, :2]
        h00, h01, h11 = ((weights * mean * (1 - mean)) @ columns).T
        with np.errstate(divide="ignore", invalid="ignore"):
            if free_slope:
                area = h00 * h11 - h01 * h01
                change = np.stack(
                    [h11 * pull[:, 0] - h01 * pull[:, 1], h00 * pull[:, 1] - h01 * pull[:, 0]], 1
                )
                change /= area[:, None]
            else:
                change = np.stack([pull[:, 0] / h00, np.zeros(len(at))], axis=1)
        change = np.clip(change, -LONGEST_STEP, LONGEST_STEP)
        at = at + change
        moved = np.abs(change).max(axis=1)
        if not (moved > ACCURACY).any():
            break
    at[~(moved <= ACCURACY)] = np.nan
    return np.asarray(at)


def _logits(p: Floats) -> Floats:
    epsilon = np.finfo(np.float64).eps
    certain = np.clip(p, epsilon, 1 - epsilon)
    return np.asarray(np.log(certain) - np.log1p(-certain))


def _sigmoid(values: Floats) -> Floats:
    from scipy.special import expit

    return np.asarray(expit(values))


def _metric(name: str, values: Floats, model: Judgement) -> Metric:
    found = read_metric(name, values, model.cells, model.p >= model.threshold)
    if found.estimate is None and model.cells.y.any() and not model.cells.y.all():
        return found.model_copy(update={"reason": "undefined: the classes are told apart without an error"})
    return found


def _parts(shares: Floats, means: Floats, cells: Floats, model: Judgement) -> BrierParts:
    """From the share of blasts, the mean probability and the cells of each bin, (1 + B, 15) each."""
    y, times = model.cells.y, model.cells.times
    squares = model.cells.subjects.totals(metrics.squared_errors(y, model.p)[:, None])
    num = cells.sum(axis=1)
    base = np.sum(np.nan_to_num(shares) * cells, axis=1) / num
    values = {
        "reliability": np.nansum((means - shares) ** 2 * cells, axis=1) / num,
        "resolution": np.nansum((shares - base[:, None]) ** 2 * cells, axis=1) / num,
        "uncertainty": base * (1 - base),
    }
    explained = values["reliability"] - values["resolution"] + values["uncertainty"]
    values["within_bins"] = (times @ squares)[:, 0] / num - explained
    return BrierParts(
        **{name: float(value[0]) for name, value in values.items()},
        **{
            f"{name}_ci": interval_of_reading(name, value, model.cells).ends for name, value in values.items()
        },
    )
