"""What a scale that is 10 % off does to the answers: of C-NMC's cells, and of cells found in photographs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from leukoscope.cells.corrupt import scaled
from leukoscope.cells.decode import decode
from leukoscope.cohort.manifest import Manifest
from leukoscope.cohort.open import open_cohort
from leukoscope.cohort.smears import SmearCell, SmearSettings
from leukoscope.inference.predictor import Predictor
from smear.fields import as_box, pairs_of
from smear.moves import moves, moves_by_class, shifts_of_people
from smear.people import labelled
from smear.photographs import Photographs

FACTORS = (0.9, 1.1)


def scaling(source: Path, collections: dict[str, Photographs]) -> dict[str, Any]:
    """Of all of it, for each factor."""
    cells = labelled(open_cohort(source))
    found = {"C-NMC": {f"{factor:g}": of_cells(cells, factor) for factor in FACTORS}}
    return {"collections": found | {name: of_photographs(those) for name, those in collections.items()}}


def of_cells(cells: Manifest, factor: float) -> dict[str, Any]:
    """C-NMC's own cells, drawn larger or smaller about their middle, black around them."""
    rows = _compared(_pictures(cells, factor), cells.frame.select("subject_id", "label"))
    return moves_by_class(rows) | {"people": shifts_of_people(rows)}


def _pictures(cells: Manifest, factor: float) -> Iterator[np.ndarray]:
    for path in cells.frame["path"]:
        image = decode(cells.images().read(path), name=path)
        yield from (image, scaled(image, factor))


def of_photographs(photographs: Photographs) -> dict[str, Any]:
    """Cells that are shown to the model at the scale that is known, at another one."""
    settings, found = SmearSettings(), {}
    right = list(photographs.cells(settings))
    for factor in FACTORS:
        pictures, facts, lost = list[np.ndarray](), list[dict[str, Any]](), 0
        for name, known, others in zip(
            photographs.names, right, photographs.cells(settings, factor=factor), strict=True
        ):
            shown = [one for one in known if one.cell.why_not_judged is None]
            for one, other in _again(shown, others):
                if other is None or other.cell.why_not_judged:
                    lost += 1
                    continue
                facts.append({"subject_id": name, "label": None})
                pictures += [one.image, other.image]
        rows = pl.DataFrame(facts, schema={"subject_id": pl.String, "label": pl.String})
        found[f"{factor:g}"] = moves(_compared(iter(pictures), rows)) | {"no_longer_judged": lost}
    return found


def _again(cells: list[SmearCell], others: list[SmearCell]) -> Iterator[tuple[SmearCell, SmearCell | None]]:
    """Each cell with what lies there when it is looked for at another scale."""
    pairs = pairs_of([as_box(one.cell) for one in cells], [as_box(one.cell) for one in others])
    for place, one in enumerate(cells):
        yield one, others[pairs[place][0]] if place in pairs else None


def _compared(pictures: Iterator[np.ndarray], facts: pl.DataFrame) -> pl.DataFrame:
    """What the starter says of pairs of pictures, with ``facts`` (N rows) of each pair; decisions are those
    of its first operating point, whatever else withholds them."""
    predictor = Predictor("starter")
    probability = np.array([result.blast_probability for result in predictor.predict_each(pictures)])
    called = predictor.bundle.info.operating_points[0].decide(probability)
    columns = {}
    for place, when in enumerate(("before", "after")):
        columns[f"probability_{when}"] = pl.Series(probability[place::2])
        columns[f"decision_{when}"] = pl.Series([str(call) for call in called[place::2]])
    return facts.with_columns(**columns)
