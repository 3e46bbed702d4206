"""How well one mask covers another."""

from __future__ import annotations

import numpy as np

from leukoscope.cells.segmentation.found import FoundCell

FOUND = 2 / 3
"""Dice from which on a cell counts as found: an intersection over union of 0.5."""


def dice(one: FoundCell, other: FoundCell) -> float:
    """Twice the shared area over the sum of both."""
    left, top = max(one.x, other.x), max(one.y, other.y)
    shared = _window(one, left, top, other) & _window(other, left, top, one)
    return float(2 * np.count_nonzero(shared) / (np.count_nonzero(one.mask) + np.count_nonzero(other.mask)))


def _window(cell: FoundCell, left: int, top: int, other: FoundCell) -> np.ndarray:
    right = min(cell.x + cell.mask.shape[1], other.x + other.mask.shape[1])
    bottom = min(cell.y + cell.mask.shape[0], other.y + other.mask.shape[0])
    return cell.mask[top - cell.y : max(bottom, top) - cell.y, left - cell.x : max(right, left) - cell.x]


def boxed(mask: np.ndarray, x: int = 0, y: int = 0) -> FoundCell:
    """A mask whose first pixel lies at ``x, y`` of a photograph, as a cell in its own box."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    inner = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return FoundCell(x + int(columns[0]), y + int(rows[0]), inner, inner)
