"""Thresholds that are fixed before the test and travel with the model.

Each lies midway between two scores of the cells that it was fitted on, so that rounding in another backend
moves no cell across it.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from leukoscope.core.config import Config
from leukoscope.errors import UsageError

Floats = npt.NDArray[np.float64]

INDETERMINATE = "indeterminate"
BETWEEN = "between thresholds"
"""Why a cell is indeterminate that nothing but its probability leaves open."""


class OperatingPoint(Config):
    """When a cell is called a blast, when normal; between the two it is indeterminate.

    Attributes:
        name: such as ``"sensitivity-0.95"``.
        criterion: what was asked for, such as ``"sensitivity at least"``.
        target: the number that was asked for; ``None`` where the criterion asks for none.
        normal_below: probabilities below it are called normal.
        blast_from: probabilities from it on are called blast; at least ``normal_below``.
        fitted_on: whom it was fitted on, in words.
    """

    name: str
    criterion: str
    target: float | None = Field(default=None, ge=0)
    normal_below: float
    blast_from: float
    fitted_on: str = ""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.normal_below > self.blast_from:
            raise ValueError("normal_below must not be above blast_from")
        return self

    def decide(self, p: npt.ArrayLike) -> npt.NDArray[np.str_]:
        """``"blast"``, ``"normal"`` or ``"indeterminate"`` (also for NaN) for each probability, shape (N,).

        >>> point = OperatingPoint(name="p", criterion="", target=0.9, normal_below=0.2, blast_from=0.7)
        >>> point.decide([0.1, 0.2, 0.7, float("nan")]).tolist()
        ['normal', 'indeterminate', 'blast', 'indeterminate']
        """
        values = np.asarray(p, dtype=np.float64)
        calls = [values >= self.blast_from, values < self.normal_below]
        return np.select(calls, ["blast", "normal"], default=INDETERMINATE)


def sensitivity_at_least(
    p: npt.ArrayLike,
    y: npt.ArrayLike,
    target: float = 0.95,
    weights: npt.ArrayLike | None = None,
    *,
    fitted_on: str = "",
) -> OperatingPoint:
    """The highest threshold that still finds ``target`` of the blasts; one threshold, nothing indeterminate.

    Args:
        p: (N,) probabilities.
        y: (N,) is it a blast?
        target: share of the blasts (by weight) to be found, in (0, 1].
        weights: (N,) non-negative; ``None`` for all equal.
        fitted_on: whom the cells belong to, in words.

    Raises:
        UsageError: without a blast among the cells, or for a target out of range.

    >>> sensitivity_at_least([0.1, 0.3, 0.5, 0.9], [False, True, False, True], target=1.0).blast_from
    0.2
    """
    cells = _Cells.of(p, y, weights)
    if not 0 < target <= 1:
        raise UsageError(f"expected a sensitivity above 0 and up to 1. Received: {target}")
    if not cells.weights[cells.positive].sum() > 0:
        raise UsageError(
            "an operating point for sensitivity needs blasts, there are none", hint="add subjects"
        )
    found, _ = cells.rates()
    # The tolerance keeps a sum of weights such as 0.1 + 0.2 from missing its target by rounding.
    enough = np.flatnonzero(found >= target * (1 - 1e-12))
    return cells.point(int(enough[-1]), f"sensitivity-{target:g}", "sensitivity at least", target, fitted_on)


def specificity_at_least(
    p: npt.ArrayLike,
    y: npt.ArrayLike,
    target: float = 0.95,
    weights: npt.ArrayLike | None = None,
    *,
    fitted_on: str = "",
) -> OperatingPoint:
    """The lowest threshold that leaves ``target`` of the normal cells alone; arguments as of
    :func:`sensitivity_at_least`.

    Raises:
        UsageError: without a normal cell, or for a target out of range.

    >>> specificity_at_least([0.1, 0.3, 0.5, 0.9], [False, True, False, True], target=1.0).blast_from
    0.7
    """
    cells = _Cells.of(p, y, weights)
    if not 0 < target <= 1:
        raise UsageError(f"expected a specificity above 0 and up to 1. Received: {target}")
    if not cells.weights[~cells.positive].sum() > 0:
        raise UsageError(
            "an operating point for specificity needs normal cells, there are none", hint="add subjects"
        )
    _, spared = cells.rates()
    enough = np.flatnonzero(spared >= target * (1 - 1e-12))
    return cells.point(int(enough[0]), f"specificity-{target:g}", "specificity at least", target, fitted_on)


def youden(
    p: npt.ArrayLike, y: npt.ArrayLike, weights: npt.ArrayLike | None = None, *, fitted_on: str = ""
) -> OperatingPoint:
    """The threshold of the greatest sensitivity + specificity (Youden 1950); of several the highest.

    Arguments as of :func:`sensitivity_at_least`.

    Raises:
        UsageError: without cells of both classes.

    >>> youden([0.1, 0.2, 0.5, 0.9], [False, False, True, True]).blast_from
    0.35
    """
    cells = _Cells.of(p, y, weights)
    cells.need_both("Youden's index")
    found, spared = cells.rates()
    index = found + spared
    best = np.flatnonzero(index >= index.max() - 1e-12)
    return cells.point(int(best[-1]), "youden", "greatest sensitivity + specificity", None, fitted_on)


def least_cost(
    p: npt.ArrayLike,
    y: npt.ArrayLike,
    cost: float,
    prevalence: float | None = None,
    weights: npt.ArrayLike | None = None,
    *,
    fitted_on: str = "",
) -> OperatingPoint:
    """The threshold of the least cost, a missed blast costing ``cost`` times a normal cell called blast; of
    several the highest.

    Args:
        p: (N,) probabilities.
        y: (N,) is it a blast?
        cost: of a missed blast, above 0, in false alarms.
        prevalence: share of blasts among the cells to come, 0..1; ``None`` for that of these cells.
        weights: (N,) non-negative; ``None`` for all equal.
        fitted_on: whom the cells belong to, in words.

    Raises:
        UsageError: without cells of both classes, or for a cost or prevalence out of range.

    >>> least_cost([0.1, 0.3, 0.5, 0.9], [False, True, False, True], 5).blast_from
    0.2
    >>> least_cost([0.1, 0.3, 0.5, 0.9], [False, True, False, True], 5, prevalence=0.01).name
    'cost-5@0.01'
    """
    cells = _Cells.of(p, y, weights)
    cells.need_both("a cost")
    if not (np.isfinite(cost) and cost > 0):
        raise UsageError(f"expected a cost above 0. Received: {cost}")
    if prevalence is not None and not 0 < prevalence < 1:
        raise UsageError(f"expected a prevalence between 0 and 1. Received: {prevalence}")
    found, spared = cells.rates()
    total = cells.weights.sum()
    share = cells.weights[cells.positive].sum() / total if prevalence is None else prevalence
    costs = cost * share * (1 - found) + (1 - share) * (1 - spared)
    best = np.flatnonzero(costs <= costs.min() + 1e-12)
    among = "" if prevalence is None else f" at a prevalence of {prevalence:g}"
    name = f"cost-{cost:g}" + ("" if prevalence is None else f"@{prevalence:g}")
    criterion = f"least cost{among}, a missed blast costing as much as this many false alarms:"
    return cells.point(int(best[-1]), name, criterion, cost, fitted_on)


class _Cells(NamedTuple):
    """Scores, classes and weights of N cells."""

    values: Floats
    positive: npt.NDArray[np.bool_]
    weights: Floats

    @classmethod
    def of(cls, p: npt.ArrayLike, y: npt.ArrayLike, weights: npt.ArrayLike | None) -> Self:
        values, positive = np.asarray(p, dtype=np.float64), np.asarray(y, dtype=bool)
        return cls(
            values, positive, np.ones(len(values)) if weights is None else np.asarray(weights, np.float64)
        )

    def need_both(self, what: str) -> None:
        if not (self.weights[self.positive].sum() > 0 and self.weights[~self.positive].sum() > 0):
            raise UsageError(f"{what} needs cells of both classes", hint="add subjects")

    def rates(self) -> tuple[Floats, Floats]:
        """Sensitivity and specificity when cells are called blasts from each of the U different scores on, in
        ascending order, and last from above them all: (U + 1,) each. A class without cells has nothing
        missed."""
        scores, index = np.unique(self.values, return_inverse=True)
        blasts, normals = (
            np.bincount(index[kind], self.weights[kind], minlength=len(scores))
            for kind in (self.positive, ~self.positive)
        )
        found = np.append(np.cumsum(blasts[::-1])[::-1], 0.0)
        spared = np.append(0.0, np.cumsum(normals))
        return found / (found[0] or 1.0), spared / (spared[-1] or 1.0)

    def point(
        self, place: int, name: str, criterion: str, target: float | None, fitted_on: str
    ) -> OperatingPoint:
        """Calling blasts from the score at that place of :meth:`rates` on."""
        scores = np.unique(self.values)
        if place == len(scores):
            threshold = float(np.nextafter(scores[-1], np.inf))
        else:
            threshold = float(scores[place] if place == 0 else (scores[place] + scores[place - 1]) / 2)
        return OperatingPoint(
            name=name,
            criterion=criterion,
            target=target,
            normal_below=threshold,
            blast_from=threshold,
            fitted_on=fitted_on,
        )
