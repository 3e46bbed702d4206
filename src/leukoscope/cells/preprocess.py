"""From an image to what a model sees. The only implementation: training, evaluation and inference call it."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np
from pydantic import Field

from leukoscope.cells.measure import NOISE, Measures, measure
from leukoscope.core.config import Config

IMPLEMENTATION = 2
"""Counts up when the same settings give other pixels, so that nothing kept from before is taken for them."""


class Preprocess(Config):
    """A window of ``field`` x ``field`` pixels of the original, averaged by area to ``size`` x ``size``.

    The window is centred on the box of a segmented cell, else on the image. Around the box, and where the
    window reaches over the edge of the image, it is black. Cells keep their true size: all are reduced by one
    factor. What is wider than the field is cut on both sides. What lossy compression left around a segmented
    cell becomes black again.

    Attributes:
        field: side of the window, pixels of the original.
        size: side of the result, pixels.
        micrometres_per_pixel: of the originals, where known; says which images the model is for.
    """

    field: int = Field(default=384, ge=1, le=8192)
    size: int = Field(default=128, ge=1, le=4096)
    micrometres_per_pixel: float | None = Field(default=None, gt=0)

    def apply(self, image: np.ndarray, measures: Measures | None = None) -> np.ndarray:
        """The window of one image.

        Args:
            image: uint8 ``(H, W, 3)`` RGB, of any size.
            measures: of this image, where they are known already; saves half of the time.

        Returns:
            uint8 ``(size, size, 3)`` RGB.

        Raises:
            UsageError: for another type or shape.

        >>> image = np.full((450, 450, 3), 200, np.uint8)
        >>> Preprocess(field=384, size=128).apply(image).shape
        (128, 128, 3)
        """
        measures = measures or measure(image)
        x, y, width, height = _box(measures)
        pixels = image[y : y + height, x : x + width]
        if measures.segmented and measures.noisy:
            pixels = np.where(pixels.max(axis=2, keepdims=True) > NOISE, pixels, np.uint8(0))
        return _window(pixels, self.field, self.size)

    def origin(self, measures: Measures) -> tuple[int, int]:
        """Column and row of the original that lie under the first pixel of the window; outside, negative.

        >>> Preprocess(field=384).origin(measure(np.full((450, 400, 3), 200, np.uint8)))
        (8, 33)
        """
        x, y, width, height = _box(measures)
        return x - _centred(width, self.field)[0], y - _centred(height, self.field)[0]

    def cuts(self, measures: Measures) -> bool:
        """Whether a segmented cell is wider or higher than the window, so that a part of it is lost."""
        if measures.cell_width is None or measures.cell_height is None:
            return False
        return max(measures.cell_width, measures.cell_height) > self.field


def _box(measures: Measures) -> tuple[int, int, int, int]:
    if measures.segmented:
        box = (measures.cell_x, measures.cell_y, measures.cell_width, measures.cell_height)
        return cast(tuple[int, int, int, int], box)
    return 0, 0, measures.width, measures.height


def _window(pixels: np.ndarray, field: int, size: int) -> np.ndarray:
    """``pixels`` in the middle of a black square of ``field``, reduced to ``size``.

    Where ``field`` is a multiple of ``size``, each pixel of the result is the mean of one square block, and
    only the blocks that ``pixels`` reach are worked out: a cell covers a fifth of its window.
    """
    block = field // size if field % size == 0 else field
    top, height = _centred(pixels.shape[0], field)
    left, width = _centred(pixels.shape[1], field)
    kept = pixels[max(-top, 0) :, max(-left, 0) :][:height, :width]
    above, below = _to_blocks(max(top, 0), height, block)
    before, after = _to_blocks(max(left, 0), width, block)
    blocks = cv2.copyMakeBorder(kept, above, below, before, after, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    num_rows, num_columns = blocks.shape[0] * size // field, blocks.shape[1] * size // field
    # enlarged by area, pixels would only be repeated
    how = cv2.INTER_AREA if size <= field else cv2.INTER_LINEAR
    small = cv2.resize(blocks, (num_columns, num_rows), interpolation=how)
    result = np.zeros((size, size, 3), np.uint8)
    row, column = (max(top, 0) - above) * size // field, (max(left, 0) - before) * size // field
    result[row : row + num_rows, column : column + num_columns] = small
    return result


def _centred(length: int, field: int) -> tuple[int, int]:
    """Where ``length`` pixels in the middle of a field begin (negative: outside), and how many it shows."""
    return field // 2 - length // 2, min(length, field)


def _to_blocks(start: int, length: int, block: int) -> tuple[int, int]:
    """Pixels missing before and after ``start`` ... ``start + length`` to make it whole blocks."""
    return start % block, -(start + length) % block
