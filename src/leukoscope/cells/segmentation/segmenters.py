"""The ways to find white cells, by name. ``tests/cells/test_segmenters.py`` asks the same of all."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from leukoscope.cells.segmentation.found import FoundCell
from leukoscope.cells.segmentation.stain_segmenter import StainSegmenter
from leukoscope.core.registry import Registry


class Segmenter(Protocol):
    """Finds the white cells of a photograph."""

    def segment(self, image: np.ndarray, micrometres_per_pixel: float) -> list[FoundCell]:
        """Every white cell, and what might be taken for one, flagged.

        Args:
            image: uint8 ``(H, W, 3)`` RGB.
            micrometres_per_pixel: of the photograph.

        Returns:
            From the top down, then from the left. The masks of two cells share no pixel. The same image gives
            the same cells.

        Raises:
            UsageError: for another type or shape, or a scale that is not above 0.
        """


SEGMENTERS: Registry[type[Segmenter]] = Registry("segmenter")
SEGMENTERS.add("stain")(StainSegmenter)


def create_segmenter(name: str = "stain") -> Segmenter:
    """The segmenter of that name.

    Raises:
        UsageError: when there is none; the hint names the nearest.
    """
    return SEGMENTERS.get(name)()
