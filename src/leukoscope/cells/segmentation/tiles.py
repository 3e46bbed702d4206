"""A photograph of any size, window by window: windows overlap, and each cell is taken from one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from leukoscope.cells.segmentation.found import FoundCell

if TYPE_CHECKING:
    from leukoscope.cells.segmentation.segmenters import Segmenter

WINDOW = 2048
"""Pixels of a window that it has for itself, at most, along each side."""

OVERLAP_MICROMETRES = 20.0
"""How far windows reach over into their neighbours: more than half of any single cell."""


class Window(NamedTuple):
    """A window: rows and columns that are looked at, and those whose cells are its own."""

    seen: tuple[slice, slice]
    own: tuple[slice, slice]


def windows(shape: tuple[int, ...], micrometres_per_pixel: float) -> list[Window]:
    """The windows of a photograph ``(H, W, ...)``; one where it is small.

    >>> [window.own for window in windows((100, 200), 0.1)]
    [(slice(0, 100, None), slice(0, 200, None))]
    """
    reach = int(np.ceil(OVERLAP_MICROMETRES / micrometres_per_pixel))
    rows, columns = _cuts(shape[0]), _cuts(shape[1])
    return [
        Window((_wider(row, reach, shape[0]), _wider(column, reach, shape[1])), (row, column))
        for row in rows
        for column in columns
    ]


def segment_by_windows(
    image: np.ndarray,
    segmenter: Segmenter,
    micrometres_per_pixel: float,
    *,
    done: Callable[[], None] = lambda: None,
) -> Iterator[FoundCell]:
    """What ``segmenter`` finds in a photograph of any size, window by window.

    A cell belongs to the window that holds the middle of its box. Cut off by a window's edge it can only be
    where it is wider than twice the overlap.

    Args:
        image: uint8 ``(H, W, 3)`` RGB.
        segmenter: sees at most one window at a time.
        micrometres_per_pixel: of the photograph.
        done: called after each window.
    """
    for window in windows(image.shape, micrometres_per_pixel):
        y, x = (side.start for side in window.seen)
        part = np.ascontiguousarray(image[window.seen])
        for cell in segmenter.segment(part, micrometres_per_pixel):
            if _is_own(cell.moved(x, y), window):
                yield cell.moved(x, y)
        done()


def _cuts(length: int) -> list[slice]:
    num = max(1, -(-length // WINDOW))
    ends = [length * place // num for place in range(num + 1)]
    return [slice(start, stop) for start, stop in pairwise(ends)]


def _wider(part: slice, reach: int, length: int) -> slice:
    return slice(max(part.start - reach, 0), min(part.stop + reach, length))


def _is_own(cell: FoundCell, window: Window) -> bool:
    x, y, width, height = cell.box
    rows, columns = window.own
    return bool(rows.start <= y + height // 2 < rows.stop and columns.start <= x + width // 2 < columns.stop)
