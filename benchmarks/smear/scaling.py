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
from leukoscope.inference.predictor import Predictor
from smear.moves import moves_by_class, shifts_of_people
from smear.people import labelled

FACTORS = (0.9, 1.1)


def of_cells(source: Path, factor: float) -> dict[str, Any]:
    """C-NMC's own cells, drawn larger or smaller about their middle, black around them."""
    cells = labelled(open_cohort(source))
    rows = _compared(_pictures(cells, factor), cells.frame.select("subject_id", "label"))
    return moves_by_class(rows) | {"people": shifts_of_people(rows)}


def _pictures(cells: Manifest, factor: float) -> Iterator[np.ndarray]:
    for path in cells.frame["path"]:
        image = decode(cells.images().read(path), name=path)
        yield from (image, scaled(image, factor))


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
