"""Occlusion against brute force, and its symmetries."""

from __future__ import annotations

import numpy as np
import pytest

from leukoscope.bundle.read import open_bundle
from leukoscope.explain.evidence import evidence_of
from leukoscope.explain.methods import make_method, over_views
from leukoscope.inference.backends import make_backend
from leukoscope.inference.views import dihedral, upright

SIDE = 32


def occlusion(path):
    bundle = open_bundle(path)
    backend = make_backend(bundle)
    return make_method(bundle, backend, "occlusion")[0], evidence_of(backend, bundle.info, views=1)


def brute_force(cell, evidence, side):
    """Mean loss over all covers of two places that lie over a place, one cover at a time."""
    whole = evidence(cell[None])[0]
    found = np.zeros((SIDE // side, SIDE // side))
    for row in range(len(found)):
        for column in range(len(found)):
            losses = []
            for y in (row - 1, row):
                for x in (column - 1, column):
                    covered = cell.copy()
                    covered[max(y * side, 0) : (y + 2) * side, max(x * side, 0) : (x + 2) * side] = 0
                    losses.append(whole - evidence(covered[None])[0])
            found[row, column] = np.mean(losses)
    return found


def test_it_is_what_brute_force_finds(network_bundle, cells_of):
    method, evidence = occlusion(network_bundle[0])
    cells = cells_of(2)
    for cell, found in zip(cells, method.mapper(cells), strict=True):
        assert found.shape == (16, 16)
        np.testing.assert_allclose(found, brute_force(cell, evidence, 2), atol=1e-4)


def test_it_shows_the_place_that_the_model_reads(spot_bundle, cells_of):
    maps = occlusion(spot_bundle)[0].mapper(cells_of(3))
    near = np.zeros((16, 16), bool)
    near[5:11, 7:13] = True  # the spot is 6..10, 8..12; a cover beside it reaches in
    assert (maps[:, ~near] == 0).all()
    assert (maps[:, 6:10, 8:12] > 0).all()


@pytest.mark.parametrize("view", range(8))
def test_a_turned_cell_has_the_turned_map_where_the_model_does_not_care(tiny_bundle, cells_of, view):
    mapper, cells = occlusion(tiny_bundle)[0].mapper, cells_of(2)
    turned = list(dihedral(cells))[view]
    expected = over_views(mapper, cells, 8)
    np.testing.assert_allclose(upright(over_views(mapper, turned, 8), view), expected, atol=1e-5)


def test_black_is_worth_nothing(tiny_bundle):
    assert not occlusion(tiny_bundle)[0].mapper(np.zeros((1, SIDE, SIDE, 3), np.uint8)).any()
