"""Real cells on real backgrounds: C-NMC's cells laid into BCCD's fields, found again, cut out and judged.

Fields are enlarged to C-NMC's scale, and a cell lies where no white cell is. Then everything is as
``leukoscope cells extract`` does it. The truth is C-NMC's own outline; the probability of the cut is compared
with that of C-NMC's picture.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import polars as pl

from leukoscope.cells.decode import decode
from leukoscope.cells.photograph import SIDE, Drawn, draw_overlay
from leukoscope.cells.scale import CNMC_MICROMETRES_PER_PIXEL, Scale
from leukoscope.cells.segmentation.found import FoundCell
from leukoscope.cells.segmentation.segmenters import create_segmenter
from leukoscope.cohort.manifest import Manifest
from leukoscope.cohort.open import open_cohort
from leukoscope.cohort.smears import SmearSettings, cells_of
from leukoscope.core.progress import progress
from leukoscope.inference.predictor import Predictor
from smear.fields import Bccd, Box, as_box, half_of, scale_of
from smear.masks import FOUND, boxed, dice
from smear.moves import MOVED, moves, moves_by_class, people_of
from smear.pasting import Sprite, free_place, lifted, pasted, reduced, taken_by
from smear.people import chosen, labelled

SOFTNESS = 1.0  # pixels of C-NMC: the edge fades within two
GAP = 20.0  # pixels of C-NMC between what is pasted and what was there: a micrometre
PASSED = ("", "touching")  # flags of what is shown to a model
BATCH = 32


class Ground(NamedTuple):
    """A field at C-NMC's scale, and where nothing may be laid."""

    name: str
    image: np.ndarray
    taken: np.ndarray


class Laid(NamedTuple):
    """A cell in a photograph: the photograph, the true mask in it, its scale and C-NMC's own picture."""

    image: np.ndarray
    truth: FoundCell
    scale: float
    original: np.ndarray


class Seen(NamedTuple):
    """What became of one cell.

    Attributes:
        dice: of the best of all that was found with the truth; 0 where nothing lies there.
        flags: of it; None where the cell was not found.
        cut: uint8 (450, 450, 3); None where the cell was not found.
    """

    dice: float
    flags: tuple[str, ...] | None
    cut: np.ndarray | None


def grounds(fields: Bccd, names: Sequence[str], scale: Scale) -> list[Ground]:
    """Some fields, enlarged."""
    factor = scale.micrometres_per_pixel / CNMC_MICROMETRES_PER_PIXEL
    segmenter, found = create_segmenter(), []
    for name in names:
        image = fields.image(name)
        things = map(as_box, segmenter.segment(image, scale.micrometres_per_pixel))
        boxes = [scaled(box, factor) for box in [*things, *fields.boxes(name)]]
        large = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
        found.append(Ground(name, large, taken_by(large.shape, boxes, gap=GAP)))
    return found


def scaled(box: Box, factor: float) -> Box:
    """The same box of an enlarged photograph."""
    left, top, right, bottom = (factor * side for side in box)
    return left, top, right, bottom


def lay(
    ground: Ground, sprite: Sprite, scale: float, rng: np.random.Generator
) -> tuple[np.ndarray, FoundCell] | None:
    """The photograph with the cell at ``scale``, and its true mask; None where there is no room."""
    place = free_place(ground.taken, sprite.mask.shape, rng)
    if place is None:
        return None
    image, truth = pasted(ground.image, sprite, *place, softness=SOFTNESS), boxed(sprite.mask, *place)
    if scale == CNMC_MICROMETRES_PER_PIXEL:
        return image, truth
    factor = CNMC_MICROMETRES_PER_PIXEL / scale
    size = round(image.shape[1] * factor), round(image.shape[0] * factor)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), reduced(truth, image.shape, size)


def lay_all(cells: Manifest, plates: Sequence[Ground], scale: float) -> Iterator[Laid]:
    """Each cell in a field of its own, drawn by chance; in another one where that has no room."""
    rng = np.random.default_rng(0)
    for path in cells.frame["path"]:
        original = decode(cells.images().read(path), name=path)
        sprite = lifted(original)
        laid = None
        for place in rng.permutation(len(plates)):
            laid = lay(plates[place], sprite, scale, rng)
            if laid:
                break
        if laid is None:
            raise SystemExit(f"no field has room for {path}")
        yield Laid(*laid, scale, original)


def see(laid: Laid) -> Seen:
    """Find the cell and cut it out, as ``cells extract`` does."""
    things = cells_of(laid.image, Scale(laid.scale, "given"), SmearSettings())
    best, thing = max(
        ((dice(laid.truth, thing.cell), thing) for thing in things),
        default=(0.0, None),
        key=lambda one: one[0],
    )
    if thing is None or best < FOUND:
        return Seen(best, None, None)
    return Seen(best, thing.cell.flags, thing.image)


def measured(laid: Iterable[Laid], cells: Manifest, pictures: Path | None = None) -> pl.DataFrame:
    """One row for each cell: what it is, how well it was found, both probabilities.

    Pictures are of those that were missed or have moved.
    """
    predictor, rows, laid = Predictor("starter"), list[dict[str, Any]](), iter(laid)
    facts = cells.frame.select("cell_id", "subject_id", "label").iter_rows(named=True)
    with progress("cells on backgrounds", len(cells)) as bar:
        while batch := list(islice(laid, BATCH)):
            seen = [see(one) for one in batch]
            shown = [
                [one.original, one.original if it.cut is None else it.cut]
                for one, it in zip(batch, seen, strict=True)
            ]
            answers = predictor.predict([picture for both in shown for picture in both]).frame
            for place, (one, it) in enumerate(zip(batch, seen, strict=True)):
                rows.append(next(facts) | _row(it, answers[2 * place : 2 * place + 2]))
                if pictures and has_moved(rows[-1]):
                    write_picture(pictures / f"{rows[-1]['cell_id']}.png", one, it, rows[-1])
                bar.advance()
    return pl.DataFrame(rows, infer_schema_length=None)


def has_moved(row: dict[str, Any]) -> bool:
    """Whether a cell was not found, or its probability is another one."""
    return row["flags"] is None or abs(row["probability_after"] - row["probability_before"]) >= MOVED


def write_picture(path: Path, laid: Laid, seen: Seen, row: dict[str, Any]) -> None:
    """The photograph around the cell with the true outline, C-NMC's picture and the cut, side by side."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shown = draw_overlay(laid.image, [Drawn(laid.truth.outline, ())], longest=max(laid.image.shape))
    x, y, width, height = laid.truth.box
    side = round(SIDE * CNMC_MICROMETRES_PER_PIXEL / laid.scale)
    top, left = (max(at + length // 2 - side // 2, 0) for at, length in ((y, height), (x, width)))
    around = cv2.resize(shown[top : top + side, left : left + side], (SIDE, SIDE))
    parts = [around, laid.original] + ([] if seen.cut is None else [cv2.resize(seen.cut, (SIDE, SIDE))])
    picture = np.hstack([cv2.resize(part, (SIDE, SIDE)) for part in parts])
    words = f"Dice {row['dice']:.3f}, {row['flags']}, {row['probability_before']:.2f} to "
    words += "nothing" if seen.cut is None else f"{row['probability_after']:.2f}"
    cv2.putText(
        picture, words, (SIDE + 10, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255, 255, 255), 1, cv2.LINE_AA
    )
    cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))


def _row(seen: Seen, answers: pl.DataFrame) -> dict[str, Any]:
    names = {"blast_probability": "probability", "cell_area": "area", "brightness": "brightness"}
    names |= {"stain": "stain", "decision": "decision", "novelty": "novelty"}
    row: dict[str, Any] = {"dice": seen.dice, "flags": None if seen.flags is None else ",".join(seen.flags)}
    for name, short in names.items():
        row[f"{short}_before"] = answers[name][0]
        row[f"{short}_after"] = None if seen.cut is None else answers[name][1]
    return row


def summary(rows: pl.DataFrame) -> dict[str, Any]:
    """The figures; what is said of probabilities is of the cells that were found."""
    found = rows.filter(pl.col("flags").is_not_null())
    flags = Counter(flag for text in found["flags"] for flag in text.split(",") if flag)
    everyone = people_of(rows)
    return {
        "num_cells": rows.height,
        "num_subjects": rows["subject_id"].n_unique(),
        "dice": everyone.median(rows["dice"].to_numpy()),
        "dice_quantiles": {str(q): float(np.quantile(rows["dice"], q)) for q in (0.01, 0.05, 0.25)},
        "found": everyone.share(rows["flags"].is_not_null().to_numpy()),
        "set_aside": people_of(found).share(~found["flags"].is_in(PASSED).to_numpy()),
        "flags": dict(sorted(flags.items())),
        **moves_by_class(found),
        "passed": moves(found.filter(pl.col("flags").is_in(PASSED))),
    }


def paste(given: argparse.Namespace) -> dict[str, Any]:
    """So many cells of each class, of one half of the people, in fields of the same half."""
    fields = Bccd(given.folder)
    known = scale_of(map(fields.image, fields.names))
    cells = chosen(labelled(open_cohort(given.cells)), given.half, given.num)
    plates = grounds(fields, half_of(fields.names, given.half), known)
    laid = lay_all(cells, plates, given.scale)
    found = measured(laid, cells, given.pictures)
    if given.rows:
        found.write_csv(given.rows)
    settings = {"half": given.half, "micrometres_per_pixel": given.scale, "softness": SOFTNESS, "gap": GAP}
    return settings | {"background_scale": known._asdict(), **summary(found)}
