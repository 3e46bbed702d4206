"""White cells found: real fields with boxes, drawn ones with exact outlines."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from leukoscope.cells.photograph import Drawn, draw_overlay
from leukoscope.cells.segmentation.found import FoundCell
from leukoscope.cells.segmentation.segmenters import create_segmenter
from leukoscope.cohort.synthetic_smear import synthesize_smear
from smear.fields import Bccd, Box, Field, Half, as_box, half_of, pair_up, scale_of
from smear.masks import FOUND, dice

SCALES = (0.05, 0.075, 0.1, 0.15)


def bccd(folder: Path, half: Half, misses: Path | None) -> dict[str, Any]:
    """Recall and precision on one half of the fields; the scale is by the red cells of that half."""
    fields = Bccd(folder)
    images = {name: fields.image(name) for name in half_of(fields.names, half)}
    scale = scale_of(images.values())
    segmenter, found, seconds = create_segmenter(), [], 0.0
    for name, image in images.items():
        started = time.perf_counter()
        cells = segmenter.segment(image, scale.micrometres_per_pixel)
        seconds += time.perf_counter() - started
        boxes = fields.boxes(name)
        found.append(pair_up(name, boxes, [as_box(cell) for cell in cells if cell.is_cell]))
        if misses and (found[-1].missed or found[-1].extra):
            write_miss(misses, found[-1], image, cells, boxes)
    return {"half": half, "scale": scale._asdict(), "fields_a_second": len(images) / seconds, **summed(found)}


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
        extra += len(cells) - len({j for share, j in best if share >= FOUND})
        pairs += [is_counted(best[i], best[j]) for i, j in field.pairs]
    return {
        "num_fields": num_fields,
        "num_cells": len(dices),
        "num_pairs": len(pairs),
        "median_dice": float(np.median(dices)),
        "dice_quantiles": {str(q): float(np.quantile(dices, q)) for q in (0.01, 0.05, 0.25)},
        "missed": int(np.sum(np.array(dices) < FOUND)),
        "extra": extra,
        "pairs_right": float(np.mean(pairs)),
        "fields_a_second": num_fields / seconds,
    }


def is_counted(one: tuple[float, int], other: tuple[float, int]) -> bool:
    """Two cells for two: each is found (IoU of at least 0.5), and not by the same."""
    return bool(min(one[0], other[0]) >= FOUND) and one[1] != other[1]
