"""What people of an evaluation read at an operating point: the share of their judged cells called blast.

It is what the reading of one more person is laid beside. A cell that the model leaves open is in no share.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, median

import polars as pl
from pydantic import Field

from leukoscope.core.config import Config
from leukoscope.evaluation.operating_points import BETWEEN, OperatingPoint
from leukoscope.evaluation.partitions import aligned
from leukoscope.evaluation.subject_table import BLAST, MIN_CELLS, MIXED, NORMAL
from leukoscope.evaluation.table import PredictionTable


class PersonReading(Config):
    """One person at one operating point; it does not say who.

    Attributes:
        label: the class of all their cells, or ``"mixed"``.
        num_cells: labelled and readable.
        num_judged: of these called blast or normal; of several partitions, the fewest in any.
        blast_fraction: share of the judged cells called blast, the mean over partitions in which there are
            any; ``None`` where there are none.
    """

    label: str
    num_cells: int = Field(ge=0)
    num_judged: int = Field(ge=0)
    blast_fraction: float | None = Field(default=None, ge=0, le=1)


class PeopleSummary(Config):
    """What people of one kind read at one operating point.

    Attributes:
        kind: ``"normal"`` for people without a blast among their cells' labels, ``"blast"`` for people with
            nothing else.
        num_people: with at least ``min_cells`` judged cells.
        num_left_out: with fewer.
        median, lowest, highest: of their shares of judged cells called blast; ``None`` without people.
    """

    kind: str
    num_people: int
    num_left_out: int
    median: float | None
    lowest: float | None
    highest: float | None
    min_cells: int = MIN_CELLS


def read_people(
    tables: Sequence[PredictionTable], points: Sequence[OperatingPoint]
) -> dict[str, tuple[PersonReading, ...]]:
    """Everybody of these tables at each operating point, by label and then by share, so that order names
    nobody.

    A probability decides by the thresholds of the point. A cell whose ``reason`` in the table says that it
    was left open for something else (novel, or of a quality that forbids an answer) stays open at every
    point; a table without that column says nothing of it.

    Args:
        tables: pooled out-of-fold rows, one table of each partition of the same cells; or test rows of one.
        points: frozen thresholds.

    Raises:
        TableError: when the tables do not hold the same labelled, readable cells.
    """
    judged = [table.judged for table in aligned(tables)]
    return {point.name: _everybody([_read(rows, point) for rows in judged]) for point in points}


def summarise_people(
    readings: Sequence[PersonReading], positive: Sequence[str], *, min_cells: int = MIN_CELLS
) -> tuple[PeopleSummary, PeopleSummary]:
    """Healthy people, then leukaemic ones; people with labels of both kinds are in neither.

    Args:
        readings: of one operating point.
        positive: the class names that count as blast.
        min_cells: judged cells that a person needs to count.

    >>> one = PersonReading(label="normal", num_cells=50, num_judged=40, blast_fraction=0.1)
    >>> few = PersonReading(label="normal", num_cells=50, num_judged=4, blast_fraction=0.75)
    >>> summarise_people([one, few], ["blast"])[0].median
    0.1
    """
    known = [row for row in readings if row.label != MIXED]
    kinds = ((NORMAL, False), (BLAST, True))
    normal, blast = (
        _summary(kind, [row for row in known if (row.label in positive) == wanted], min_cells)
        for kind, wanted in kinds
    )
    return normal, blast


def _summary(kind: str, rows: Sequence[PersonReading], min_cells: int) -> PeopleSummary:
    shares = [
        row.blast_fraction for row in rows if row.num_judged >= min_cells and row.blast_fraction is not None
    ]
    return PeopleSummary(
        kind=kind,
        num_people=len(shares),
        num_left_out=len(rows) - len(shares),
        median=median(shares) if shares else None,
        lowest=min(shares, default=None),
        highest=max(shares, default=None),
        min_cells=min_cells,
    )


def _read(rows: pl.DataFrame, point: OperatingPoint) -> pl.DataFrame:
    """Of each person: label, cells, judged cells, and the share of these called blast; sorted by person."""
    calls = pl.Series("call", point.decide(rows["blast_probability"].cast(pl.Float64).to_numpy()))
    reason = rows["reason"] if "reason" in rows.columns else pl.Series([None] * rows.height, dtype=pl.String)
    is_open = reason.is_not_null() & (reason != BETWEEN)
    judged = calls.is_in([BLAST, NORMAL]) & ~is_open
    people = rows.select("subject_id", "label").with_columns(judged=judged, blast=judged & (calls == BLAST))
    return (
        people.filter(pl.col("subject_id").is_not_null())
        .group_by("subject_id")
        .agg(
            label=pl.when(pl.col("label").n_unique() == 1)
            .then(pl.col("label").first())
            .otherwise(pl.lit(MIXED)),
            cells=pl.len(),
            judged=pl.col("judged").sum(),
            share=pl.col("blast").sum() / pl.col("judged").sum(),
        )
        .sort("subject_id")
    )


def _everybody(partitions: Sequence[pl.DataFrame]) -> tuple[PersonReading, ...]:
    people = [
        PersonReading(
            label=rows[0]["label"],
            num_cells=rows[0]["cells"],
            num_judged=min(row["judged"] for row in rows),
            blast_fraction=_mean([row["share"] for row in rows if row["judged"]]),
        )
        for rows in zip(*(frame.to_dicts() for frame in partitions), strict=True)
    ]
    return tuple(sorted(people, key=_place))


def _place(row: PersonReading) -> tuple[str, float, int]:
    return row.label, -1.0 if row.blast_fraction is None else row.blast_fraction, row.num_cells


def _mean(shares: Sequence[float]) -> float | None:
    return fmean(shares) if shares else None
