"""Is this image fit to be judged? Flags, found on a reduced copy in a fraction of a millisecond."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np

from leukoscope.cells.measure import Body, Measures, find_body, measure_body, touches_edge
from leukoscope.core.config import Config

FLAGS: dict[str, str] = {
    "blank": "one colour all over",
    "not-segmented": "no cell on black: its size is unknown, and nothing else is judged",
    "none": "too little that is not black to be a cell",
    "several": "more than one body, also where they touch",
    "border": "cut off: the cell reaches the edge of the image, or ends in a straight line",
    "small": "smaller than whole cells are",
    "large": "larger than cells are",
    "beyond-field": "wider than the window a model sees: it will be cut",
    "dark": "darker than cells are",
    "bright": "brighter than cells are",
    "colour": "of another hue than stained cells are",
    "saturated": "too many pixels at the top of a channel",
    "blurred": "no fine detail inside the cell",
}
"""Every flag and what it says, in the order of reporting. "Cells" are those that the limits were set on."""

_STEP = 6  # the shape is looked at on every sixth pixel of every sixth row
_SATURATED = 250


class QualityLimits(Config):
    """Where good ends. The defaults were set by looking at C-NMC 2019, see ``docs/decisions``.

    Attributes:
        field: side of the window of the model, pixels (``Preprocess.field``).
        none_area: below this many pixels there is no cell.
        min_area: of a cell, pixels.
        max_area: of a cell, pixels.
        min_brightness: mean luma of a cell, 0 to 255.
        max_brightness: likewise.
        min_stain: ``Measures.stain``, 0 to 1.
        max_stain: likewise.
        max_straight_share: of a side of the cell's box that the cell lies flat against.
        min_other_radius: of the second body's largest inscribed circle, as a share of the first one's.
        max_saturated_share: of the cell's pixels with a channel of 250 and more.
        min_sharpness: deviation of the Laplacian of green at half size inside the cell, over its brightness.
    """

    field: int = 384
    none_area: int = 2_000
    min_area: int = 12_000
    max_area: int = 56_000
    min_brightness: float = 28.0
    max_brightness: float = 95.0
    min_stain: float = 0.24
    max_stain: float = 0.33
    max_straight_share: float = 0.35
    min_other_radius: float = 0.5
    max_saturated_share: float = 0.01
    min_sharpness: float = 0.03


class Quality(NamedTuple):
    """The flags of one image, a subset of :data:`FLAGS` in its order; none means good."""

    flags: tuple[str, ...]

    @property
    def text(self) -> str:
        """The flags joined by commas, empty for a good image.

        >>> Quality(("border", "large")).text
        'border,large'
        """
        return ",".join(self.flags)


def examine(image: np.ndarray, limits: QualityLimits = QualityLimits()) -> tuple[Measures, Quality]:  # noqa: B008
    """Measures and quality of one image.

    Args:
        image: uint8 ``(H, W, 3)`` RGB.
        limits: where good ends.

    Raises:
        UsageError: for another type or shape.

    >>> measures, quality = examine(np.zeros((450, 450, 3), np.uint8))
    >>> quality.flags
    ('blank',)
    """
    body = find_body(image)
    measures = measure_body(image, body)
    found = set(_flags(image, body, measures, limits))
    return measures, Quality(tuple(flag for flag in FLAGS if flag in found))


def _flags(image: np.ndarray, body: Body | None, measures: Measures, limits: QualityLimits) -> Iterator[str]:
    if body is None or not measures.segmented:
        yield "blank" if body is None or _is_plain(image) else "not-segmented"
    elif body.area < limits.none_area:
        yield "none"
    else:
        yield from _size_flags(body, limits)
        yield from _colour_flags(measures, limits)
        if _is_cut(image, body, limits):
            yield "border"
        if _is_saturated(body, limits):
            yield "saturated"
        yield from _shape_flags(body, measures, limits)


def _is_plain(image: np.ndarray) -> bool:
    rows = image[:: max(1, image.shape[0] // 128)]
    return float(cv2.meanStdDev(rows)[1].max()) < 2


def _size_flags(body: Body, limits: QualityLimits) -> Iterator[str]:
    if body.area < limits.min_area:
        yield "small"
    if body.area > limits.max_area:
        yield "large"
    if max(body.box[2:]) > limits.field:
        yield "beyond-field"


def _colour_flags(measures: Measures, limits: QualityLimits) -> Iterator[str]:
    if measures.brightness is not None and measures.brightness < limits.min_brightness:
        yield "dark"
    if measures.brightness is not None and measures.brightness > limits.max_brightness:
        yield "bright"
    if measures.stain is None or not limits.min_stain <= measures.stain <= limits.max_stain:
        yield "colour"


def _is_cut(image: np.ndarray, body: Body, limits: QualityLimits) -> bool:
    """At the edge of the image, or flat: C-NMC has pasted cells from a photograph's edge into the middle."""
    if touches_edge(image, body):
        return True
    share = 1 - limits.max_straight_share
    lines = (body.solid[0], body.solid[-1], body.solid[:, 0], body.solid[:, -1])
    # bytes count ten times faster than arrays of this length
    return any(line.tobytes().count(0) < share * line.size for line in lines)


def _is_saturated(body: Body, limits: QualityLimits) -> bool:
    rows = body.solid[::_STEP]
    if cv2.norm(rows, cv2.NORM_INF) < _SATURATED:  # the largest value; nearly always
        return False
    num_saturated = int(np.count_nonzero(rows >= _SATURATED))
    return num_saturated > limits.max_saturated_share * body.area / _STEP


def _shape_flags(body: Body, measures: Measures, limits: QualityLimits) -> Iterator[str]:
    if min(body.solid.shape) < 2 * _STEP:
        return
    depth = _depth(body.solid)
    _, radius, _, (column, row) = cv2.minMaxLoc(depth)
    if _has_other_body(depth, radius, body.area, limits.min_other_radius):
        yield "several"
    # a square in the largest inscribed circle, two steps off the outline
    reach = _STEP * min(int((radius - 2) / math.sqrt(2)), 6)
    if reach >= 3 * _STEP and measures.brightness is not None:
        detail = _detail(body.pixels, _STEP * column + _STEP // 2, _STEP * row + _STEP // 2, reach)
        if detail < limits.min_sharpness * measures.brightness:
            yield "blurred"


def _depth(solid: np.ndarray) -> np.ndarray:
    """Distance to the nearest black on a grid of every sixth pixel, in steps of it; its frame is black."""
    grid = np.ascontiguousarray(solid[_STEP // 2 :: _STEP, _STEP // 2 :: _STEP])
    grid[0] = grid[-1] = 0
    grid[:, 0] = grid[:, -1] = 0
    return cv2.distanceTransform(grid, cv2.DIST_L2, 3)  # type: ignore[no-any-return]


def _has_other_body(depth: np.ndarray, radius: float, area: int, min_other_radius: float) -> bool:
    """Whether a second body, free or joined by a neck, holds a circle of that share of the largest one."""
    if area < math.pi * (_STEP * radius) ** 2 * (1 + min_other_radius**2):  # no room for both circles
        return False
    cores = depth > 0.4 * radius
    num_cores, labels = cv2.connectedComponents(cores.view(np.uint8), connectivity=8)
    if num_cores <= 2:  # the background and one
        return False
    radii = sorted(float(depth[labels == label].max()) for label in range(1, num_cores))
    return radii[-2] >= min_other_radius * radius


def _detail(pixels: np.ndarray, x: int, y: int, reach: int) -> float:
    """Deviation of the Laplacian of green at half size, in a square around ``x, y``."""
    patch = pixels[y - reach : y + reach, x - reach : x + reach, 1].astype(np.float32)
    half = cv2.resize(patch, (reach, reach), interpolation=cv2.INTER_AREA)
    return float(cv2.meanStdDev(cv2.Laplacian(half, cv2.CV_32F)[1:-1, 1:-1])[1][0, 0])
