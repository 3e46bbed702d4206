"""How large a segmented cell is, how bright and how stained: facts about the pixels, no judgement.

A cell is *segmented* if it lies on black, as in C-NMC. Its size is counted over all pixels that are not
black, at full resolution. The boxes published with C-NMC are last minus first pixel: one less than the width
and height here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from leukoscope.errors import UsageError

NOISE = 20
"""Largest value that counts as black where lossy compression left noise (JPEG of quality 50 and more)."""

# of a cell, at or below NOISE: C-NMC's originals have 0.022 at most, JPEG copies 0.04 and more
_FAINT_SHARE = 0.03
# of its box: real cells fill 0.87 at most, a photograph with a black frame all of it
_FILLED_SHARE = 0.97

Colour = tuple[float, float, float]
"""Red, green, blue, 0 to 255."""


class Measures(NamedTuple):
    """Facts about one image.

    Attributes:
        width: of the image, pixels.
        height: of the image, pixels.
        segmented: whether a cell lies on black.
        cell_x: first column of the cell; like the next four ``None`` where the image is not segmented.
        cell_y: first row of the cell.
        cell_width: columns from the first to the last pixel that is not black, both counted.
        cell_height: rows, likewise.
        cell_area: pixels that are not black.
        brightness: mean luma (BT.601) of the cell, 0 to 255; of the whole image where it is not segmented;
            ``None`` for a black image.
        stain: share of red light in the optical density of the mean colour, 0 to 1:
            ``D_r / (D_r + D_g + D_b)`` with ``D = -log((value + 1) / 256)``. Basic dyes (azure, blue) absorb
            red and raise it, eosin (pink) absorbs green and lowers it; grey is 1/3, C-NMC 0.26 to 0.32. How
            thick the stain lies does not change it (Beer-Lambert). ``None`` for a black or a white image.
        noisy: whether values up to :data:`NOISE` counted as black, as lossy compression leaves them around a
            cell.
    """

    width: int
    height: int
    segmented: bool
    cell_x: int | None
    cell_y: int | None
    cell_width: int | None
    cell_height: int | None
    cell_area: int | None
    brightness: float | None
    stain: float | None
    noisy: bool = False


class Body(NamedTuple):
    """All of an image that is not black.

    Attributes:
        box: ``x, y, width, height`` in the image.
        pixels: a copy of the image in that box: OpenCV is twice as fast on it as on a view.
        solid: uint8 mask of the box, 0 where a pixel is black, else its largest value.
        area: pixels in the box that are not black.
        noisy: whether values up to :data:`NOISE` counted as black.
    """

    box: tuple[int, int, int, int]
    pixels: np.ndarray
    solid: np.ndarray
    area: int
    noisy: bool


def measure(image: np.ndarray) -> Measures:
    """Measure one image.

    Args:
        image: uint8 ``(H, W, 3)`` RGB.

    Raises:
        UsageError: for anything else.

    >>> image = np.zeros((100, 100, 3), np.uint8)
    >>> image[20:60, 30:50] = (90, 40, 120)
    >>> image[20:24, 30:40] = 0
    >>> facts = measure(image)
    >>> facts.cell_width, facts.cell_height, facts.cell_area
    (20, 40, 760)
    """
    return measure_body(image, find_body(image))


def find_body(image: np.ndarray) -> Body | None:
    """All that is not black; ``None`` for a black image.

    Black is 0 in a file that kept it so. Where many faint pixels surround the cell, as lossy compression
    leaves them, values up to :data:`NOISE` are black.

    Raises:
        UsageError: if ``image`` is not uint8 ``(H, W, 3)`` with at least one pixel.
    """
    _check(image)
    box = _box(image)
    if box is None:
        return None
    pixels = _cut(image, box)
    solid = _largest(pixels)
    body = Body(box, pixels, solid, cv2.countNonZero(solid), noisy=False)
    return _without_noise(body) if _is_noisy(body) else body


def _check(image: np.ndarray) -> None:
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise UsageError(
            f"expected an image as uint8 (H, W, 3). Received: {found}", hint="decode() gives such images"
        )
    if not image.size:
        raise UsageError(f"expected an image with pixels. Received: shape {image.shape}")


def _box(image: np.ndarray) -> tuple[int, int, int, int] | None:
    """``x, y, width, height`` of all that is not 0; faster than ``cv2.boundingRect`` of all samples."""
    rows = np.ascontiguousarray(image).reshape(len(image), -1)
    samples = rows.reshape(-1)
    # as bool it stops at the first that is not 0, whatever its value; as uint8 it would seek the largest
    first = int(samples.view(np.bool_).argmax())
    if not samples[first]:
        return None
    top = last = first // rows.shape[1]
    bottom = len(rows)
    while bottom - last > 1:  # row "last" is not black, all from "bottom" on are: halve what lies between
        middle = (last + bottom) // 2
        if cv2.hasNonZero(rows[middle:bottom]):
            last = middle
        else:
            bottom = middle
    columns = np.bitwise_or.reduce(rows[top:bottom], axis=0)
    start, _, length, _ = cv2.boundingRect(columns[None])  # in samples, three to a pixel
    left, right = start // 3, (start + length + 2) // 3
    return left, top, right - left, bottom - top


def _cut(image: np.ndarray, box: Sequence[int]) -> np.ndarray:
    x, y, width, height = box
    return np.ascontiguousarray(image[y : y + height, x : x + width])


def _largest(pixels: np.ndarray) -> np.ndarray:
    """The largest of the three values of each pixel."""
    # one block for all planes: planes that are aligned alike OpenCV writes past the cache, half as fast
    planes = np.empty((3, *pixels.shape[:2]), np.uint8)
    red, green, blue = cv2.split(pixels, list(planes))
    np.maximum(red, green, out=red)
    np.maximum(red, blue, out=red)
    return red  # type: ignore[no-any-return]


def _is_noisy(body: Body) -> bool:
    # every eighth row clears nearly all cells; the few left are counted whole
    return _faint_share(body, 8) > _FAINT_SHARE and _faint_share(body, 1) > _FAINT_SHARE


def _faint_share(body: Body, step: int) -> float:
    faint = cv2.threshold(body.solid[::step], NOISE, 0, cv2.THRESH_TOZERO_INV)[1]
    return step * cv2.countNonZero(faint) / body.area


def _without_noise(body: Body) -> Body | None:
    solid = cv2.threshold(body.solid, NOISE, 0, cv2.THRESH_TOZERO)[1]
    area = cv2.countNonZero(solid)
    if not area:
        return None
    inner = cv2.boundingRect(solid)
    box = (body.box[0] + inner[0], body.box[1] + inner[1], inner[2], inner[3])
    return Body(box, _cut(body.pixels, inner), _cut(solid, inner), area, noisy=True)


def is_segmented(image: np.ndarray, body: Body) -> bool:
    """Whether ``body`` is a cell on black: three corners of the image are, and the body is no rectangle."""
    if body.area >= _FILLED_SHARE * body.solid.size:
        return False
    return not touches_edge(image, body) or _num_bright_corners(image) <= 1


def touches_edge(image: np.ndarray, body: Body) -> bool:
    """Whether ``body`` reaches the first or last row or column of the image."""
    x, y, width, height = body.box
    return x == 0 or y == 0 or x + width == image.shape[1] or y + height == image.shape[0]


def _num_bright_corners(image: np.ndarray) -> int:
    height, width = image.shape[:2]
    corners = image[:: max(height - 1, 1), :: max(width - 1, 1)].reshape(-1, 3)
    return sum(max(corner) > NOISE for corner in corners.tolist())


def measure_body(image: np.ndarray, body: Body | None) -> Measures:
    """The measures of ``image``, whose body is known already."""
    height, width = image.shape[:2]
    if body is None:
        return Measures(width, height, False, None, None, None, None, None, None, None)
    if not is_segmented(image, body):
        colour = cv2.mean(image)[:3]
        return Measures(width, height, False, None, None, None, None, None, _luma(colour), _stain(colour))
    colour = _mean_colour(body)
    return Measures(width, height, True, *body.box, body.area, _luma(colour), _stain(colour), body.noisy)


def _mean_colour(body: Body) -> Colour:
    if body.noisy:
        return cv2.mean(body.pixels, mask=body.solid)[:3]
    red, green, blue, _ = cv2.sumElems(body.pixels)  # black adds nothing: no mask is needed, which is faster
    return red / body.area, green / body.area, blue / body.area


def _luma(colour: Colour) -> float:
    red, green, blue = colour
    return 0.299 * red + 0.587 * green + 0.114 * blue  # ITU-R BT.601


def _stain(colour: Colour) -> float | None:
    red, green, blue = (-math.log((value + 1) / 256) for value in colour)
    density = red + green + blue
    return red / density if density > 1e-6 else None
