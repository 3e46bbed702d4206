"""Occlusion: cover a part of the cell and see what is lost. Works with every backend.

M. D. Zeiler and R. Fergus, "Visualizing and understanding convolutional networks", ECCV 2014.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from leukoscope.bundle.read import Bundle
from leukoscope.explain.evidence import Cells, Evidence, Floats, evidence_of
from leukoscope.explain.methods import Mapper, Method, methods, place_side
from leukoscope.explain.random_graph import random_backend
from leukoscope.inference.backends import Backend

PLACES = 14
"""Places in a row, at least; a cover is two places wide."""
COVERED_AT_ONCE = 64


@methods.add("occlusion")
def occlusion(bundle: Bundle, backend: Backend) -> Method:
    """The log-odds that are lost when a square is covered black, mean over the squares that cover a place."""
    return Method(
        name="occlusion",
        title="occlusion",
        value="log-odds of blast that are lost when the place is covered",
        unit="log-odds",
        mapper=_mapper(bundle, backend),
        randomised=lambda seed: _mapper(bundle, random_backend(bundle, seed)),
    )


def _mapper(bundle: Bundle, backend: Backend) -> Mapper:
    evidence = evidence_of(backend, bundle.info, views=1)
    side = place_side(bundle.info.preprocess.size, PLACES)

    def make(cells: Cells) -> Floats:
        whole = evidence(cells)
        return np.stack([_map(cell, one, evidence, side) for cell, one in zip(cells, whole, strict=True)])

    return make


def _map(cell: npt.NDArray[np.uint8], whole: float, evidence: Evidence, side: int) -> Floats:
    """The map (S / side, S / side) of one cell, whose log-odds are ``whole``.

    Every place lies under four covers, those at the edge reaching beyond the picture. A cover over nothing
    but black changes nothing and is not tried.
    """
    starts = range(-side, len(cell), side)
    covers = [
        (slice(max(y, 0), y + 2 * side), slice(max(x, 0), x + 2 * side)) for y in starts for x in starts
    ]
    telling = [cover for cover in covers if cell[cover].any()]
    lost = np.zeros((len(cell), len(cell)))
    for start in range(0, len(telling), COVERED_AT_ONCE):
        tried = telling[start : start + COVERED_AT_ONCE]
        pictures = np.repeat(cell[None], len(tried), axis=0)
        for picture, cover in zip(pictures, tried, strict=True):
            picture[cover] = 0
        for cover, left in zip(tried, evidence(pictures), strict=True):
            lost[cover] += (whole - left) / 4
    return np.asarray(lost[::side, ::side], dtype=np.float32)
