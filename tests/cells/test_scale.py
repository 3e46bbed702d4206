"""The scale of a photograph by its red cells: fields are drawn with cells 7.5 micrometres wide."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from leukoscope.cells.scale import (
    MIN_RED_CELLS,
    red_cell_diameters,
    red_cells_of,
    rough_scale_of,
    scale_from,
)
from leukoscope.cohort.synthetic_smear import synthesize_smear


def field(scale: float, seed: int = 3, **more: int):
    side = round(100 / scale)
    return synthesize_smear(seed=seed, width=side, height=side, micrometres_per_pixel=scale, **more)


@pytest.mark.parametrize("scale", [0.06, 0.1, 0.2])
def test_red_cells_give_the_scale(scale):
    found = scale_from(red_cells_of(field(scale, red_cells=60).image))
    assert found is not None
    assert found.source == "red-cells"
    assert found.num_red_cells >= MIN_RED_CELLS
    assert found.micrometres_per_pixel == pytest.approx(scale, rel=0.06)


def test_a_smear_without_red_cells_gives_none():
    image = field(0.1, red_cells=0, platelets=30).image
    assert scale_from(red_cell_diameters(image)) is None


def test_crowded_red_cells_still_give_a_rough_scale():
    found = rough_scale_of(field(0.1, red_cells=130).image)
    assert found is not None
    assert found.source == "red-cells-roughly"
    assert found.micrometres_per_pixel == pytest.approx(0.1, rel=0.34)


def test_nothing_red_gives_no_rough_scale():
    assert rough_scale_of(np.full((300, 400, 3), 220, np.uint8)) is None


def test_a_large_photograph_is_looked_at_in_windows():
    small = field(0.1, red_cells=60).image
    large = np.tile(small, (5, 5, 1))
    found = scale_from(red_cells_of(large))
    assert large.shape[0] > 4096
    assert found is not None
    assert found.micrometres_per_pixel == pytest.approx(0.1, rel=0.08)


def test_crumbs_and_chains_do_not_move_the_scale():
    cells = np.random.default_rng(0).normal(100, 4, 30)
    crumbs, chains = np.full(60, 25.0), np.full(3, 210.0)
    alone, among = scale_from(cells), scale_from(np.concatenate([crumbs, cells, chains]))
    assert alone is not None
    assert among is not None
    assert among.micrometres_per_pixel == pytest.approx(alone.micrometres_per_pixel, rel=0.01)


@pytest.mark.parametrize(("seed", "red_cells"), [(0, 90), (6, 250)])
def test_the_number_of_threads_changes_no_scale(seed, red_cells):
    """OpenCV's distances differ in their last bit between one thread and several: it was 1 and 5 % here."""
    field = synthesize_smear(
        seed=seed, width=900, height=700, white_cells=1, touching_pairs=0, red_cells=red_cells
    )
    found, before = [], cv2.getNumThreads()
    try:
        for threads in (1, 2):
            cv2.setNumThreads(threads)
            found.append(rough_scale_of(field.image))
    finally:
        cv2.setNumThreads(before)
    assert found[0] == found[1]
