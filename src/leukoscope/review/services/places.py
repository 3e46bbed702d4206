"""Pictures of where cells lie: the surroundings of one, and a photograph as a whole, with outlines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import cv2
import numpy as np

from leukoscope.cells.photograph import Drawn, colour_of, draw_outline, draw_overlay, reduced
from leukoscope.core.files import sha256_bytes
from leukoscope.review.store.derived import Derived
from leukoscope.review.store.images import ImageStore

Box = Sequence[int]
"""``x, y, width, height``, pixels of the photograph."""

SURROUNDINGS, OVERVIEWS = "surroundings", "overviews"
"""What they are called among the derived files."""

TIMES = 4
"""How many times as wide as its box the surroundings of a cell are."""

SIDE, LONGEST = 640, 2000
"""Pixels of the picture of surroundings, and of the longer side of an overview, at most."""


class View(NamedTuple):
    """A part of a photograph, ``x, y, width, height``, and by which factor it is shown."""

    x: int
    y: int
    width: int
    height: int
    factor: float

    def of(self, outline: np.ndarray) -> np.ndarray:
        """Corners ``(N, 2)`` in the photograph as corners in the picture."""
        return np.asarray((outline - (self.x, self.y)) * self.factor)


def surroundings_of(box: Box, width: int, height: int) -> View:
    """What of a photograph is shown around a cell.

    >>> surroundings_of((10, 100, 30, 20), 1000, 500)
    View(x=0, y=50, width=85, height=120, factor=5.333333333333333)
    """
    x, y, wide, high = box
    side = TIMES * max(wide, high)
    left, top = x + wide // 2 - side // 2, y + high // 2 - side // 2
    right, bottom = min(left + side, width), min(top + side, height)
    left, top = max(left, 0), max(top, 0)
    return View(left, top, right - left, bottom - top, SIDE / max(right - left, bottom - top))


class Places:
    """Pictures from photographs, made while one is read, or again when they are asked for and gone.

    Args:
        images: where photographs lie.
        derived: where pictures are kept, without lines on them.
    """

    def __init__(self, images: ImageStore, derived: Derived) -> None:
        self._images, self._derived = images, derived

    def keep_overview(self, sha256: str, image: np.ndarray) -> None:
        """Make the reduced picture of a photograph, uint8 (H, W, 3) RGB, that is at hand."""
        self._overview(sha256, lambda: image)

    def keep_surroundings(self, sha256: str, image: np.ndarray, box: Box) -> None:
        """Make the picture of what lies around a box of it."""
        self._surroundings(sha256, box, image.shape[1], image.shape[0], lambda: image)

    def overview(self, sha256: str, width: int, drawn: Sequence[Drawn]) -> bytes:
        """A photograph, reduced, with outlines and numbers: JPEG.

        Args:
            sha256: of the photograph.
            width: of it, pixels.
            drawn: what is outlined, numbered from 1.

        Raises:
            ImageError: when it is no longer there, or damaged.
        """
        picture = _rgb(self._overview(sha256, partial(self._images.photograph, sha256)))
        factor = picture.shape[1] / width
        return _jpeg(draw_overlay(picture, [Drawn(one.outline * factor, one.flags) for one in drawn]))

    def surroundings(
        self, sha256: str, size: tuple[int, int], box: Box, drawn: Drawn, others: Sequence[Drawn]
    ) -> bytes:
        """What lies around a cell, with its outline and thinner ones of others: JPEG.

        Args:
            sha256: of the photograph.
            size: width and height of it, pixels.
            box: of the cell.
            drawn: the cell itself.
            others: that may be seen, too.

        Raises:
            ImageError: as :meth:`overview`.
        """
        make = partial(self._images.photograph, sha256)
        picture, view = _rgb(self._surroundings(sha256, box, *size, make)), surroundings_of(box, *size)
        for other in others:
            draw_outline(picture, view.of(other.outline), colour_of(other.flags), thickness=1)
        draw_outline(picture, view.of(drawn.outline), colour_of(drawn.flags), thickness=3)
        return _jpeg(picture)

    def _overview(self, sha256: str, make: Callable[[], np.ndarray]) -> bytes:
        return self._derived.get(OVERVIEWS, sha256, lambda: _jpeg(reduced(make(), LONGEST)))

    def _surroundings(
        self, sha256: str, box: Box, width: int, height: int, make: Callable[[], np.ndarray]
    ) -> bytes:
        view = surroundings_of(box, width, height)
        key = sha256_bytes(f"{sha256} {view}".encode())
        return self._derived.get(SURROUNDINGS, key, lambda: _jpeg(_part(make(), view)))


def _part(image: np.ndarray, view: View) -> np.ndarray:
    part = image[view.y : view.y + view.height, view.x : view.x + view.width]
    how = cv2.INTER_AREA if view.factor < 1 else cv2.INTER_CUBIC
    size = max(round(view.width * view.factor), 1), max(round(view.height * view.factor), 1)
    return np.asarray(cv2.resize(part, size, interpolation=how))


def _jpeg(image: np.ndarray) -> bytes:
    done = cv2.imencode(".jpg", np.ascontiguousarray(image[:, :, ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 90])
    return bytes(done[1])


def _rgb(jpeg: bytes) -> np.ndarray:
    return np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB))
