"""The same cells again, each time with one thing wrong with their pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

import numpy as np
import polars as pl

from leukoscope.bundle.read import Bundle
from leukoscope.cells.corrupt import CORRUPTIONS, Corruption
from leukoscope.cells.decode import decode
from leukoscope.cohort.manifest import Manifest
from leukoscope.core.progress import progress
from leukoscope.evaluation.corruptions import COLUMNS
from leukoscope.inference.inputs import resolve
from leukoscope.inference.parts import CellInput
from leukoscope.inference.predictor import Predictor


def predict_corrupted(
    bundle: Bundle, cells: Manifest, *, corruptions: Iterable[Corruption] = CORRUPTIONS
) -> dict[Corruption, pl.DataFrame]:
    """Judge every cell once with each corruption, done to the decoded picture before anything else.

    A few batches of pictures are held at a time; of the rows what
    :func:`~leukoscope.evaluation.corruptions.read_corruptions` needs.

    Args:
        bundle: an open bundle.
        cells: whose files are read again for each corruption.
        corruptions: which.

    Returns:
        corruption -> ``cell_id``, ``blast_probability``, ``decision``, ``reason`` of every cell, in order.
    """
    predictor, inputs, suite = Predictor(bundle), resolve(cells), list(corruptions)
    found = {}
    with progress("predicting corrupted cells", len(suite) * len(cells)) as bar:
        for corruption in suite:
            bar.note(corruption.name)
            kept = []
            for rows in predictor.rows(_corrupted(inputs, cells, corruption)):
                kept.append(rows.select(COLUMNS))
                bar.advance(rows.height)
            found[corruption] = pl.concat(kept)
    return found


def _corrupted(inputs: Iterable[CellInput], cells: Manifest, corruption: Corruption) -> Iterator[CellInput]:
    """The same cells, whose ``read`` gives pixels with this wrong."""
    for cell in inputs:
        yield cell._replace(read=partial(_read, cells, cell.path, corruption))


def _read(cells: Manifest, path: str, corruption: Corruption) -> np.ndarray:
    return corruption.apply(np.asarray(decode(cells.read_bytes(path), name=path)))
