"""The share of judged cells called blast, with its interval: by the model, and after review."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from leukoscope.evaluation.by_subject import wilson_of
from leukoscope.review.store.tables import APART, Cell

WORDS = "share of judged cells called blast; not a blast count"


class Share(NamedTuple):
    """Counts of what cells are called.

    Attributes:
        num_blast: called blast.
        num_normal: called normal.
        num_indeterminate: of which nothing is said, those of the last two left out; in no share.
        num_rejected: thrown out by a person; in no share.
        fraction: blasts among blasts and normal cells, 0..1; ``None`` where there are none.
        ci_low: lower end of its 95 % Wilson interval, which takes cells as independent.
        ci_high: upper end.
        num_not_lymphoid: called indeterminate, because they are no lymphoid cells; in no share.
        num_not_single: called indeterminate, because they are no single whole cells; in no share.
    """

    num_blast: int
    num_normal: int
    num_indeterminate: int
    num_rejected: int
    fraction: float | None
    ci_low: float | None
    ci_high: float | None
    num_not_lymphoid: int = 0
    num_not_single: int = 0


class _Row(NamedTuple):
    """The model's word, the word that stands, what the cells are counted apart as, and how many they are."""

    said: str
    stands: str
    apart: str
    num: int


class Differential(NamedTuple):
    """Both readings of some cells."""

    by_model: Share
    after_review: Share


def shares(counted: Sequence[Counter[str]]) -> list[Share]:
    """The share and its interval of each of these counts.

    >>> shares([Counter(blast=8, normal=2, indeterminate=5)])[0].fraction
    0.8
    """
    numbers = [(counts["blast"], counts["blast"] + counts["normal"]) for counts in counted]
    ends = [(*both, *wilson_of(*both)) for both in numbers]
    return [
        Share(
            blast,
            counts["normal"],
            counts["indeterminate"],
            counts["rejected"],
            blast / judged if judged else None,
            *interval,
            *(counts[name] for name in APART),
        )
        for counts, (blast, judged, *interval) in zip(counted, ends, strict=True)
    ]


def differential(session: Session, case_id: int) -> Differential:
    """Of all cells of a case."""
    columns = (Cell.model_decision, Cell.decision, Cell.apart)
    counted = select(*columns, func.count()).where(Cell.case_id == case_id).group_by(*columns)
    return _read([[_Row(*row) for row in session.execute(counted)]])[0]


def photographs(session: Session, case_id: int) -> list[str]:
    """The names of a case's photographs, as far as they are known, in natural order."""
    named = select(Cell.photograph).where(Cell.case_id == case_id, Cell.photograph != "").distinct()
    return sorted(session.scalars(named), key=_natural)


def count_photographs(session: Session, case_id: int) -> int:
    """How many these are."""
    named = select(func.count(Cell.photograph.distinct())).where(Cell.case_id == case_id)
    return session.scalar(named.where(Cell.photograph != "")) or 0


def by_photograph(session: Session, case_id: int) -> dict[str, Differential]:
    """The differential of each photograph, in the order of :func:`photographs`; empty where none is known."""
    columns = (Cell.photograph, Cell.model_decision, Cell.decision, Cell.apart)
    counted = select(*columns, func.count()).where(Cell.case_id == case_id, Cell.photograph != "")
    groups = dict[str, list[_Row]]()
    for name, *row in session.execute(counted.group_by(*columns)):
        groups.setdefault(str(name), []).append(_Row(*row))  # type: ignore[arg-type]
    names = sorted(groups, key=_natural)
    return dict(zip(names, _read([groups[name] for name in names]), strict=True))


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """A key by which names are in the order that people count in: 7_2 before 7_10."""
    parts = re.split(r"([0-9]+)", name)
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def _kind(word: str, apart: str) -> str:
    """As what a cell is counted: only what is called indeterminate is counted apart."""
    return apart if apart and word == "indeterminate" else word


def _read(groups: Sequence[Sequence[_Row]]) -> list[Differential]:
    """Both readings of each group of rows."""
    counted = list[Counter[str]]()
    for rows in groups:
        model, after = Counter[str](), Counter[str]()
        for said, stands, apart, num in rows:
            model[_kind(said, apart)] += num
            after[_kind(stands, apart)] += num
        counted += [model, after]
    both = shares(counted)
    return [Differential(*pair) for pair in zip(both[::2], both[1::2], strict=True)]
