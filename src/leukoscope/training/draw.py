"""Which cells an epoch shows, in which order: a function of the seed and the epoch alone, so that a run can
go on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from leukoscope.recipes.schema import TrainingChoice

Index = NDArray[np.int64]


def cell_weights(
    labels: NDArray[np.int64], groups: NDArray[np.str_], *, class_balance: bool, subject_balance: float
) -> NDArray[np.float64]:
    """The probability with which each cell is drawn; sums to 1.

    Args:
        labels: (N,) class of each cell.
        groups: (N,) subject (or duplicate group) of each cell.
        class_balance: whether all classes are drawn equally often.
        subject_balance: a subject with n cells is drawn in proportion to n ** (1 - subject_balance).

    >>> labels, groups = np.array([0, 0, 0, 1]), np.array(["a", "a", "b", "c"])
    >>> cell_weights(labels, groups, class_balance=True, subject_balance=1.0)
    array([0.125, 0.125, 0.25 , 0.5  ])
    """
    _, subject, size = np.unique(groups, return_inverse=True, return_counts=True)
    weights = size[subject].astype(np.float64) ** -subject_balance
    if class_balance:
        weights /= np.bincount(labels, weights)[labels]
    return np.asarray(weights / weights.sum())


def draw_epoch(weights: NDArray[np.float64], settings: TrainingChoice, *, epoch: int) -> Index:
    """Positions of the cells of one epoch, in order; a whole number of batches where there are that many.

    Every cell once, shuffled, unless balance or a number of cells is asked for; then drawn with replacement.
    """
    rng = np.random.default_rng([settings.seed, epoch])
    count = settings.cells_per_epoch or len(weights)
    balanced = (
        settings.class_balance == "sampler" or settings.subject_balance > 0 or settings.cells_per_epoch > 0
    )
    drawn = rng.choice(len(weights), count, p=weights) if balanced else rng.permutation(len(weights))
    whole = max(len(drawn) // settings.batch_size * settings.batch_size, min(len(drawn), settings.batch_size))
    return np.asarray(drawn[:whole], dtype=np.int64)
