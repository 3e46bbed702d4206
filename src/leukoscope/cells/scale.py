"""Micrometres per pixel: of C-NMC, as far as can be known, and of a photograph, by its red cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from leukoscope.cells.segmentation.shapes import Bits, depths, disc, filled, opened, parts, solidity
from leukoscope.cells.segmentation.stain import separate

CNMC_MICROMETRES_PER_PIXEL = 0.05
"""Of C-NMC 2019, which publishes none: assumed, because its normal cells, 181 pixels wide in the median, are
then 9 micrometres wide, as small lymphoid cells are in a dried smear, and its blasts (220 pixels) 11."""

CNMC_SCALE_SOURCE = (
    "assumed: C-NMC 2019 publishes none; its normal cells are then 9 micrometres wide in the median, as "
    "small lymphoid cells are in a dried smear"
)
"""From where the number above is, as bundles say it."""

RED_CELL_DIAMETER = 7.5
"""Of a red cell in a dried smear, micrometres, in the median."""

MIN_RED_CELLS = 4
"""Fewer single round red cells than this say nothing."""

_SOLID = 0.94  # of a round cell
_TOUCHING = 0.65  # the neck of two that touch, as a share of the radius
_NARROWED = 1.15  # circles inscribed in heaps and chains are smaller than the cells, in BCCD's first half
_NUCLEUS = 0.06  # blue dye from here on is in no red cell
_SIDE = 640  # a photograph is looked at, at most this wide and high; larger ones in windows
_LEAST, _MOST = 12.0, 0.35  # of a red cell: pixels of the reduced photograph, share of its shorter side


class Scale(NamedTuple):
    """Micrometres per pixel of a photograph, and how it is known.

    Attributes:
        micrometres_per_pixel: of the photograph.
        source: ``given``; ``red-cells``, of this photograph; ``other-photographs``, by the red cells of all
            of one call; ``red-cells-roughly``, see :func:`rough_scale_of`; ``assumed``, as C-NMC, because
            nothing is known.
        num_red_cells: single round red cells that were measured.
    """

    micrometres_per_pixel: float
    source: str
    num_red_cells: int = 0


def red_cell_diameters(image: np.ndarray) -> NDArray[np.float64]:
    """Diameters of the single round red cells of a photograph, in its pixels, in no order.

    A red cell counts if it is whole, as round as a circle and at most touches others; the diameter is that of
    the circle of equal area.

    Args:
        image: uint8 ``(H, W, 3)`` RGB.
    """
    small = _reduced(image, _SIDE)
    factor = max(small.shape[:2]) / max(image.shape[:2])
    stains = separate(small, blur=1.0)
    solid = stains.density[:, :, 1] > _half_density(stains.density[:, :, 1])
    bodies = filled(opened(solid.astype(np.uint8), 1.5))
    blue = (stains.blue > stains.red) | (stains.blue > _NUCLEUS)
    num, labels, boxes, _ = cv2.connectedComponentsWithStats(bodies, connectivity=4)
    found: list[float] = []
    for label in range(1, num):
        x, y, width, height = (int(value) for value in boxes[label, :4])
        window = np.s_[y : y + height, x : x + width]
        body = (labels[window] == label).astype(np.uint8)
        if not _reaches(boxes[label], small.shape):
            found += _round_ones(body, blue[window], _MOST * min(small.shape[:2]))
    return np.asarray(np.array(found) / factor)


def _round_ones(body: Bits, blue: NDArray[np.bool_], most: float) -> list[float]:
    """Diameters of the red cells of a body: itself, or what it falls into where cells merely touch."""
    masks = [body]
    if solidity(body) <= _SOLID:
        num, labels = parts(body, neck=_TOUCHING, min_radius=_LEAST / 2)
        masks = [(labels == part).astype(np.uint8) for part in range(1, num + 1)]
    found = []
    for mask in masks:
        diameter = 2 * float(np.sqrt(cv2.countNonZero(mask) / np.pi))
        if _LEAST <= diameter <= most and blue[mask > 0].mean() < 0.3 and _is_round(mask, diameter):
            found.append(diameter)
    return found


def scale_from(diameters: NDArray[np.float64]) -> Scale | None:
    """The scale that makes the usual red cell 7.5 micrometres wide; None where there are too few.

    The median by area, over what is within a third of it: platelets and crumbs are many, but small.

    >>> scale_from(np.array([100.0, 98.0, 103.0, 100.0, 20.0, 22.0])).micrometres_per_pixel
    0.075
    >>> scale_from(np.array([100.0])) is None
    True
    """
    if len(diameters) < MIN_RED_CELLS:
        return None
    ordered = np.sort(diameters)
    areas = np.cumsum(ordered**2)
    middle = ordered[np.searchsorted(areas, areas[-1] / 2)]
    alike = ordered[np.abs(ordered - middle) < middle / 3]
    if len(alike) < MIN_RED_CELLS:
        return None
    return Scale(RED_CELL_DIAMETER / float(np.median(alike)), "red-cells", len(alike))


def red_cells_of(image: np.ndarray) -> NDArray[np.float64]:
    """:func:`red_cell_diameters` of a photograph of any size; of a large one in windows spread over it."""
    return np.concatenate([red_cell_diameters(part) for part in _windows(image)])


def _windows(image: np.ndarray, side: int = 2048, most: int = 9) -> Sequence[np.ndarray]:
    """The photograph, or windows of it where it is large: evenly spread, at most ``most``."""
    if max(image.shape[:2]) <= 2 * side:
        return [image]
    per_side = int(np.sqrt(most))
    places = [np.linspace(0, max(length - side, 0), per_side).astype(int) for length in image.shape[:2]]
    return [image[y : y + side, x : x + side] for y in places[0] for x in places[1]]


def _half_density(green: NDArray[np.float32]) -> float:
    """Where a body ends: half of the density of what lies on the background."""
    there = green[green > 0.04]
    return max(0.04, 0.5 * float(np.median(there))) if len(there) else 0.04


def _reaches(box: NDArray[np.int32], shape: tuple[int, ...]) -> bool:
    x, y, width, height = (int(value) for value in box[:4])
    return x == 0 or y == 0 or x + width >= shape[1] or y + height >= shape[0]


def _is_round(mask: NDArray[np.uint8], diameter: float) -> bool:
    """Solid, and no longer than wide: its smallest circle is little larger than it is."""
    points = cv2.findNonZero(mask)
    _, radius = cv2.minEnclosingCircle(points)
    return solidity(mask) > _SOLID and diameter / (2 * radius + 1) > 0.88


def rough_scale_of(image: np.ndarray) -> Scale | None:
    """A scale within about a third, by the width of whatever red cells form, heaps and chains too.

    For a photograph without enough single red cells: good enough to find its white cells, not to size them.
    None where there is nothing red.
    """
    reduced = _reduced(image, _SIDE // 2)
    stains = separate(reduced, blur=1.0)
    solid = stains.density[:, :, 1] > _half_density(stains.density[:, :, 1])
    blue = (stains.blue > _NUCLEUS).astype(np.uint8)
    bodies = filled(opened(solid.astype(np.uint8), 1.5)) & (1 - cv2.dilate(blue, disc(2)))
    framed = cv2.copyMakeBorder(opened(bodies, 3), 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    depth = depths(framed)
    peaks = np.sort(depth[(depth == cv2.dilate(depth, disc(8))) & (depth > 4)])
    if not len(peaks):
        return None
    areas = np.cumsum(peaks**2)
    radius = float(peaks[np.searchsorted(areas, areas[-1] / 2)]) * _NARROWED
    factor = max(reduced.shape[:2]) / max(image.shape[:2])
    return Scale(RED_CELL_DIAMETER / (2 * radius / factor), "red-cells-roughly")


def _reduced(image: np.ndarray, side: int) -> np.ndarray:
    factor = side / max(image.shape[:2])
    if factor >= 1:
        return image
    return np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA))
