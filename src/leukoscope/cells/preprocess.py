"""From an image to what a model sees. The only implementation: training, evaluation and inference all call it."""

from __future__ import annotations

import cv2
import numpy as np
from pydantic import Field

from leukoscope.cells.measure import Measures, check_image, find_body, is_segmented
from leukoscope.core.config import Config


class Preprocess(Config):
    """A window of ``field`` x ``field`` pixels of the original around the cell, area-averaged to ``size`` x ``size``.

    The window is centred on the box of a segmented cell, else on the image. What it covers outside the image is
    black, and black stays black. Cells keep their true size: all are reduced by the same factor.

    Attributes:
        field: side of the window, pixels of the original.
        size: side of the result, pixels.
        micrometres_per_pixel: of the originals, where known; says which images the model is for.
    """

    field: int = Field(default=384, ge=1, le=8192)
    size: int = Field(default=128, ge=1, le=4096)
    micrometres_per_pixel: float | None = Field(default=None, gt=0)

    def apply(self, image: np.ndarray) -> np.ndarray:
        """The window of one image.

        Args:
            image: uint8 ``(H, W, 3)`` RGB, of any size.

        Returns:
            uint8 ``(size, size, 3)`` RGB.

        Raises:
            UsageError: for another type or shape.

        >>> image = np.full((450, 450, 3), 200, np.uint8)
        >>> Preprocess(field=384, size=128).apply(image).shape
        (128, 128, 3)
        """
        body = find_body(image)
        if body is None:
            return np.zeros((self.size, self.size, 3), np.uint8)
        height, width = image.shape[:2]
        x, y, box_width, box_height = body.box if is_segmented(image, body) else (0, 0, width, height)
        window = _window(
            image, x + box_width // 2 - self.field // 2, y + box_height // 2 - self.field // 2, self.field
        )
        return _resized(window, self.size)

    def cuts(self, measures: Measures) -> bool:
        """Whether the window is smaller than the segmented cell, so that a part of the cell is lost."""
        if measures.cell_width is None or measures.cell_height is None:
            return False
        return max(measures.cell_width, measures.cell_height) > self.field


def _window(image: np.ndarray, left: int, top: int, side: int) -> np.ndarray:
    height, width = image.shape[:2]
    inside = image[max(top, 0) : max(top + side, 0), max(left, 0) : max(left + side, 0)]
    if inside.shape[:2] == (side, side):
        return inside
    below, right = max(top + side - height, 0), max(left + side - width, 0)
    return cv2.copyMakeBorder(  # type: ignore[no-any-return]
        inside, max(-top, 0), below, max(-left, 0), right, cv2.BORDER_CONSTANT, value=(0, 0, 0)
    )


def _resized(window: np.ndarray, size: int) -> np.ndarray:
    # area-averaging is for making smaller; where a field is enlarged, OpenCV's INTER_AREA would copy neighbours
    how = cv2.INTER_AREA if size <= window.shape[0] else cv2.INTER_LINEAR
    return cv2.resize(window, (size, size), interpolation=how)  # type: ignore[no-any-return]
