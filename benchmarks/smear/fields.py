"""BCCD: fields of smears with boxes (Pascal VOC), and how boxes and cells are paired."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from leukoscope.cells.decode import decode
from leukoscope.cells.scale import Scale, red_cells_of, scale_from
from leukoscope.cells.segmentation.found import FoundCell

MIN_OVERLAP = 0.5

Half = Literal["first", "second"]
Box = tuple[float, float, float, float]
"""``left, top, right, bottom``."""


def half_of(ordered: Sequence[str], half: Half) -> Sequence[str]:
    """One half: settings are chosen on the first, figures are of the second."""
    middle = len(ordered) // 2
    return ordered[:middle] if half == "first" else ordered[middle:]


class Bccd:
    """The folder of BCCD (``JPEGImages`` and ``Annotations``)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names = sorted(path.stem for path in (folder / "Annotations").glob("*.xml"))

    def image(self, name: str) -> np.ndarray:
        """One field, uint8 (480, 640, 3)."""
        return decode(self.folder / "JPEGImages" / f"{name}.jpg")

    def boxes(self, name: str, kind: str = "WBC") -> list[Box]:
        """The boxes of one field."""
        return boxes_of(self.folder / "Annotations" / f"{name}.xml", kind)


def scale_of(images: Iterable[np.ndarray]) -> Scale:
    """By the red cells of all photographs together."""
    scale = scale_from(np.concatenate([red_cells_of(image) for image in images]))
    if scale is None:
        raise SystemExit("too few single red cells")
    return scale


def boxes_of(path: Path, kind: str = "WBC") -> list[Box]:
    """The boxes of one kind in an annotation of Pascal VOC."""
    found = []
    for thing in ET.parse(path).getroot().iter("object"):
        if thing.findtext("name") == kind:
            sides = (thing.findtext(f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax"))
            left, top, right, bottom = (float(side or "nan") for side in sides)
            found.append((left, top, right, bottom))
    return found


def as_box(cell: FoundCell) -> Box:
    """Its sides."""
    x, y, width, height = cell.box
    return x, y, x + width, y + height


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(wide, 0) * max(high, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared)


def pairs_of(boxes: Sequence[Box], cells: Sequence[Box]) -> dict[int, tuple[int, float]]:
    """Each box with the cell that overlaps it most, the best pairs first, each cell once: place of the box ->
    place of the cell, and by how much."""
    pairs = sorted(
        ((overlap(box, cell), i, j) for i, box in enumerate(boxes) for j, cell in enumerate(cells)),
        reverse=True,
    )
    found: dict[int, tuple[int, float]] = {}
    taken = set[int]()
    for share, i, j in pairs:
        if share >= MIN_OVERLAP and i not in found and j not in taken:
            found[i] = j, share
            taken.add(j)
    return found


class Field(NamedTuple):
    """What was found in one field: boxes that were found and missed, cells that no box stands for."""

    name: str
    hits: int
    missed: list[Box]
    extra: list[Box]
    overlaps: list[float]


def pair_up(name: str, boxes: Sequence[Box], cells: Sequence[Box]) -> Field:
    """How the boxes of a field were found."""
    pairs = pairs_of(boxes, cells)
    taken = {j for j, _ in pairs.values()}
    missed = [box for i, box in enumerate(boxes) if i not in pairs]
    extra = [cell for j, cell in enumerate(cells) if j not in taken]
    return Field(name, len(pairs), missed, extra, [share for _, share in pairs.values()])
