"""What calls are worth where blasts are rarer or commoner than here: predictive values, net benefit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from leukoscope.core.config import Config
from leukoscope.errors import UsageError
from leukoscope.evaluation import metrics
from leukoscope.evaluation.bootstrap import called_counts
from leukoscope.evaluation.ranking import ratio
from leukoscope.evaluation.readings import Floats, Judgement, Metric, interval_of, read_metric

PREVALENCES = (0.01, 0.1, 0.5)
THRESHOLDS = np.round(np.linspace(0.02, 0.98, 49), 2)


class AtPrevalence(Config):
    """Predictive values where this share of the cells are blasts: sensitivity and specificity by Bayes' rule.

    Attributes:
        prevalence: share of blasts among the cells, 0..1.
        ppv, npv: of the cells called blast, and called normal, the share that are.
    """

    prevalence: float
    ppv: Metric
    npv: Metric


class DecisionCurve(Config):
    """Net benefit (Vickers & Elkin 2006) of calling blasts from each threshold on, in true positives a cell.

    A threshold t says that a missed blast is (1 - t) / t times as bad as a false alarm. Net benefit is
    the share of true positives less that of false positives times t / (1 - t).

    Attributes:
        prevalence: of these cells.
        threshold: all lists are as long as this one.
        model: net benefit of the model; ``model_low`` and ``model_high`` its interval.
        size: of the ruler, where there is one.
        all_blasts: of calling every cell a blast. Calling none has a net benefit of 0.
    """

    prevalence: float
    threshold: list[float]
    model: list[float]
    model_low: list[float | None]
    model_high: list[float | None]
    size: list[float] | None
    all_blasts: list[float]


def predictive_values(model: Judgement, prevalences: Sequence[float]) -> list[AtPrevalence]:
    """Predictive values at the threshold of the judgement, where blasts are this common.

    Raises:
        UsageError: for a prevalence that is not between 0 and 1.
    """
    for prevalence in prevalences:
        if not 0 < prevalence < 1:
            raise UsageError(f"expected a prevalence between 0 and 1. Received: {prevalence}")
    if not len(model.p):
        return []
    cells, called = model.cells, model.p >= model.threshold
    counts = called_counts(cells.y, called, cells.subjects, cells.times)
    sensitivity, specificity = metrics.sensitivity(counts), metrics.specificity(counts)
    found = []
    for share in prevalences:
        true_blasts, false_blasts = share * sensitivity, (1 - share) * (1 - specificity)
        true_normals, false_normals = (1 - share) * specificity, share * (1 - sensitivity)
        values = {
            "ppv": ratio(true_blasts, true_blasts + false_blasts),
            "npv": ratio(true_normals, true_normals + false_normals),
        }
        read = {
            name: read_metric(name, value, cells, called, threshold=model.threshold)
            for name, value in values.items()
        }
        found.append(AtPrevalence(prevalence=share, **read))
    return found


def decision_curve(model: Judgement, size: Judgement | None = None) -> DecisionCurve | None:
    """Net benefit over the thresholds; ``None`` where not both classes are there.

    Args:
        model: of N cells.
        size: the ruler on the same cells.
    """
    y = model.cells.y
    if y.all() or not y.any():
        return None
    values = net_benefits(model)
    ends = [interval_of("net_benefit", column, model.cells) for column in values.T]
    share, odds = float(y.mean()), THRESHOLDS / (1 - THRESHOLDS)
    return DecisionCurve(
        prevalence=share,
        threshold=THRESHOLDS.tolist(),
        model=values[0].tolist(),
        model_low=[end.low for end in ends],
        model_high=[end.high for end in ends],
        size=net_benefits(size)[0].tolist() if size is not None else None,
        all_blasts=(share - (1 - share) * odds).tolist(),
    )


def net_benefits(judgement: Judgement) -> Floats:
    """(1 + B, T) on the table and on each draw of subjects, at each of :data:`THRESHOLDS`; of a draw the
    sensitivity and the specificity, at the table's own share of blasts."""
    cells, odds = judgement.cells, THRESHOLDS / (1 - THRESHOLDS)
    called = (judgement.p[:, None] >= THRESHOLDS).astype(np.float64)
    kinds = np.stack([cells.y, ~cells.y], axis=1).astype(np.float64)
    num_blasts, num_normals = (cells.times @ cells.subjects.totals(kinds)).T[:, :, None]
    true_blasts = ratio(cells.times @ cells.subjects.totals(called * kinds[:, :1]), num_blasts)
    false_blasts = ratio(cells.times @ cells.subjects.totals(called * kinds[:, 1:]), num_normals)
    share = cells.y.mean()
    return np.asarray(share * true_blasts - (1 - share) * odds * false_blasts)
