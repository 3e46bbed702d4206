"""Cells of people: which of them, and numbers with intervals that respect whose they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from leukoscope.cohort.manifest import Manifest
from leukoscope.evaluation.bootstrap import Subjects, interval
from leukoscope.inference.novelty import chosen_cells
from smear.fields import Half, half_of

NUM_DRAWS = 2000

Floats = NDArray[np.float64]


def labelled(cells: Manifest) -> Manifest:
    """The training cells, whose people are known."""
    known = pl.col("label").is_not_null() & (pl.col("source") == "training")
    return cells.with_frame(cells.frame.filter(known))


def chosen(cells: Manifest, half: Half, num: int) -> Manifest:
    """``num`` cells of each class, of one half of its people by name: as many of each person as come, dealt
    in turn."""
    parts = []
    for label in sorted(cells.frame["label"].unique()):
        of_class = cells.frame.filter(pl.col("label") == label)
        people = half_of(sorted(of_class["subject_id"].unique()), half)
        of_half = of_class.filter(pl.col("subject_id").is_in(people))
        parts.append(of_half[chosen_cells(of_half["subject_id"].to_numpy(), num=num)])
    return cells.with_frame(pl.concat(parts))


class People:
    """Whose cells are measured, and of which class these are; (N,) both."""

    def __init__(self, subjects: Sequence[str], blast: Sequence[bool]) -> None:
        self._subjects = Subjects.of(subjects, blast)
        self._times = self._subjects.draw(NUM_DRAWS, 0)
        sizes = [self._subjects.num_with(blasts=kind) for kind in (True, False)]
        self._least = min(size for size in sizes if size)

    def share(self, holds: Sequence[bool] | NDArray[np.bool_]) -> dict[str, Any]:
        """The share of cells for which something holds, with the interval of its people."""
        values = np.asarray(holds, np.float64)
        sums = self._times @ self._subjects.totals(np.column_stack([values, np.ones(len(values))]))
        return self._found(float(values.mean()), sums[:, 0] / sums[:, 1])

    def median(self, values: Sequence[float] | Floats) -> dict[str, Any]:
        """The median over cells, likewise."""
        return self.quantile(values, 0.5)

    def quantile(self, values: Sequence[float] | Floats, level: float) -> dict[str, Any]:
        """A quantile over cells, likewise: the least value that so large a share of cells does not exceed."""
        ordered = np.argsort(values)
        falling = np.asarray(values, np.float64)[ordered]
        owner = self._subjects.index[ordered]
        take: Callable[[Floats], float] = lambda times: _weighted(falling, times[owner], level)  # noqa: E731
        return self._found(take(np.ones(self._times.shape[1])), np.array([take(t) for t in self._times]))

    def _found(self, estimate: float, draws: Floats) -> dict[str, Any]:
        found = interval(draws, self._least)
        return {"estimate": estimate, "ci_low": found.low, "ci_high": found.high}


def _weighted(ascending: Floats, weights: Floats, level: float) -> float:
    sums = np.cumsum(weights)
    return float(ascending[np.searchsorted(sums, level * sums[-1])])
