"""Cells whose label cross-validation contradicts: worth a second look, which is not to say wrong.

A model that has not seen a person may contradict the label of one of that person's cells more firmly than it
usually affirms such a label (confident learning: Northcutt, Jiang & Chuang 2021). Cells of one person are
alike, so that alone says little: a person all of whose cells are contradicted is hard for the model, and no
label of theirs is called into doubt. A suspect is a cell that is contradicted where the rest of the same
person's cells are not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from leukoscope.core.config import Config
from leukoscope.evaluation.readings import Bools, Floats

MOST_OF_REST = 0.1
"""Share of a person's other cells that may be contradicted, too, before the person counts as hard."""

LEAST_REST = 5
"""Other cells of the person and class that a cell needs to be held against."""


class LabelSuspect(Config):
    """A cell that is worth a second look.

    Attributes:
        rank: 1 for the cell whose label gets the least probability.
        cell_id, subject_id, label: which cell, whose, and what it is labelled.
        blast_probability: out of fold; the mean where there are several tables.
        num_rest: other cells of the person.
        num_rest_contradicted: those among them that are contradicted, too.
        path, sha256: of the image, where known.
    """

    rank: int
    cell_id: str
    subject_id: str
    label: str
    blast_probability: float
    num_rest: int
    num_rest_contradicted: int
    path: str | None = None
    sha256: str | None = None


class HardSubject(Config):
    """A person whose cells are contradicted together: no label of theirs is called into doubt.

    Attributes:
        subject_id: whose cells.
        num_cells, num_contradicted: how many they are.
    """

    subject_id: str
    num_cells: int
    num_contradicted: int


class LabelSuspects(Config):
    """What out-of-fold probabilities say of labels.

    Attributes:
        cells: the suspects by rank.
        hard_subjects: whose cells are contradicted together, the hardest first.
        blast_limit: mean blast probability of cells labelled blast, each person counting once: a normal cell
            from here on is contradicted. The mean over tables where there are several.
        normal_limit: the same of cells labelled normal: a blast up to here is contradicted.
        num_contradicted: cells that every table contradicts.
        num_alone: those among them whose person has fewer than 5 other cells to hold them against.
        num_tables: that had to agree.
    """

    cells: list[LabelSuspect]
    hard_subjects: list[HardSubject]
    blast_limit: float
    normal_limit: float
    num_contradicted: int
    num_alone: int
    num_tables: int


def label_suspects(
    judged: pl.DataFrame, y: Bools, ps: Sequence[Floats], subject_ids: npt.NDArray[np.str_]
) -> LabelSuspects | None:
    """Find the cells whose label every table contradicts, but not together with the rest of their person.

    Args:
        judged: the N judged rows, for the names of the cells.
        y: (N,) is it labelled a blast?
        ps: out-of-fold blast probabilities (N,), one array for each table; a person's cells lie in one fold.
        subject_ids: (N,) whose the cells are.

    Returns:
        ``None`` with labels of one class only: there is no other class to be taken for.
    """
    if y.all() or not y.any():
        return None
    names, owner = np.unique(subject_ids, return_inverse=True)
    limits = np.array([_limits(y, p, owner) for p in ps])
    each = [_contradicted(y, p, *own) for p, own in zip(ps, limits, strict=True)]
    contradicted = np.logical_and.reduce(each)
    rest = np.bincount(owner) - 1
    num = np.bincount(owner, weights=contradicted).astype(int)
    alone = rest < LEAST_REST
    hard = ~alone & (num - 1 > MOST_OF_REST * rest)
    place = np.flatnonzero(contradicted & ~(alone | hard)[owner])
    of = owner[place]
    return LabelSuspects(
        cells=_ranked(judged[place], y[place], np.mean(ps, axis=0)[place], rest[of], num[of] - 1),
        hard_subjects=sorted(
            (
                HardSubject(
                    subject_id=str(names[one]), num_cells=int(rest[one] + 1), num_contradicted=int(num[one])
                )
                for one in np.flatnonzero(hard)
            ),
            key=lambda row: (-row.num_contradicted / row.num_cells, row.subject_id),
        ),
        blast_limit=float(limits[:, 0].mean()),
        normal_limit=float(limits[:, 1].mean()),
        num_contradicted=int(contradicted.sum()),
        num_alone=int(num[alone].sum()),
        num_tables=len(ps),
    )


def _limits(y: Bools, p: Floats, owner: npt.NDArray[np.intp]) -> tuple[float, float]:
    """Mean blast probability of cells labelled blast and labelled normal, each person counting once."""

    def mean(kept: Bools) -> float:
        cells = np.bincount(owner[kept])
        return float((np.bincount(owner[kept], weights=p[kept])[cells > 0] / cells[cells > 0]).mean())

    return mean(y), mean(~y)


def _contradicted(y: Bools, p: Floats, blast_limit: float, normal_limit: float) -> Bools:
    """The confident joint's cells off the diagonal: as sure of the other class as of the cells that carry its
    label; where that holds of both classes, surer of the other."""
    like_blast, like_normal = p >= blast_limit, p <= normal_limit
    as_normal = like_normal & (~like_blast | (p < 0.5))
    as_blast = like_blast & (~like_normal | (p > 0.5))
    return np.where(y, as_normal, as_blast)


def _ranked(
    rows: pl.DataFrame,
    y: Bools,
    p: Floats,
    rest: npt.NDArray[np.intp],
    contradicted: npt.NDArray[np.intp],
) -> list[LabelSuspect]:
    columns = ("cell_id", "subject_id", "label", "path", "sha256")
    found = rows.select(name for name in columns if name in rows.columns).with_columns(
        blast_probability=pl.Series(p),
        num_rest=pl.Series(rest),
        num_rest_contradicted=pl.Series(contradicted),
        own=pl.Series(np.where(y, p, 1 - p)),
    )
    ranked = found.sort("own", "cell_id").drop("own").with_row_index("rank", 1)
    return [LabelSuspect(**row) for row in ranked.iter_rows(named=True)]
