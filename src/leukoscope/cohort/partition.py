"""Share out groups of cells over sides so that each side gets its part of every class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_STARTS = 64
_WORK = 200_000
_NOISE = 0.5
_GROUP_WEIGHT = 0.5


def partition(
    counts: npt.NDArray[np.int64], shares: Sequence[float], rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Give every group a side.

    Groups are dealt out one after another, large ones first with some chance in the order, each to the side
    that lacks its cells and its kind of subject most. Of many such deals the best is kept: the one with the
    fewest sides without a class, then the one closest to the shares in cells and in groups of each class.

    Args:
        counts: cells of each group in each class, ``(G, K)``.
        shares: what each side is to get, ``(R,)``, summing to 1; where a class is scarce, earlier sides come
            first.
        rng: the chance; the same state gives the same sides.

    Returns:
        The side of each group, ``(G,)``, 0 to R - 1. Every side has every class if that can be reached by
        moving single groups.
    """
    features, weights = _features(counts)
    target = np.outer(np.asarray(shares), np.ones(features.shape[1]))
    sides = _deals(features, weights, target, rng)
    best = min(sides, key=lambda deal: _score(features, weights, target, deal))
    return _fill_empty(counts, best, len(shares))


def _features(counts: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Each group's part of all cells, and of all groups, of each class; and how much either weighs."""
    values = np.concatenate([counts, counts > 0], axis=1).astype(np.float64)
    weights = np.repeat([1.0, _GROUP_WEIGHT], counts.shape[1])
    return values / np.maximum(values.sum(axis=0), 1), weights


def _deals(
    features: npt.NDArray[np.float64],
    weights: npt.NDArray[np.float64],
    target: npt.NDArray[np.float64],
    rng: np.random.Generator,
) -> npt.NDArray[np.int64]:
    """Many greedy deals at once, ``(starts, G)``."""
    num_groups = len(features)
    starts = max(1, min(_STARTS, _WORK // max(num_groups, 1)))
    size = features @ weights
    order = np.argsort(-size * np.exp(rng.normal(0, _NOISE, (starts, num_groups))), axis=1, kind="stable")
    lacking = np.repeat(target[None], starts, axis=0)
    sides = np.empty((starts, num_groups), np.int64)
    row = np.arange(starts)
    for group in order.T:
        feature = features[group]
        # Least squares: of all sides, the squared distance falls most where feature . lacking is largest.
        side = np.einsum("sf,srf->sr", feature * weights, lacking).argmax(axis=1)
        sides[row, group] = side
        lacking[row, side] -= feature
    return sides


def _score(
    features: npt.NDArray[np.float64],
    weights: npt.NDArray[np.float64],
    target: npt.NDArray[np.float64],
    sides: npt.NDArray[np.int64],
) -> tuple[int, float]:
    got = np.zeros_like(target)
    np.add.at(got, sides, features)
    return int((got == 0).sum()), float((weights * (got - target) ** 2 / target).sum())


def _fill_empty(
    counts: npt.NDArray[np.int64], sides: npt.NDArray[np.int64], num_sides: int
) -> npt.NDArray[np.int64]:
    """Move single groups to sides that lack a class, from sides that keep what they have."""
    sides, has = sides.copy(), counts > 0
    for side in range(num_sides):
        for kind in range(counts.shape[1]):
            if has[sides == side, kind].any():
                continue
            groups_of = np.stack([has[sides == other].sum(axis=0) for other in range(num_sides)])
            spare = (groups_of[sides] >= 2) | ~has
            movable = np.flatnonzero(has[:, kind] & spare.all(axis=1))
            if len(movable):
                sides[movable[counts[movable].sum(axis=1).argmin()]] = side
    return sides
