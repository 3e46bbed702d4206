"""Where exactly a cell ends, on the photograph's own pixels: half-way from its inside to the background.

Cells are found on a small copy, whose blur carries their outlines on by up to a quarter of a micrometre. A
model of segmented cells looks at outlines closely: a cell with a bright rim of background is another cell to
it.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from leukoscope.cells.segmentation.shapes import Bits, depths, filled, opened

_DEPTHS = (0.35, 0.15)  # micrometres off the outline: there it is surely inside; at first and then
_SHELL = 0.25  # micrometres: how thick the layer is that says how dense a cell is inside
_ALONG = 0.3  # micrometres: and how far to the sides
_BLUR = 0.03  # micrometres: against noise
_CRUMBS = 0.15  # micrometres: what is narrower than twice this does not belong to the cell


class Edge(NamedTuple):
    """How edges are looked for.

    Attributes:
        fall: a cell ends where the density has fallen to this share of that just inside, 0 to 1.
        micrometres_per_pixel: of the photograph.
    """

    fall: float
    micrometres_per_pixel: float

    def drawn_in(self, mask: NDArray[np.bool_], density: NDArray[np.float32]) -> NDArray[np.bool_]:
        """The part of a mask within the cell's edge; of that, the largest part without holes.

        Compared with the inside near by, not with that of all the cell: cytoplasm is paler than the nucleus,
        which reaches the edge in places. No more is taken off than half a micrometre.

        Args:
            mask: bool ``(h, w)``: the cell and a little around it.
            density: optical density in green of the same box.
        """
        solid = mask.astype(np.uint8)
        for depth in _DEPTHS:
            solid = self._once(solid, density, depth)
        return solid > 0

    def _once(self, mask: Bits, density: NDArray[np.float32], depth: float) -> Bits:
        unit = 1 / self.micrometres_per_pixel
        framed = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        away = depths(framed)[1:-1, 1:-1]
        core = away > depth * unit
        shell = (core & (away <= (depth + _SHELL) * unit + 1)).astype(np.float32)
        if not shell.any():
            return mask
        share = cv2.GaussianBlur(shell, (0, 0), _ALONG * unit)
        inside = cv2.GaussianBlur(density * shell, (0, 0), _ALONG * unit) / np.maximum(share, 1e-6)
        dense = cv2.GaussianBlur(density, (0, 0), _BLUR * unit) > self.fall * inside
        solid = filled(opened(filled(((dense & (mask > 0)) | core).astype(np.uint8)), _CRUMBS * unit) & mask)
        return _largest(solid) if solid.any() else mask


def _largest(mask: Bits) -> Bits:
    num, labels, facts, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    return mask if num <= 2 else (labels == 1 + int(facts[1:, cv2.CC_STAT_AREA].argmax())).astype(np.uint8)
