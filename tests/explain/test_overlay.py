"""The picture of a map: its colours and its scale."""

from __future__ import annotations

import numpy as np

from leukoscope.explain.overlay import AGAINST, FOOT, FOR, PANEL, overlay, tint


def test_colours_say_the_sign_and_the_strength(cells_of):
    cell = np.zeros((32, 32, 3), np.uint8)
    found = np.zeros((4, 4), np.float32)
    found[0, 0], found[3, 3], found[0, 3] = 2.0, -2.0, 1.0
    picture = tint(cell, found, 2.0)
    corners = picture[0, 0], picture[-1, -1], picture[0, -1], picture[-1, 0]
    for corner, colour, share in zip(corners, (FOR, AGAINST, FOR, FOR), (0.85, 0.85, 0.425, 0), strict=True):
        np.testing.assert_allclose(corner, np.array(colour) * share, atol=1)


def test_an_empty_map_is_the_cell_in_grey(cells_of):
    cell = cells_of(1)[0]
    picture = tint(cell, np.zeros((4, 4), np.float32), 0.0)
    assert (picture == picture[..., :1]).all() and picture.max() > 50


def test_the_scale_is_beside_it_and_follows_the_map(cells_of):
    cell, found = cells_of(1)[0], np.ones((4, 4), np.float32)
    pictures = [
        overlay(cell, found * factor, signed=signed, unit="log-odds")
        for factor, signed in ((1, True), (2, True), (1, False))
    ]
    assert {picture.shape for picture in pictures} == {(PANEL + FOOT, 720, 3)}
    one, two, unsigned = pictures
    assert np.array_equal(one[:, : 2 * PANEL], two[:, : 2 * PANEL])  # to the strongest value of each
    assert not np.array_equal(one[:, 2 * PANEL :], two[:, 2 * PANEL :])  # the numbers differ
    bar = 2 * PANEL + 20
    assert one[20, bar, 0] > one[20, bar, 2] and one[PANEL - 20, bar, 0] < one[PANEL - 20, bar, 2]
    assert unsigned[PANEL - 14, bar].max() == unsigned[PANEL - 14, bar].min()
