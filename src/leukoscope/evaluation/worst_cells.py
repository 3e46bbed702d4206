"""The cells that the model is most wrong about: failure analysis starts with looking at them."""

from __future__ import annotations

import polars as pl

from leukoscope.core.config import Config
from leukoscope.evaluation.readings import Bools, Floats

NUM_CELLS = 12
PER_SUBJECT = 3


class WorstCell(Config):
    """A cell on the wrong side of the threshold.

    Attributes:
        cell_id, subject_id, label: which cell, whose, and what it is.
        blast_probability: what the model says.
        path: of the image below the root of the table or manifest, where known.
        sha256: of the image file, where known.
    """

    cell_id: str
    subject_id: str | None
    label: str
    blast_probability: float
    path: str | None = None
    sha256: str | None = None


def worst_cells(judged: pl.DataFrame, y: Bools, p: Floats, *, threshold: float) -> list[WorstCell]:
    """The normal cells with the highest and the blasts with the lowest probability, worst first.

    At most 12 of each kind and at most 3 of one subject, so that one hard subject does not fill the page.

    Args:
        judged: the N judged rows.
        y, p: (N,) labels and blast probabilities.
        threshold: only cells on the wrong side of it are wrong.
    """
    columns = ("cell_id", "subject_id", "label", "blast_probability", "path", "sha256")
    rows = judged.select(name for name in columns if name in judged.columns).with_columns(
        blast=pl.Series(y), wrong=pl.Series((p >= threshold) != y), error=pl.Series(abs(y - p))
    )
    wrong = rows.filter("wrong").sort("error", "cell_id", descending=[True, False])
    few = wrong.filter(pl.int_range(pl.len()).over("subject_id", "blast") < PER_SUBJECT)
    named = few.drop("wrong", "error")
    kinds = [named.filter(~pl.col("blast")).head(NUM_CELLS), named.filter("blast").head(NUM_CELLS)]
    return [WorstCell(**row) for kind in kinds for row in kind.drop("blast").iter_rows(named=True)]
