"""Photographs of other laboratories, and what the starter says of the cells in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from leukoscope.cells.photograph import read_photograph
from leukoscope.cohort.photographs import Scales, listed
from leukoscope.cohort.smears import SmearCell, SmearSettings, cells_of
from leukoscope.inference.predictor import Predictor


class Photographs:
    """Photographs in memory, each with its scale.

    Args:
        paths: of the files.
        middle: whether only what lies in the middle of each is meant: the one cell that its label is of.
    """

    def __init__(self, paths: Sequence[Path], *, middle: bool) -> None:
        self.names = [path.stem for path in paths]
        self.images = [read_photograph(path) for path in paths]
        scales = Scales(None, paths)
        self.scales = [scales.of(image) for image in self.images]
        self.middle = middle

    def cells(self, settings: SmearSettings, *, factor: float = 1.0) -> Iterator[list[SmearCell]]:
        """What is found in each photograph, when its scale is taken for ``factor`` times what it is."""
        for image, scale in zip(self.images, self.scales, strict=True):
            taken = scale._replace(micrometres_per_pixel=factor * scale.micrometres_per_pixel)
            found = list(cells_of(image, taken, settings))
            yield [one for one in found if not self.middle or _in_the_middle(one, image)]


def _in_the_middle(found: SmearCell, image: np.ndarray) -> bool:
    """Whether the middle of the photograph lies in the box of a cell."""
    x, y, width, height = found.cell.box
    rows, columns = image.shape[:2]
    return found.cell.is_cell and x <= columns / 2 < x + width and y <= rows / 2 < y + height


def bccd_photographs(folder: Path) -> Photographs:
    """All of BCCD's fields, with all of their cells."""
    return Photographs(listed([folder / "JPEGImages"]), middle=False)


def lymphocyte_photographs(folder: Path) -> Photographs:
    """Pictures of one normal lymphocyte each, which lies in the middle."""
    return Photographs(listed([folder]), middle=True)


class Answers(NamedTuple):
    """What the starter says of N pictures: its rows, and its embeddings (N, D)."""

    rows: pl.DataFrame
    embedding: np.ndarray


def answers(predictor: Predictor, pictures: Iterator[np.ndarray]) -> Answers:
    """As ``leukoscope predict`` answers, with the embeddings kept."""
    from leukoscope.inference.inputs import resolve

    judged = [predictor.judge(batch) for batch in predictor.batches(resolve(pictures))]
    embeddings = [one.outputs.embedding for one in judged if one.outputs is not None]
    return Answers(pl.concat([one.rows for one in judged]), np.concatenate(embeddings))
