"""The same cells again, each time with one thing wrong with their pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

import numpy as np
import polars as pl

from leukoscope.bundle.read import Bundle
from leukoscope.cells.corrupt import CORRUPTIONS, Corruption
from leukoscope.cells.decode import decode
from leukoscope.core.progress import progress
from leukoscope.evaluation.corruptions import COLUMNS
from leukoscope.inference.inputs import InputLike, resolve
from leukoscope.inference.parts import CellInput, Image
from leukoscope.inference.predictor import Predictor


def predict_corrupted(
    bundle: Bundle,
    inputs: InputLike,
    *,
    corruptions: Iterable[Corruption] = CORRUPTIONS,
) -> dict[Corruption, pl.DataFrame]:
    """Judge every input once with each corruption, applied to the decoded picture before anything else.

    A few batches of pictures are held at a time; of the rows what
    :func:`~leukoscope.evaluation.corruptions.read_corruptions` needs.

    Args:
        bundle: an open bundle.
        inputs: as :func:`~leukoscope.inference.inputs.resolve` takes them; they are read once for each.
        corruptions: which.

    Returns:
        corruption -> ``cell_id``, ``blast_probability``, ``decision``, ``reason`` of every input, in order.
    """
    predictor, cells, suite = Predictor(bundle), resolve(inputs), list(corruptions)
    found = {}
    with progress("predicting corrupted cells", len(suite) * (cells.count() or 0)) as bar:
        for corruption in suite:
            bar.note(corruption.name)
            kept = []
            for rows in predictor.rows(_corrupted(cells, corruption)):
                kept.append(rows.select(COLUMNS))
                bar.advance(rows.height)
            found[corruption] = pl.concat(kept)
    return found


def _corrupted(cells: Iterable[CellInput], corruption: Corruption) -> Iterator[CellInput]:
    for cell in cells:
        yield cell._replace(read=partial(_read, cell, corruption))


def _read(cell: CellInput, corruption: Corruption) -> Image:
    image = cell.read()
    pixels = decode(image, name=cell.path or None) if isinstance(image, bytes) else image
    return corruption.apply(np.asarray(pixels))
