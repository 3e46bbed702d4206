"""White cells found in photographs of smears: real fields with boxes, synthetic ones with exact outlines.

    python benchmarks/smears.py bccd FOLDER --half first|second [--misses DIR]
    python benchmarks/smears.py synthetic [--fields 60]

FOLDER is BCCD (``JPEGImages`` and ``Annotations``, MIT). The settings were chosen on the first half of its
fields by name. The scale is by the red cells of all fields together, as ``leukoscope cells extract`` does it
where one field alone shows too few.
"""

from __future__ import annotations

import argparse
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from leukoscope.cells.decode import decode
from leukoscope.cells.photograph import Drawn, draw_overlay
from leukoscope.cells.scale import red_cells_of, scale_from
from leukoscope.cells.segmentation.found import FoundCell
from leukoscope.cells.segmentation.segmenters import create_segmenter
from leukoscope.cohort.synthetic_smear import synthesize_smear
from record import keep

MIN_OVERLAP = 0.5
SCALES = (0.05, 0.075, 0.1, 0.15)

Box = tuple[float, float, float, float]
"""``left, top, right, bottom``."""


class Field(NamedTuple):
    """What was found in one field: boxes that were found and missed, cells that no box stands for."""

    name: str
    hits: int
    missed: list[Box]
    extra: list[Box]
    overlaps: list[float]


def boxes_of(path: Path, kind: str = "WBC") -> list[Box]:
    """The boxes of one kind in an annotation of Pascal VOC."""
    found = []
    for thing in ET.parse(path).getroot().iter("object"):
        if thing.findtext("name") == kind:
            sides = (thing.findtext(f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax"))
            left, top, right, bottom = (float(side or "nan") for side in sides)
            found.append((left, top, right, bottom))
    return found


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(wide, 0) * max(high, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared)


def pair_up(name: str, boxes: Sequence[Box], cells: Sequence[Box]) -> Field:
    """Each box with the cell that overlaps it most, the best pairs first, each cell once."""
    pairs = sorted(
        ((overlap(box, cell), i, j) for i, box in enumerate(boxes) for j, cell in enumerate(cells)),
        reverse=True,
    )
    hits: dict[int, int] = {}
    overlaps = []
    for share, i, j in pairs:
        if share >= MIN_OVERLAP and i not in hits and j not in hits.values():
            hits[i] = j
            overlaps.append(share)
    missed = [box for i, box in enumerate(boxes) if i not in hits]
    extra = [cell for j, cell in enumerate(cells) if j not in hits.values()]
    return Field(name, len(hits), missed, extra, overlaps)


def as_box(cell: FoundCell) -> Box:
    x, y, width, height = cell.box
    return x, y, x + width, y + height


def bccd(folder: Path, half: str, misses: Path | None) -> dict[str, Any]:
    """Recall and precision on one half of the fields."""
    names = sorted(path.stem for path in (folder / "Annotations").glob("*.xml"))
    middle = len(names) // 2
    names = names[:middle] if half == "first" else names[middle:]
    images = {name: decode(folder / "JPEGImages" / f"{name}.jpg") for name in names}
    scale = scale_from(np.concatenate([red_cells_of(image) for image in images.values()]))
    if scale is None:
        raise SystemExit("too few single red cells")
    segmenter, fields, seconds = create_segmenter(), [], 0.0
    for name, image in images.items():
        started = time.perf_counter()
        cells = segmenter.segment(image, scale.micrometres_per_pixel)
        seconds += time.perf_counter() - started
        boxes = boxes_of(folder / "Annotations" / f"{name}.xml")
        fields.append(pair_up(name, boxes, [as_box(cell) for cell in cells if cell.is_cell]))
        if misses and (fields[-1].missed or fields[-1].extra):
            write_miss(misses, fields[-1], image, cells, boxes)
    return {"half": half, "scale": scale._asdict(), "fields_a_second": len(names) / seconds, **summed(fields)}


def summed(fields: Sequence[Field]) -> dict[str, Any]:
    hits = sum(field.hits for field in fields)
    num_boxes = hits + sum(len(field.missed) for field in fields)
    num_cells = hits + sum(len(field.extra) for field in fields)
    return {
        "num_fields": len(fields),
        "num_boxes": num_boxes,
        "num_cells": num_cells,
        "recall": hits / num_boxes,
        "precision": hits / num_cells,
        "median_overlap": float(np.median([share for field in fields for share in field.overlaps])),
        "missed": {field.name: field.missed for field in fields if field.missed},
        "extra": {field.name: field.extra for field in fields if field.extra},
    }


def write_miss(
    folder: Path, field: Field, image: np.ndarray, cells: Sequence[FoundCell], boxes: Sequence[Box]
) -> None:
    """The field with what was found, and the boxes in blue."""
    folder.mkdir(parents=True, exist_ok=True)
    picture = draw_overlay(image, [Drawn(cell.outline, cell.flags) for cell in cells])
    for left, top, right, bottom in boxes:
        cv2.rectangle(picture, (int(left), int(top)), (int(right), int(bottom)), (0, 60, 230), 2)
    cv2.imwrite(str(folder / f"{field.name}.png"), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))


def synthetic(num_fields: int) -> dict[str, Any]:
    """Dice of each cell, and how many touching pairs are counted right, at several scales."""
    segmenter, dices, pairs, extra, seconds = create_segmenter(), [], [], 0, 0.0
    for seed in range(num_fields):
        scale = SCALES[seed % len(SCALES)]
        field = synthesize_smear(
            seed=seed, width=round(128 / scale), height=round(96 / scale), micrometres_per_pixel=scale,
            white_cells=3, touching_pairs=2,
        )  # fmt: skip
        started = time.perf_counter()
        cells = [cell for cell in segmenter.segment(field.image, scale) if cell.is_cell]
        seconds += time.perf_counter() - started
        best = [
            max(((dice(true, cell), j) for j, cell in enumerate(cells)), default=(0.0, -1))
            for true in field.cells
        ]
        dices += [share for share, _ in best]
        extra += len(cells) - len({j for share, j in best if share >= 2 / 3})
        pairs += [is_counted(best[i], best[j]) for i, j in field.pairs]
    return {
        "num_fields": num_fields,
        "num_cells": len(dices),
        "num_pairs": len(pairs),
        "median_dice": float(np.median(dices)),
        "dice_quantiles": {str(q): float(np.quantile(dices, q)) for q in (0.01, 0.05, 0.25)},
        "missed": int(np.sum(np.array(dices) < 2 / 3)),
        "extra": extra,
        "pairs_right": float(np.mean(pairs)),
        "fields_a_second": num_fields / seconds,
    }


def is_counted(one: tuple[float, int], other: tuple[float, int]) -> bool:
    """Two cells for two: each is found (IoU of at least 0.5), and not by the same."""
    return bool(min(one[0], other[0]) >= 2 / 3) and one[1] != other[1]


def dice(one: FoundCell, other: FoundCell) -> float:
    """Twice the shared area over the sum of both."""
    left, top = max(one.x, other.x), max(one.y, other.y)
    shared = _window(one, left, top, other) & _window(other, left, top, one)
    return float(2 * np.count_nonzero(shared) / (np.count_nonzero(one.mask) + np.count_nonzero(other.mask)))


def _window(cell: FoundCell, left: int, top: int, other: FoundCell) -> np.ndarray:
    right = min(cell.x + cell.mask.shape[1], other.x + other.mask.shape[1])
    bottom = min(cell.y + cell.mask.shape[0], other.y + other.mask.shape[0])
    return cell.mask[top - cell.y : max(bottom, top) - cell.y, left - cell.x : max(right, left) - cell.x]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = parser.add_subparsers(dest="kind", required=True)
    real = kinds.add_parser("bccd")
    real.add_argument("folder", type=Path)
    real.add_argument("--half", choices=("first", "second"), required=True)
    real.add_argument("--misses", type=Path)
    drawn = kinds.add_parser("synthetic")
    drawn.add_argument("--fields", type=int, default=60)
    given = parser.parse_args()
    if given.kind == "bccd":
        found, name = bccd(given.folder, given.half, given.misses), f"bccd-{given.half}-half"
    else:
        found, name = synthetic(given.fields), "synthetic"
    print(keep("smears", name, found))
    print({key: value for key, value in found.items() if not isinstance(value, dict)})


if __name__ == "__main__":
    main()
