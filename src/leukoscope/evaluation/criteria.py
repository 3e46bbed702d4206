"""Operating points by the names that people type."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from leukoscope.errors import UsageError
from leukoscope.evaluation.conformal import covering
from leukoscope.evaluation.operating_points import (
    OperatingPoint,
    least_cost,
    sensitivity_at_least,
    specificity_at_least,
    youden,
)

CRITERIA = ("sensitivity-0.95", "covering-0.9")
"""Of a bundle, where nothing else is asked for; the first one decides."""

FORMS = "sensitivity-S, specificity-S, youden, cost-C, cost-C@PREVALENCE, covering-LEVEL"


def fit_points(
    p: npt.NDArray[np.float64],
    is_blast: npt.NDArray[np.bool_],
    subjects: npt.NDArray[np.str_],
    criteria: Sequence[str] = CRITERIA,
    *,
    fitted_on: str,
) -> tuple[OperatingPoint, ...]:
    """An operating point for each criterion, on these cells.

    Args:
        p: (N,) calibrated blast probabilities.
        is_blast: (N,).
        subjects: (N,) whose each cell is.
        criteria: such as ``sensitivity-0.95``, ``specificity-0.9``, ``youden``, ``cost-10`` (a missed blast
            costs ten false alarms), ``cost-10@0.02`` (where one cell in fifty is a blast), ``covering-0.9``
            (see :func:`~leukoscope.evaluation.conformal.covering`).
        fitted_on: whom the cells belong to, in words.

    Raises:
        UsageError: for a criterion of another form or out of range, one named twice, or cells that lack a
            class that it needs.

    >>> p, subjects = np.array([0.1, 0.4, 0.6, 0.9]), np.array(["H1", "H2", "1", "2"])
    >>> points = fit_points(p, p > 0.5, subjects, ["youden", "cost-10"], fitted_on="four cells")
    >>> [point.blast_from for point in points]
    [0.5, 0.5]
    """
    if not criteria or len(set(criteria)) < len(criteria):
        raise UsageError(f"expected different operating points. Received: {', '.join(criteria) or 'none'}")
    return tuple(_fit(criterion, p, is_blast, subjects, fitted_on) for criterion in criteria)


def check_criteria(criteria: Sequence[str]) -> None:
    """See that :func:`fit_points` can take them, before hours of training.

    Raises:
        UsageError: as :func:`fit_points`.
    """
    p, subjects = np.array([0.1, 0.9]), np.array(["0", "1"])
    fit_points(p, p > 0.5, subjects, criteria, fitted_on="")


def _fit(
    criterion: str,
    p: npt.NDArray[np.float64],
    y: npt.NDArray[np.bool_],
    subjects: npt.NDArray[np.str_],
    fitted_on: str,
) -> OperatingPoint:
    kind, *numbers = _parsed(criterion)
    match kind, numbers:
        case "sensitivity", [target]:
            return sensitivity_at_least(p, y, target, fitted_on=fitted_on)
        case "specificity", [target]:
            return specificity_at_least(p, y, target, fitted_on=fitted_on)
        case "youden", []:
            return youden(p, y, fitted_on=fitted_on)
        case "cost", [cost]:
            return least_cost(p, y, cost, fitted_on=fitted_on)
        case "cost", [cost, prevalence]:
            return least_cost(p, y, cost, prevalence, fitted_on=fitted_on)
        case "covering", [level]:
            return covering(p, y, subjects, level, fitted_on=fitted_on)
    raise UsageError(f"there is no operating point '{criterion}'", hint=f"known: {FORMS}")


def _parsed(criterion: str) -> tuple[str, *tuple[float, ...]]:
    kind, _, rest = criterion.partition("-")
    texts = rest.split("@") if rest else []
    try:
        return kind, *map(float, texts)
    except ValueError:
        return ("",)
