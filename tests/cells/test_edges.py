"""Where a cell ends: against discs whose edge is known, blurred as optics blur."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from leukoscope.cells.segmentation.edges import Edge
from leukoscope.cells.segmentation.segmenters import create_segmenter


def disc(radius: float, side: int, middle: tuple[float, float] | None = None) -> np.ndarray:
    x, y = middle or (side / 2, side / 2)
    rows, columns = np.indices((side, side)) + 0.5
    return np.hypot(rows - y, columns - x) <= radius


@pytest.mark.parametrize("scale", [0.03, 0.05, 0.1])
@pytest.mark.parametrize("too_far", [0.1, 0.3])
def test_a_mask_is_drawn_in_to_half_of_the_density(scale, too_far):
    side, radius = round(16 / scale), 5 / scale
    true = disc(radius, side)
    density = cv2.GaussianBlur(np.where(true, 0.6, 0.0).astype(np.float32), (0, 0), 0.1 / scale)
    drawn = Edge(0.5, scale).drawn_in(disc(radius + too_far / scale, side), density)
    assert np.sqrt(drawn.sum() / np.pi) == pytest.approx(radius, abs=0.06 / scale)


def test_pale_cytoplasm_beside_a_dark_nucleus_stays():
    """A rim of 0.8 micrometres, a quarter as dense as the nucleus that it lies around."""
    scale, side = 0.05, 320
    density = np.where(disc(84, side), 0.8, np.where(disc(100, side), 0.2, 0.0)).astype(np.float32)
    density = cv2.GaussianBlur(density, (0, 0), 2)
    drawn = Edge(0.5, scale).drawn_in(disc(104, side), density)
    assert np.sqrt(drawn.sum() / np.pi) == pytest.approx(100, abs=1.5)


def test_a_mask_stays_a_part_of_itself_without_holes():
    chance = np.random.default_rng(0)
    density = chance.uniform(0, 0.5, (90, 100)).astype(np.float32)
    mask = disc(40, 100)[5:95]
    drawn = Edge(0.5, 0.1).drawn_in(mask, density)
    assert drawn.any()
    assert not (drawn & ~mask).any()
    assert cv2.connectedComponents(drawn.astype(np.uint8), connectivity=4)[0] == 2
    outside = cv2.copyMakeBorder((~drawn).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    assert cv2.connectedComponents(outside, connectivity=8)[0] == 2


@pytest.mark.parametrize("density", [0.0, 0.4])
@pytest.mark.parametrize("size", [1, 2, 5])
def test_of_a_speck_something_is_left(size, density):
    mask = np.ones((size, size), bool)
    drawn = Edge(0.5, 0.1).drawn_in(mask, np.full((size, size), density, np.float32))
    assert drawn.shape == mask.shape
    assert drawn.any()


@pytest.mark.parametrize("scale", [0.05, 0.1])
def test_a_pale_red_cell_beside_a_dark_cell_is_not_a_part_of_it(scale):
    side = round(40 / scale)
    image = np.full((side, side, 3), (228, 215, 200), np.uint8)
    for x, y in ((0.15, 0.15), (0.85, 0.15), (0.15, 0.85), (0.85, 0.85)):
        image[disc(3.7 / scale, side, (x * side, y * side))] = (205, 160, 150)
    image[disc(3.7 / scale, side, (side / 2 + 6 / scale, side / 2))] = (220, 195, 182)
    true = disc(4.5 / scale, side)
    image[true] = (90, 45, 100)
    image = cv2.GaussianBlur(image, (0, 0), 0.08 / scale)
    (cell,) = (one for one in create_segmenter().segment(image, scale) if one.is_cell)
    found = np.zeros_like(true)
    x, y, width, height = cell.box
    found[y : y + height, x : x + width] = cell.mask
    assert cell.is_single
    assert 2 * (found & true).sum() / (found.sum() + true.sum()) > 0.97
