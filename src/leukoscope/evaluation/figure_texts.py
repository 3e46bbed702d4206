"""What each figure of a report shows, in a sentence with its numbers, for those who do not see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from leukoscope.evaluation.readings import Metric
    from leukoscope.evaluation.results import Report

TOLD_THRESHOLDS = (0.2, 0.5, 0.8)
NUM_LOWEST = 5


def _roc(report: Report) -> str:
    matrix = report.confusion_matrix
    return (
        f"ROC curve. Area under the curve: {_beside(report, 'auroc')}. At the threshold "
        f"{report.threshold:g} sensitivity is {matrix.true_blasts / report.num_blasts:.3f} and "
        f"1 minus specificity {matrix.false_blasts / report.num_normals:.3f}."
    )


def _precision_recall(report: Report) -> str:
    return (
        f"Precision-recall curve. Average precision: {_beside(report, 'average_precision')}. Calling every "
        f"cell a blast has a precision of {report.num_blasts / report.num_cells:.3f}."
    )


def _reliability(report: Report) -> str:
    bins = report.calibration.bins
    far = max(bins, key=lambda one: abs(one.mean_probability - one.blast_share))
    return (
        f"Reliability diagram of {len(bins)} bins. In the lowest, cells have a mean probability of "
        f"{bins[0].mean_probability:.3f} and {bins[0].blast_share:.3f} are blasts; in the highest "
        f"{bins[-1].mean_probability:.3f} and {bins[-1].blast_share:.3f}. Furthest from the diagonal: "
        f"{far.mean_probability:.3f} and {far.blast_share:.3f}."
    )


def _decision_curve(report: Report) -> str:
    curve = report.decision_curve
    assert curve is not None
    at = [int(np.argmin(np.abs(np.array(curve.threshold) - wanted))) for wanted in TOLD_THRESHOLDS]
    told = "; ".join(
        f"at {curve.threshold[place]:.2f} the model {curve.model[place]:.3f}"
        + (f", size alone {curve.size[place]:.3f}" if curve.size else "")
        + f", calling all blasts {curve.all_blasts[place]:.3f}"
        for place in at
    )
    return f"Decision curve, net benefit over thresholds: {told}; calling none 0."


def _risk_coverage(report: Report) -> str:
    risk = report.risk_coverage
    assert risk is not None
    told = "; ".join(f"of {100 * row.coverage:.0f} % {reading(row.error)}" for row in risk.answered)
    return (
        f"Risk-coverage curve, the share called wrong of the most certain cells: {told}. Mean over all "
        f"numbers of cells {risk.area:.4f}, at best {risk.area_at_best:.4f}."
    )


def _probabilities(report: Report) -> str:
    bins = report.curves.histogram
    middle = (np.array(bins.edges[1:]) + np.array(bins.edges[:-1])) / 2
    means = [
        float(np.average(middle, weights=shares)) if any(shares) else None
        for shares in (bins.normals, bins.blasts)
    ]
    normal, blast = ("none" if mean is None else f"about {mean:.2f}" for mean in means)
    return f"Histograms of the blast probability. Mean of normal cells: {normal}; mean of blasts: {blast}."


def _subjects(report: Report) -> str:
    means = report.subject_means
    enough = [row for row in report.subjects if row.num_cells >= means.min_cells]
    lowest = sorted(enough, key=lambda row: row.accuracy)[:NUM_LOWEST]
    named = ", ".join(f"{row.subject_id} {row.accuracy:.2f} of {row.num_cells:,} cells" for row in lowest)
    return (
        f"Share of cells called right for each of {len(report.subjects):,} subjects, over their number. "
        f"Lowest of the {len(enough):,} with at least {means.min_cells} cells: {named or 'none'}."
    )


FIGURE_TEXTS: Mapping[str, Callable[[Report], str]] = {
    "roc": _roc,
    "precision_recall": _precision_recall,
    "reliability": _reliability,
    "decision_curve": _decision_curve,
    "risk_coverage": _risk_coverage,
    "probabilities": _probabilities,
    "subjects": _subjects,
}
"""Name of a figure -> what says in words what it shows."""


def _beside(report: Report, name: str) -> str:
    model = f"the model {reading(report.metrics[name])}"
    size = report.baselines.size
    return f"{model}, size alone {reading(size[name])}" if size else model


def reading(metric: Metric) -> str:
    """A number and its interval, or why there is none."""
    if metric.estimate is None:
        return f"undefined ({metric.reason})"
    if metric.ci_low is None or metric.ci_high is None:
        return f"{metric.estimate:.3f} ({metric.reason})"
    return f"{metric.estimate:.3f} ({metric.ci_low:.3f} to {metric.ci_high:.3f})"
