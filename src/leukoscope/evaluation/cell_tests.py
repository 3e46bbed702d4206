"""Two tests that papers give for two models on the same cells, and that take every cell for a person of its
own. They are shown beside the intervals of subjects, with that warning, since readers ask for them."""

from __future__ import annotations

from typing import Self

from leukoscope.core.config import Config
from leukoscope.evaluation.readings import Bools, Floats

IGNORES_SUBJECTS = "takes every cell for a person of its own, so it is far too sure"


class McNemar(Config):
    """The exact test of McNemar (1947) on the cells that one of the two calls right and the other wrong.

    Attributes:
        both_right, only_first, only_second, both_wrong: cells by who calls them what they are.
        p_value: two-sided, binomial; 1 where they never disagree.
    """

    both_right: int
    only_first: int
    only_second: int
    both_wrong: int
    p_value: float

    @classmethod
    def of(cls, first_right: Bools, second_right: Bools) -> Self:
        """From who calls each cell right, (N,) each."""
        from scipy.stats import binomtest

        one, other = int((first_right & ~second_right).sum()), int((~first_right & second_right).sum())
        return cls(
            both_right=int((first_right & second_right).sum()),
            only_first=one,
            only_second=other,
            both_wrong=int((~first_right & ~second_right).sum()),
            p_value=float(binomtest(one, one + other).pvalue) if one + other else 1.0,
        )


class DeLong(Config):
    """The test of DeLong, DeLong and Clarke-Pearson (1988) for two areas under the ROC curve.

    Attributes:
        difference: of the areas, first less second.
        standard_error: of the difference, with cells as the unit.
        p_value: two-sided, normal.
        reason: why there is none.
    """

    difference: float | None = None
    standard_error: float | None = None
    p_value: float | None = None
    reason: str | None = None

    @classmethod
    def of(cls, y: Bools, first: Floats, second: Floats) -> Self:
        """From labels and two sets of probabilities, (N,) each; by midranks (Sun and Xu 2014).

        >>> import numpy as np
        >>> y, first = np.array([True, True, False, False]), np.array([0.9, 0.4, 0.6, 0.1])
        >>> found = DeLong.of(y, first, np.zeros(4))
        >>> found.difference
        0.25
        """
        from scipy.special import ndtr

        if min(y.sum(), (~y).sum()) < 2:
            return cls(reason="needs two cells of each class")
        above, below = (
            one - other for one, other in zip(_placements(y, first), _placements(y, second), strict=True)
        )
        difference = float(above.mean())
        variance = float(above.var(ddof=1) / len(above) + below.var(ddof=1) / len(below))
        if not variance > 0:
            return cls(difference=difference, reason="the two order every pair of cells alike")
        error = variance**0.5
        return cls(
            difference=difference,
            standard_error=error,
            p_value=float(2 * ndtr(-abs(difference) / error)),
        )


def _placements(y: Bools, p: Floats) -> tuple[Floats, Floats]:
    """For each blast the share of normal cells that it scores above; for each normal cell the share of blasts
    that it scores below. Ties count half."""
    from scipy.stats import rankdata

    ranks, blasts, normals = rankdata(p), int(y.sum()), int((~y).sum())
    above = (ranks[y] - rankdata(p[y])) / normals
    below = 1 - (ranks[~y] - rankdata(p[~y])) / blasts
    return above, below
