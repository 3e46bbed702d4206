"""A drawn smear tells the truth about itself."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from leukoscope.cohort.synthetic_smear import synthesize_smear
from leukoscope.errors import UsageError


@pytest.fixture(scope="module")
def smear():
    return synthesize_smear(seed=1, width=800, height=600, white_cells=4, touching_pairs=1, red_cells=40)


def canvas(smear, cell):
    whole = np.zeros(smear.image.shape[:2], bool)
    whole[cell.y : cell.y + cell.mask.shape[0], cell.x : cell.x + cell.mask.shape[1]] = cell.mask
    return whole


def test_the_same_arguments_draw_the_same_pixels(smear):
    again = synthesize_smear(seed=1, width=800, height=600, white_cells=4, touching_pairs=1, red_cells=40)
    other = synthesize_smear(seed=2, width=800, height=600, white_cells=4, touching_pairs=1, red_cells=40)
    assert np.array_equal(smear.image, again.image)
    assert [cell.box for cell in smear.cells] == [cell.box for cell in again.cells]
    assert not np.array_equal(smear.image, other.image)


def test_cells_lie_inside_and_share_no_pixel(smear):
    assert len(smear.cells) == 6
    assert sum(canvas(smear, cell).astype(int) for cell in smear.cells).max() == 1
    assert all((cell.nucleus <= cell.mask).all() and cell.nucleus.any() for cell in smear.cells)


def test_pairs_touch_and_others_do_not(smear):
    assert len(smear.pairs) == 1
    paired = {place for pair in smear.pairs for place in pair}
    masks = [canvas(smear, cell) for cell in smear.cells]
    for place, mask in enumerate(masks):
        grown = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        near = {other for other, one in enumerate(masks) if other != place and (grown & one).any()}
        assert near == (paired - {place} if place in paired else set())
        assert ("touching" in smear.cells[place].flags) == (place in paired)


def test_white_cells_are_where_the_masks_say(smear):
    masks = np.any([canvas(smear, cell) for cell in smear.cells], axis=0)
    nuclei = np.zeros_like(masks)
    for cell in smear.cells:
        nuclei[cell.y : cell.y + cell.mask.shape[0], cell.x : cell.x + cell.mask.shape[1]] |= cell.nucleus
    red = smear.image[:, :, 0].astype(float)
    outside = cv2.erode((~masks).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    assert red[nuclei].mean() < 0.75 * red[outside].mean()


def test_light_is_as_uneven_as_asked():
    nothing = {"white_cells": 0, "touching_pairs": 0, "red_cells": 0, "platelets": 0}
    fields = [synthesize_smear(seed=3, width=400, height=400, unevenness=u, **nothing) for u in (0.0, 0.4)]
    even, uneven = (cv2.GaussianBlur(one.image[:, :, 1].astype(float), (0, 0), 5) for one in fields)
    assert even.min() > 0.97 * even.max()
    assert uneven.min() == pytest.approx(0.6 * uneven.max(), rel=0.05)


def test_edges_say_so():
    cut = [
        cell
        for seed in range(4)
        for cell in synthesize_smear(
            seed=seed, width=300, height=300, white_cells=4, touching_pairs=0, red_cells=0
        ).cells
        if "edge" in cell.flags
    ]
    assert cut
    for cell in cut:
        x, y, width, height = cell.box
        assert x == 0 or y == 0 or x + width == 300 or y + height == 300


def test_a_full_field_holds_fewer():
    assert len(synthesize_smear(width=260, height=260, white_cells=50, touching_pairs=0).cells) < 50


@pytest.mark.parametrize("wrong", [{"width": 100}, {"white_cells": -1}, {"seed": -1}])
def test_impossible_fields_are_refused(wrong):
    with pytest.raises(UsageError):
        synthesize_smear(**wrong)
