"""Where the cell lies in the picture that the model sees."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from leukoscope.cells.measure import find_body, is_segmented

Mask = npt.NDArray[np.bool_]


def foreground(cell: npt.NDArray[np.uint8]) -> Mask:
    """(S, S): where a cell (S, S, 3) is not black; everywhere for a picture without a cell on black, nowhere
    for a black one.

    >>> cell = np.zeros((8, 8, 3), np.uint8)
    >>> cell[2:4, 3:7] = 90
    >>> cell[2, 3] = 0
    >>> int(foreground(cell).sum())
    7
    """
    body = find_body(cell)
    mask = np.zeros(cell.shape[:2], dtype=bool)
    if body is None:
        return mask
    if not is_segmented(cell, body):
        return ~mask
    x, y, width, height = body.box
    mask[y : y + height, x : x + width] = body.solid > 0
    return mask


def shares(mask: Mask, shape: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Share of each place of a map of this shape that lies on the cell, 0 to 1."""
    height, width = shape
    return np.asarray(cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA))
