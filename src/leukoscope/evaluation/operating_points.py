"""Thresholds that are fixed before the test and travel with the model."""

from __future__ import annotations

from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from leukoscope.core.config import Config
from leukoscope.errors import UsageError


class OperatingPoint(Config):
    """When a cell is called a blast, when normal; between the two it is indeterminate.

    Attributes:
        name: such as ``"sensitivity-0.95"``.
        criterion: what was asked for, such as ``"sensitivity at least"``.
        target: the number that was asked for, 0..1.
        normal_below: probabilities below it are called normal.
        blast_from: probabilities from it on are called blast; at least ``normal_below``.
        fitted_on: whom it was fitted on, in words.
    """

    name: str
    criterion: str
    target: float = Field(ge=0, le=1)
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
        return np.select(calls, ["blast", "normal"], default="indeterminate")


def sensitivity_at_least(
    p: npt.ArrayLike,
    y: npt.ArrayLike,
    target: float = 0.95,
    weights: npt.ArrayLike | None = None,
    *,
    fitted_on: str = "",
) -> OperatingPoint:
    """The highest threshold that still finds ``target`` of the blasts; one threshold, nothing indeterminate.

    The threshold lies midway between the last score that must be called and the next lower one, so that
    rounding in another backend does not move a cell across it.

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
    values, positive = np.asarray(p, dtype=np.float64), np.asarray(y, dtype=bool)
    w = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
    if not 0 < target <= 1:
        raise UsageError(f"expected a sensitivity above 0 and up to 1. Received: {target}")
    if not w[positive].sum() > 0:
        raise UsageError(
            "an operating point for sensitivity needs blasts, there are none", hint="add subjects"
        )
    order = np.argsort(-values[positive], kind="stable")
    found = np.cumsum(w[positive][order])
    # The tolerance keeps a sum of weights such as 0.1 + 0.2 from missing its target by rounding.
    last = values[positive][order][np.argmax(found >= target * found[-1] * (1 - 1e-12))]
    below = values[values < last]
    threshold = float((last + below.max()) / 2) if len(below) else float(last)
    return OperatingPoint(
        name=f"sensitivity-{target:g}",
        criterion="sensitivity at least",
        target=target,
        normal_below=threshold,
        blast_from=threshold,
        fitted_on=fitted_on,
    )
