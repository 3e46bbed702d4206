"""What a segmenter gives: one :class:`FoundCell` for each white cell, and for what might be taken for one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

FLAGS: dict[str, str] = {
    "edge": "cut off by the edge of the photograph",
    "doublet": "two or more cells that could not be told apart",
    "smudge": "a burst cell: its nucleus is spread out, its body has no outline",
    "platelets": "a clump of platelets",
    "debris": "stained, but no cell: too small, without a nucleus, or not in the colours of blood stains",
    "touching": "cut apart from a neighbour: a part of the outline is a straight guess",
    "lobed": "the nucleus is in several lobes: no lymphoid cell",
    "granular": "coarse granules in the cytoplasm: no lymphoid cell",
}
"""Every flag and what it says, in the order of reporting."""

NO_CELL = frozenset({"platelets", "debris"})
"""Flags of what is no white cell."""

NOT_SINGLE = NO_CELL | {"edge", "doublet", "smudge"}
"""Flags of what is no single whole white cell: nothing that carries one is passed on as such."""

NOT_LYMPHOID = frozenset({"lobed", "granular"})
"""Flags of white cells of another kind, of which a model of lymphoid cells knows nothing."""

NO_CELL_AT_ALL = "no cell"
NOT_A_SINGLE_CELL = "not a single cell"
NOT_A_LYMPHOID_CELL = "not a lymphoid cell"
"""How the reasons of :func:`why_not_judged` begin."""


@dataclass(frozen=True, eq=False)
class FoundCell:
    """One thing that was found in a photograph.

    Attributes:
        x: first column of the box, pixels of the photograph.
        y: first row of the box.
        mask: bool ``(height, width)`` of the box: the whole cell.
        nucleus: bool, of the same shape: its nucleus, inside ``mask``.
        flags: a subset of :data:`FLAGS`, in its order; none means a single whole cell.
    """

    x: int
    y: int
    mask: Mask
    nucleus: Mask
    flags: tuple[str, ...] = ()

    @property
    def box(self) -> tuple[int, int, int, int]:
        """``x, y, width, height`` in the photograph; the mask reaches all four sides."""
        height, width = self.mask.shape
        return self.x, self.y, width, height

    @property
    def outline(self) -> NDArray[np.int32]:
        """The polygon around the mask: ``(N, 2)`` corners ``x, y`` in the photograph, N >= 3.

        Corners lie on the borders of pixels, so that the polygon of one pixel at (0, 0) is the unit square
        and its area is the number of pixels that it holds (of the largest part, without holes).
        """
        return outline_of(self.mask) + np.array([self.x, self.y], np.int32)

    @property
    def is_cell(self) -> bool:
        """Whether this is a white cell, whole or not."""
        return is_cell(self.flags)

    @property
    def is_single(self) -> bool:
        """Whether this is one whole white cell."""
        return is_single(self.flags)

    @property
    def why_not_judged(self) -> str | None:
        """Why a model of lymphoid cells says nothing of it; None where it may."""
        return why_not_judged(self.flags)

    def moved(self, x: int, y: int) -> FoundCell:
        """The same cell, ``x`` columns to the right and ``y`` rows down."""
        return FoundCell(self.x + x, self.y + y, self.mask, self.nucleus, self.flags)


def is_cell(flags: Iterable[str]) -> bool:
    """Whether these are the flags of a white cell, whole or not."""
    return not NO_CELL.intersection(flags)


def is_single(flags: Iterable[str]) -> bool:
    """Whether these are the flags of one whole white cell."""
    return not NOT_SINGLE.intersection(flags)


def why_not_judged(flags: Iterable[str]) -> str | None:
    """Why a model of lymphoid cells says nothing of something with these flags; None where it may.

    >>> why_not_judged(["touching"]), why_not_judged(["edge", "lobed"]), why_not_judged(["lobed"])
    (None, 'not a single cell: edge', 'not a lymphoid cell: lobed')
    """
    given = [flag for flag in FLAGS if flag in set(flags)]
    kinds = {NO_CELL_AT_ALL: NO_CELL, NOT_A_SINGLE_CELL: NOT_SINGLE, NOT_A_LYMPHOID_CELL: NOT_LYMPHOID}
    for words, kind in kinds.items():
        if those := [flag for flag in given if flag in kind]:
            return f"{words}: {','.join(those)}"
    return None


def outline_of(mask: Mask) -> NDArray[np.int32]:
    """The polygon around the largest part of a mask, along the borders of its pixels: ``(N, 2)``, ``x, y``.

    Doubled, the contour through the middles of the outermost pixels runs along their borders.

    >>> outline_of(np.ones((2, 3), bool)).tolist()
    [[0, 0], [0, 2], [3, 2], [3, 0]]
    """
    doubled = np.kron(mask.astype(np.uint8), np.ones((2, 2), np.uint8))
    contours, _ = cv2.findContours(doubled, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    corners = (max(contours, key=cv2.contourArea)[:, 0] + 1) // 2
    return np.asarray(corners[_turns(corners)], np.int32)


def _turns(corners: NDArray[np.int32]) -> Mask:
    """Which corners are neither the same as the one before nor on the way straight on."""
    apart = (corners != np.roll(corners, 1, axis=0)).any(axis=1)
    kept = np.flatnonzero(apart)
    ways_in = corners[kept] - np.roll(corners[kept], 1, axis=0)
    ways_out = np.roll(ways_in, -1, axis=0)
    bent = ways_in[:, 0] * ways_out[:, 1] != ways_in[:, 1] * ways_out[:, 0]
    chosen = np.zeros(len(corners), bool)
    chosen[kept[bent]] = True
    return chosen
