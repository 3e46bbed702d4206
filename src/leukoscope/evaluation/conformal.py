"""Two thresholds between which a model rather says nothing, with a promise for people it never saw.

Conformal prediction for data in groups (Lee, Barber & Willett 2023, "Distribution-free inference with
hierarchical data"), class by class: of a new blast subject's cells, drawn at random, at most 1 - level are
called normal, and of a new normal subject's cells at most 1 - level are called blasts, whatever the model and
whatever the cells, as long as the new subject comes from where the calibration subjects came from. The chance
is over the calibration subjects as well as the new one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from leukoscope.errors import UsageError
from leukoscope.evaluation.operating_points import OperatingPoint

LEVEL = 0.9
Floats = npt.NDArray[np.float64]


def covering(
    p: npt.ArrayLike,
    y: npt.ArrayLike,
    subjects: npt.ArrayLike,
    level: float = LEVEL,
    *,
    fitted_on: str = "",
) -> OperatingPoint:
    """The operating point that errs on at most ``1 - level`` of the cells of an unseen subject.

    n subjects of a class can hold a level of n / (n + 1): 9 are needed for 0.9, 19 for 0.95. With fewer, the
    ``target`` of the point is the level that can be held, and its ``criterion`` says so.

    Args:
        p: (N,) calibrated blast probabilities of cells that fitted nothing but this.
        y: (N,) is it a blast?
        subjects: (N,) whose it is.
        level: share of the cells of an unseen subject that are not called the other class.
        fitted_on: whom the cells belong to, in words.

    Raises:
        UsageError: without cells of both classes, or for a level out of range.

    >>> point = covering([0.1, 0.4, 0.35, 0.9], [False, False, True, True], ["H1", "H2", "1", "2"], level=0.5)
    >>> point.decide([0.2, 0.38, 0.8]).tolist(), round(point.target, 3)
    (['normal', 'indeterminate', 'blast'], 0.5)
    """
    values, positive = np.asarray(p, dtype=np.float64), np.asarray(y, dtype=bool)
    owner = np.asarray(subjects, dtype=np.str_)
    if not 0 < level < 1:
        raise UsageError(f"expected a level between 0 and 1. Received: {level}")
    if positive.all() or not positive.any():
        raise UsageError("a covering operating point needs cells of both classes", hint="add subjects")
    num = min(len(np.unique(owner[kind])) for kind in (positive, ~positive))
    held = min(level, num / (num + 1))
    # from here up a cell may be a blast; up to there it may be normal
    blast_from = 1 - group_quantile(1 - values[positive], owner[positive], held)
    normal_to = group_quantile(values[~positive], owner[~positive], held)
    if blast_from > normal_to:  # any threshold between keeps both promises, and leaves nothing open
        low = high = (blast_from + normal_to) / 2
    else:
        low, high = _off(values, blast_from, up=False), _off(values, normal_to, up=True)
    fewer = f", {level:g} was asked and {num} subjects of a class hold no more" if held < level else ""
    return OperatingPoint(
        name=f"covering-{level:g}",
        criterion=f"share of an unseen subject's cells not called the other class{fewer}, at least",
        target=held,
        normal_below=low,
        blast_from=high,
        fitted_on=fitted_on,
    )


def group_quantile(scores: Floats, subjects: npt.NDArray[np.str_], level: float) -> float:
    """The least score under which a share ``level`` lies, each of n subjects weighing 1 / (n + 1) in all, the
    unseen one lying above.

    Args:
        scores: (N,).
        subjects: (N,) whose they are.
        level: at most n / (n + 1).
    """
    _, index, size = np.unique(subjects, return_inverse=True, return_counts=True)
    order = np.argsort(scores, kind="stable")
    mass = np.cumsum(1 / (size[index[order]] * (len(size) + 1)))
    return float(scores[order][np.argmax(mass >= level * (1 - 1e-12))])


def _off(values: Floats, limit: float, *, up: bool) -> float:
    """Midway to the next probability above or below the limit, so that rounding in another backend moves no
    cell across it."""
    beyond = values[values > limit] if up else values[values < limit]
    if not len(beyond):
        return float(np.nextafter(limit, np.inf)) if up else limit
    return float((limit + (beyond.min() if up else beyond.max())) / 2)
