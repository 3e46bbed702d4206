"""Whose cell a file shows, where its name or its place says so: C-NMC's names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import NamedTuple

from leukoscope.cohort.layouts.cnmc2019 import PreliminaryRow, parse_name, place


class Identity(NamedTuple):
    """What is known of a cell before it is read; ``None`` is "not known"."""

    cell_id: str
    subject_id: str | None = None
    label: str | None = None
    fold: int | None = None


def identify(path: str, preliminary: Callable[[], Mapping[int, PreliminaryRow]]) -> Identity | None:
    """Read a C-NMC 2019 name or place; ``None`` where it is none.

    A file whose folder and name contradict each other about the class gets no label.

    Args:
        path: of the file, with as many of its folders as are known.
        preliminary: gives the labels of the preliminary set by number; called only when one is met.

    >>> identify("fold_2/hem/UID_h3_12_4_hem.bmp", dict)
    Identity(cell_id='UID_h3_12_4_hem', subject_id='H3', label='normal', fold=2)
    """
    known, spot = parse_name(PurePosixPath(path).name), place(path)
    if known is not None:
        agreed = spot is None or spot.label in (None, known.label)
        return Identity(known.cell_id, known.subject_id, known.label if agreed else None, spot and spot.fold)
    if spot is None or spot.source not in ("preliminary", "final"):
        return None
    number = int(PurePosixPath(path).stem)
    if spot.source == "final":
        return Identity(f"final_{number}")
    row = preliminary().get(number)
    return (
        Identity(row.name.cell_id, row.name.subject_id, row.label)
        if row
        else Identity(f"preliminary_{number}")
    )
