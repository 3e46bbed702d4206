"""Errors that are left when the least certain cells are not answered (El-Yaniv & Wiener 2010)."""

from __future__ import annotations

import numpy as np

from leukoscope.core.config import Config
from leukoscope.evaluation.ranking import ratio
from leukoscope.evaluation.readings import (
    Bools,
    Floats,
    Judgement,
    Metric,
    interval_of,
    read_calls,
    read_metric,
)

COVERAGES = np.round(np.linspace(0.05, 1, 20), 2)
SHOWN = (1.0, 0.9, 0.8, 0.7, 0.5)


class Answered(Config):
    """The most certain cells.

    Attributes:
        coverage: share of the cells that are answered; a little more than was asked for where cells are
            equally certain.
        error: share of them that are called wrong.
        sensitivity, specificity: among the answered blasts, and the answered normal cells.
        num_subjects_left_out: subjects without an answered cell; ``None`` where subjects are not known.
    """

    coverage: float
    error: Metric
    sensitivity: Metric
    specificity: Metric
    num_subjects_left_out: int | None


class RiskCoverage(Config):
    """Error among the answered cells, the most certain answered first.

    How certain a call is, is how far the probability's log odds are from the threshold's.

    Attributes:
        coverage: share of the cells that are answered; all lists are as long as this one.
        error: share of them that are called wrong; ``error_low`` and ``error_high`` its interval.
        size: of the ruler, the cells that it is most certain of answered first, where there is one.
        area: mean error over all numbers of answered cells (AURC; Geifman & El-Yaniv 2017).
        area_at_best: the same if every wrong call were less certain than every right one.
        answered: the reading at a few coverages.
    """

    coverage: list[float]
    error: list[float]
    error_low: list[float | None]
    error_high: list[float | None]
    size: list[float] | None
    area: float
    area_at_best: float
    answered: list[Answered]


def risk_coverage(model: Judgement, size: Judgement | None = None) -> RiskCoverage | None:
    """The curve; ``None`` without cells.

    Args:
        model: of N cells.
        size: the ruler on the same cells.
    """
    if not len(model.p):
        return None
    answered = _answered(model)
    values = _errors(model, answered)
    ends = [interval_of("error", column, model.cells) for column in values.T]
    wrong = _wrong(model)
    return RiskCoverage(
        coverage=answered.mean(axis=0).tolist(),
        error=values[0].tolist(),
        error_low=[end.low for end in ends],
        error_high=[end.high for end in ends],
        size=_errors(size, _answered(size))[0].tolist() if size is not None else None,
        area=_area(_certainty(model), wrong),
        area_at_best=_area(-np.sort(wrong), np.sort(wrong)),
        answered=[_read(model, answered[:, _place(share)] > 0) for share in SHOWN],
    )


def _wrong(judgement: Judgement) -> Floats:
    return np.asarray((judgement.p >= judgement.threshold) != judgement.cells.y, dtype=np.float64)


def _certainty(judgement: Judgement) -> Floats:
    """(N,) distance of the log odds from those of the threshold; as far above as below is equally certain."""
    with np.errstate(divide="ignore", invalid="ignore"):
        far = np.abs(_log_odds(judgement.p) - _log_odds(np.asarray(judgement.threshold)))
    return np.asarray(
        np.round(np.where(np.isnan(far), 0.0, far), 9)
    )  # a probability of 0 at a threshold of 0


def _log_odds(p: Floats) -> Floats:
    return np.asarray(np.log(p) - np.log1p(-p))


def _answered(judgement: Judgement) -> Floats:
    """(N, C): is the cell among the most certain at each of :data:`COVERAGES`? Equally certain cells are
    answered together."""
    certainty = _certainty(judgement)
    num = np.ceil(COVERAGES * len(certainty) - 1e-9).astype(int)
    least = np.sort(certainty)[::-1][num - 1]
    return np.asarray(certainty[:, None] >= least, dtype=np.float64)


def _errors(judgement: Judgement, answered: Floats) -> Floats:
    """(1 + B, C) error among the answered, on the table and on each draw of subjects."""
    cells = judgement.cells
    wrong = cells.times @ cells.subjects.totals(answered * _wrong(judgement)[:, None])
    return np.asarray(ratio(wrong, cells.times @ cells.subjects.totals(answered)))


def _area(certainty: Floats, wrong: Floats) -> float:
    """Mean of the errors among the 1, 2, ... N most certain; equally certain cells are wrong alike."""
    order = np.argsort(-certainty, kind="stable")
    _, group = np.unique(-certainty[order], return_inverse=True)
    alike = (np.bincount(group, wrong[order]) / np.bincount(group))[group]
    return float((np.cumsum(alike) / np.arange(1, len(order) + 1)).mean())


def _place(share: float) -> int:
    return int(np.flatnonzero(np.isclose(COVERAGES, share))[0])


def _read(model: Judgement, kept: Bools) -> Answered:
    part = model.part(kept)
    cells, known = part.cells, model.cells.subject_ids is not None
    wrong = cells.times @ cells.subjects.totals(np.stack([_wrong(part), np.ones(kept.sum())], axis=1))
    called = part.p >= part.threshold
    calls = read_calls(cells, called, ~called)
    whole = len(model.cells.subjects.names)
    return Answered(
        coverage=float(kept.mean()),
        error=read_metric("error", ratio(wrong[:, 0], wrong[:, 1]), cells, called, threshold=part.threshold),
        sensitivity=calls["sensitivity"],
        specificity=calls["specificity"],
        num_subjects_left_out=whole - len(cells.subjects.names) if known else None,
    )
