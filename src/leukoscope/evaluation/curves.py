"""Curves and bins of a report, as plain numbers."""

from __future__ import annotations

import numpy as np

from leukoscope.core.config import Config
from leukoscope.evaluation.ranking import Ranking, precision_recall_curve, roc_curve, thinned
from leukoscope.evaluation.readings import Bools, Floats


class Roc(Config):
    """Points of a ROC curve, from the strictest threshold (``None``: nothing is called) to the loosest."""

    false_positive_rate: list[float]
    sensitivity: list[float]
    threshold: list[float | None]


class PrecisionRecall(Config):
    """Points of a precision-recall curve, from the strictest threshold to the loosest."""

    sensitivity: list[float]
    ppv: list[float]
    threshold: list[float]


class Histogram(Config):
    """How each class's cells lie over the probabilities: bins between ``edges``, shares of that class."""

    edges: list[float]
    blasts: list[float]
    normals: list[float]


class Curves(Config):
    """What the figures show; ``None`` where a curve is undefined. Long curves are thinned to about 400
    points."""

    roc: Roc | None
    roc_size: Roc | None = None
    precision_recall: PrecisionRecall | None
    precision_recall_size: PrecisionRecall | None = None
    histogram: Histogram


def roc(y: Bools, p: Floats) -> Roc | None:
    """The ROC curve of labels and probabilities (N,)."""
    if y.all() or not y.any():
        return None
    ranking = Ranking.of(y, p)
    curve = thinned(roc_curve(ranking.counts(np.ones(len(y))), ranking.scores))
    thresholds = [None, *curve.thresholds[1:].tolist()]
    return Roc(false_positive_rate=curve.x.tolist(), sensitivity=curve.y.tolist(), threshold=thresholds)


def precision_recall(y: Bools, p: Floats) -> PrecisionRecall | None:
    """The precision-recall curve of labels and probabilities (N,)."""
    if y.all() or not y.any():
        return None
    ranking = Ranking.of(y, p)
    curve = thinned(precision_recall_curve(ranking.counts(np.ones(len(y))), ranking.scores))
    return PrecisionRecall(
        sensitivity=curve.x.tolist(), ppv=curve.y.tolist(), threshold=curve.thresholds.tolist()
    )


def histogram(y: Bools, p: Floats, num_bins: int = 25) -> Histogram:
    """Shares of the blasts and of the normal cells (N,) in bins of equal width, zeros without any."""
    edges = np.linspace(0.0, 1.0, num_bins + 1)
    blasts, normals = (np.histogram(p[kind], edges)[0] / max(1, kind.sum()) for kind in (y, ~y))
    return Histogram(edges=edges.tolist(), blasts=blasts.tolist(), normals=normals.tolist())
