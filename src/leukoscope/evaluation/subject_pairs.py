"""AUROC under many draws of subjects, from the pairs of subjects alone.

The area is the share of pairs of a blast and a normal cell that are in order. A draw weighs whole subjects,
so the cells of two subjects are compared once, and a draw is a sum over pairs of subjects: a few thousand
numbers in place of ten thousand cells.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from leukoscope.evaluation.bootstrap import Subjects
from leukoscope.evaluation.ranking import ratio

Floats = npt.NDArray[np.float64]


def auroc_of_draws(
    y: npt.NDArray[np.bool_],
    p: Floats,
    subjects: Subjects,
    times: Floats,
    *,
    weights: Floats | None = None,
) -> Floats:
    """The AUROC under each row of subject weights, (B,), ties counting half; NaN where it is undefined.

    Args:
        y, p: (N,) labels and blast probabilities.
        subjects: whose the cells are.
        times: (B, S) weight of each subject's cells.
        weights: (N,) of the cells themselves; ``None`` for all equal.
    """
    own = np.ones(len(y)) if weights is None else weights
    size = len(subjects.names)
    blasts = np.bincount(subjects.index[y], weights=own[y], minlength=size)
    normals = np.bincount(subjects.index[~y], weights=own[~y], minlength=size)
    in_order = np.einsum("bs,st,bt->b", times, _pairs(y, p, subjects, own), times, optimize=True)
    return ratio(in_order, (times @ blasts) * (times @ normals))


def _pairs(y: npt.NDArray[np.bool_], p: Floats, subjects: Subjects, own: Floats) -> Floats:
    """(S, S) weight of the pairs in which a blast of the first subject scores above a normal cell of the
    second."""
    size = len(subjects.names)
    found = np.zeros((size, size))
    scores, owner, weight = p[y], subjects.index[y], own[y]
    order = np.argsort(p[~y], kind="stable")
    normal_scores, normal_weight = p[~y][order], own[~y][order]
    normal_owner = subjects.index[~y][order]
    for subject in np.unique(normal_owner):
        mine = normal_owner == subject
        theirs = normal_scores[mine]
        running = np.concatenate([[0.0], np.cumsum(normal_weight[mine])])
        sides = (np.searchsorted(theirs, scores, side=side) for side in ("left", "right"))
        below, up_to = (running[place] for place in sides)
        found[:, subject] = np.bincount(owner, weights=weight * (below + up_to) / 2, minlength=size)
    return found
