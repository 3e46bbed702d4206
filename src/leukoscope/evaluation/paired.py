"""Two sets of predictions on the same cells: the difference, with the interval of the difference.

Both are read on the same draws of subjects, so what a hard subject costs the one it costs the other too,
and the difference is known far better than either number.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from leukoscope.core.config import Config
from leukoscope.evaluation.bootstrap import CONFIDENCE, Interval
from leukoscope.evaluation.readings import Judgement, interval_of, p_value_of

PAIRED = ("auroc", "weighted_f1")


class Difference(Config):
    """One metric of two sets of predictions on the same cells.

    Attributes:
        first, second: the two estimates, ``None`` where undefined.
        difference: ``first - second``.
        ci_low, ci_high: its interval, from draws of subjects shared by both.
        confidence_level, unit: of the interval.
        num_cells, num_subjects: that both were read on.
        p_value: two-sided, from the same draws: one less the confidence at which the interval just reaches
            zero; ``None`` where there is no interval.
        reason: why there is no difference or no interval.
    """

    first: float | None
    second: float | None
    difference: float | None
    ci_low: float | None = None
    ci_high: float | None = None
    confidence_level: float = CONFIDENCE
    unit: str = "subject"
    num_cells: int
    num_subjects: int | None = None
    p_value: float | None = None
    reason: str | None = None


def differences(first: Judgement, second: Judgement, names: Iterable[str] = PAIRED) -> dict[str, Difference]:
    """``first - second`` for some metrics; both must judge the same cells with the same draws."""
    cells = first.cells
    known = cells.subject_ids is not None
    result = {}
    for name in names:
        one, other = first.values[name], second.values[name]
        defined = bool(np.isfinite(one[0]) and np.isfinite(other[0]))
        reason = first.metrics[name].reason or second.metrics[name].reason
        apart = one - other
        found = interval_of(name, apart, cells) if defined else Interval(None, None, reason)
        result[name] = Difference(
            first=first.metrics[name].estimate,
            second=second.metrics[name].estimate,
            difference=float(apart[0]) if defined else None,
            ci_low=found.low,
            ci_high=found.high,
            num_cells=len(cells.y),
            num_subjects=len(cells.subjects.names) if known else None,
            p_value=p_value_of(name, apart, cells) if defined else None,
            reason=found.reason,
        )
    return result
