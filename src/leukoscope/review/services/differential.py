"""The share of judged cells called blast, with its interval: by the model, and after review."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import polars as pl
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from leukoscope.evaluation.by_subject import wilson
from leukoscope.review.store.tables import Cell

WORDS = "share of judged cells called blast; not a blast count"


class Share(NamedTuple):
    """Counts of what cells are called.

    Attributes:
        num_blast: called blast.
        num_normal: called normal.
        num_indeterminate: of which nothing is said; in no share.
        num_rejected: thrown out by a person; in no share.
        fraction: blasts among blasts and normal cells, 0..1; ``None`` where there are none.
        ci_low: lower end of its 95 % Wilson interval, which takes cells as independent.
        ci_high: upper end.
    """

    num_blast: int
    num_normal: int
    num_indeterminate: int
    num_rejected: int
    fraction: float | None
    ci_low: float | None
    ci_high: float | None


class Differential(NamedTuple):
    """Both readings of some cells."""

    by_model: Share
    after_review: Share


def share(counts: Counter[str]) -> Share:
    """The share and its interval of these counts.

    >>> share(Counter(blast=8, normal=2, indeterminate=5)).fraction
    0.8
    """
    blast, judged = counts["blast"], counts["blast"] + counts["normal"]
    low, high = pl.select(
        *(end.alias(name) for name, end in zip("ab", wilson(pl.lit(blast), pl.lit(judged)), strict=True))
    ).row(0)
    fraction = blast / judged if judged else None
    return Share(blast, counts["normal"], counts["indeterminate"], counts["rejected"], fraction, low, high)


def differential(session: Session, case_id: int) -> Differential:
    """Of all cells of a case."""
    return _read(_counted(session, case_id))


def by_photograph(session: Session, case_id: int) -> dict[str, Differential]:
    """The same of each photograph, in the order of their names; empty where none is known."""
    rows = _counted(session, case_id)
    names = sorted({row[0] for row in rows} - {""}, key=_natural)
    return {name: _read([row for row in rows if row[0] == name]) for name in names}


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """A key by which names are in the order that people count in: 7_2 before 7_10."""
    parts = re.split(r"([0-9]+)", name)
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


_Row = tuple[str, str, str, int]


def _counted(session: Session, case_id: int) -> list[_Row]:
    """Photograph, the model's word, the word that stands, and how many cells."""
    columns = (Cell.photograph, Cell.model_decision, Cell.decision)
    counted = select(*columns, func.count()).where(Cell.case_id == case_id).group_by(*columns)
    return [(a, b, c, n) for a, b, c, n in session.execute(counted)]


def _read(rows: Iterable[_Row]) -> Differential:
    model, after = Counter[str](), Counter[str]()
    for _, said, stands, num in rows:
        model[said] += num
        after[stands] += num
    return Differential(share(model), share(after))
