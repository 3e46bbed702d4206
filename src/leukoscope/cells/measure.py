"""How large a segmented cell is, how bright and how stained: facts about the pixels, no judgement.

A cell is *segmented* if it lies on black, as in C-NMC. Its size is counted over all pixels that are not black, at
full resolution. The boxes published with C-NMC are last minus first pixel, one less than the width and height here.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np

from leukoscope.errors import UsageError

NOISE = 12
"""Largest value that lossy compression leaves in the black around a cell (JPEG of quality 75 and more)."""

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


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
        brightness: mean luma (BT.601) of the cell, 0 to 255; of the whole image where it is not segmented; ``None``
            for a black image.
        stain: share of red light in the optical density of the mean colour, 0 to 1: ``D_r / (D_r + D_g + D_b)`` with
            ``D = -log((value + 1) / 256)``. Basic dyes (azure, blue) absorb red and raise it, eosin (pink) absorbs
            green and lowers it; 1/3 is grey. A thicker or thinner stain of the same hue leaves it (Beer-Lambert).
            ``None`` for a black or a white image.
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


class Body(NamedTuple):
    """What is not black: its box ``x, y, width, height``, the pixels in it and their mask (uint8, 0 or 255)."""

    box: tuple[int, int, int, int]
    pixels: np.ndarray
    mask: np.ndarray
    area: int


def measure(image: np.ndarray) -> Measures:
    """Measure one image.

    Args:
        image: uint8 ``(H, W, 3)`` RGB.

    Raises:
        UsageError: for anything else.

    >>> image = np.zeros((100, 100, 3), np.uint8)
    >>> image[20:60, 30:50] = (90, 40, 120)
    >>> image[20, 30] = image[59, 49] = 0
    >>> facts = measure(image)
    >>> facts.cell_width, facts.cell_height, facts.cell_area
    (20, 40, 798)
    """
    return measure_body(image, find_body(image))


def check_image(image: np.ndarray) -> None:
    """Raise :class:`UsageError` if ``image`` is not uint8 ``(H, W, 3)`` with at least one pixel."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise UsageError(
            f"expected an image as uint8 (H, W, 3), received: {found}", hint="decode() returns such images"
        )
    if not image.size:
        raise UsageError(f"expected an image with pixels, received: shape {image.shape}")


def find_body(image: np.ndarray) -> Body | None:
    """All that is not black, ``None`` for a black image.

    Black is exactly 0 where the file kept it so; where many faint pixels surround the cell, as lossy compression
    leaves them, values up to :data:`NOISE` count as black.
    """
    check_image(image)
    box = _box(np.ascontiguousarray(image).reshape(image.shape[0], -1))
    if box is None:
        return None
    x, y, width, height = box
    pixels = image[y : y + height, x : x + width]
    mask = _mask(pixels, 0)
    area = cv2.countNonZero(mask)
    solid = _mask(pixels, NOISE)
    solid_area = cv2.countNonZero(solid)
    if solid_area and area - solid_area > 0.02 * solid_area + 50:
        inner_x, inner_y, width, height = cv2.boundingRect(solid)
        inside = np.s_[inner_y : inner_y + height, inner_x : inner_x + width]
        return Body((x + inner_x, y + inner_y, width, height), pixels[inside], solid[inside], solid_area)
    return Body(box, pixels, mask, area)


def _box(flat: np.ndarray) -> tuple[int, int, int, int] | None:
    x, y, width, height = cv2.boundingRect(flat)  # columns of single samples, three to a pixel
    first, last = x // 3, (x + width - 1) // 3
    return (first, y, last - first + 1, height) if height else None


def _mask(pixels: np.ndarray, level: int) -> np.ndarray:
    return cv2.bitwise_not(cv2.inRange(pixels, (0, 0, 0), (level, level, level)))  # type: ignore[no-any-return]


def is_segmented(image: np.ndarray, body: Body) -> bool:
    """Whether ``body`` lies on black: three corners of the image are black, and it is no filled rectangle."""
    height, width = image.shape[:2]
    side = max(1, min(height, width) // 32)
    corners = [
        image[rows, columns]
        for rows in (np.s_[:side], np.s_[-side:])
        for columns in (np.s_[:side], np.s_[-side:])
    ]
    num_black = sum(int(corner.max()) <= NOISE for corner in corners)
    _, _, body_width, body_height = body.box
    return num_black >= 3 and body.area < 0.99 * width * height


def measure_body(image: np.ndarray, body: Body | None) -> Measures:
    """The measures of ``image``, whose body is known already."""
    height, width = image.shape[:2]
    if body is None:
        return Measures(width, height, False, None, None, None, None, None, None, None)
    if is_segmented(image, body):
        colour = cv2.mean(body.pixels, mask=body.mask)[:3]
        return Measures(width, height, True, *body.box, body.area, _luma(colour), _stain(colour))
    colour = cv2.mean(image)[:3]
    return Measures(width, height, False, None, None, None, None, None, _luma(colour), _stain(colour))


def _luma(colour: tuple[float, ...]) -> float:
    return sum(weight * value for weight, value in zip(_LUMA, colour, strict=True))


def _stain(colour: tuple[float, ...]) -> float | None:
    density = [-math.log((value + 1) / 256) for value in colour]
    return density[0] / sum(density) if sum(density) > 1e-6 else None
