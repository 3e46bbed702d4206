"""Where the cell lies in the picture that the model sees."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from leukoscope.cells.measure import NOISE, find_body, is_segmented
from leukoscope.explain.evidence import Cells

Mask = npt.NDArray[np.bool_]


def foreground(cell: npt.NDArray[np.uint8]) -> Mask:
    """(S, S): where a cell (S, S, 3) is brighter than what lossy compression leaves of black.

    That is everywhere for a picture without a cell on black, and nowhere for a black one. A turned cell has
    the turned foreground.

    >>> cell = np.zeros((8, 8, 3), np.uint8)
    >>> cell[2:4, 3:7] = 90
    >>> cell[2, 3] = 0
    >>> int(foreground(cell).sum())
    7
    """
    mask = np.asarray(cell.max(axis=2) > NOISE)
    clean = cell * mask[..., None]
    body = find_body(clean)
    return np.ones_like(mask) if body is not None and not is_segmented(clean, body) else mask


def shares(mask: Mask, shape: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Share of each place of a map of this shape that lies on the cell, 0 to 1."""
    height, width = shape
    return np.asarray(cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA))


def plain(cells: Cells) -> Cells:
    """Each cell's outline, filled with its mean colour: as large and as stained, with nothing in it.

    Cells (N, S, S, 3) uint8, as the model sees them. A picture without a cell on black is filled as a whole.
    """
    filled = cells.copy()
    for cell, target in zip(cells, filled, strict=True):
        mask = foreground(cell)
        if mask.any():
            target[mask] = cell[mask].mean(axis=0).round().astype(np.uint8)
    return filled
