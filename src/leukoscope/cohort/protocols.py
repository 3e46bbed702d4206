"""The protocols of :mod:`leukoscope.cohort.splits`: each a function from a task to the role of each cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from leukoscope.cohort.groups import split_units
from leukoscope.cohort.manifest import UNREADABLE, Manifest
from leukoscope.cohort.partition import partition
from leukoscope.core.registry import Registry
from leukoscope.errors import SplitError, SubjectLeakError

OFFICIAL = {"train": 0.70, "validation": 0.15, "calibration": 0.15}
HOLDOUT = {"train": 0.60, "test": 0.20, "validation": 0.10, "calibration": 0.10}
SAMPLE = {"train": 700, "validation": 150, "test": 150}
MIN_FOLDS = 3

IS_PRELIMINARY = pl.col("source") == "preliminary"
"""Cells of the test set that C-NMC 2019 brings along."""


@dataclass(frozen=True)
class Task:
    """What a protocol needs to know. It works on the cells in the order of their ids."""

    manifest: Manifest
    protocol: str
    unit: str
    folds: int
    rng: np.random.Generator

    def labelled(self, *, merged: bool = False) -> pl.DataFrame:
        """Cells with a label and their ``unit``; the preliminary set only where merged or all there is."""
        cells = self.manifest.frame.filter(pl.col("label").is_not_null()).sort("cell_id")
        units = cells["cell_id"] if self.unit == "image" else pl.Series(split_units(cells), dtype=pl.String)
        cells = cells.with_columns(units.alias("unit"))
        training = cells.filter(~IS_PRELIMINARY)
        return cells if merged or training.is_empty() else training

    def deal(self, cells: pl.DataFrame, shares: Mapping[str, float]) -> pl.DataFrame:
        """``cells`` with ``side``, the index of a share, the same for all cells of a unit."""
        units, of_unit = np.unique(cells["unit"].to_numpy(), return_inverse=True)
        classes = list(self.manifest.classes)
        kinds = cells["label"].replace_strict(classes, list(range(len(classes))), return_dtype=pl.Int64)
        counts = np.zeros((len(units), len(classes)), np.int64)
        np.add.at(counts, (of_unit, kinds.to_numpy()), 1)
        self._demand(counts, MIN_FOLDS if self.protocol == "grouped-kfold" else len(shares))
        sides = partition(counts[:, counts.any(axis=0)], list(shares.values()), self.rng)
        return cells.with_columns(pl.Series("side", sides[of_unit]))

    def _demand(self, counts: npt.NDArray[np.int64], needed: int) -> None:
        positive = np.isin(self.manifest.classes, self.manifest.positive_classes)
        blast = int(counts[:, positive].any(axis=1).sum())
        normal = int(counts[:, ~positive].any(axis=1).sum())
        if min(blast, normal) >= needed:
            return
        kinds = (
            f"{needed} subjects with blast cells and {needed} with normal ones (who share pictures are one)"
        )
        if self.unit == "image":
            kinds = f"{needed} blast cells and {needed} normal ones"
        raise SplitError(
            f"{self.protocol} needs at least {kinds}, found {blast} and {normal}",
            hint=self._way_out(min(blast, normal)),
        )

    def _way_out(self, scarcest: int) -> str:
        if scarcest >= MIN_FOLDS and self.protocol != "grouped-kfold":
            return f'add subjects, or take "--protocol grouped-kfold --folds {scarcest}"'
        if self.unit == "image":
            return "add cells of the kind that is scarce"
        return 'add subjects of the scarce kind; "--unit image" disregards subjects and is stamped LEAKY'


PROTOCOLS: Registry[Callable[[Task], pl.DataFrame]] = Registry("protocol")
"""By name: from a task to ``cell_id`` and ``split`` (and ``fold``) of the cells that take part."""


@PROTOCOLS.add("official")
def _official(task: Task) -> pl.DataFrame:
    cells = task.labelled(merged=True)
    test, training = cells.filter(IS_PRELIMINARY), cells.filter(~IS_PRELIMINARY)
    if test.is_empty() or training.is_empty():
        raise SplitError(
            "official needs the training set and the labelled preliminary set of C-NMC 2019, "
            f"found {training.height:,} and {test.height:,} cells",
            hint='take "--protocol grouped-holdout", or complete the copy',
        )
    _refuse_shared(training, test)
    trained = _named(task.deal(training, OFFICIAL), OFFICIAL)
    return pl.concat([trained, test.select("cell_id", pl.lit("test").alias("split"))])


@PROTOCOLS.add("grouped-kfold")
def _grouped_kfold(task: Task) -> pl.DataFrame:
    shares = {str(fold): 1 / task.folds for fold in range(task.folds)}
    dealt = task.deal(task.labelled(), shares).select("cell_id", pl.col("side").alias("fold"))
    return dealt.with_columns(roles_of_fold(0, task.folds))


@PROTOCOLS.add("grouped-holdout")
def _grouped_holdout(task: Task) -> pl.DataFrame:
    return _named(task.deal(task.labelled(), HOLDOUT), HOLDOUT)


@PROTOCOLS.add("merged-holdout")
def _merged_holdout(task: Task) -> pl.DataFrame:
    cells = task.labelled(merged=True)
    if cells.filter(IS_PRELIMINARY).is_empty():
        raise SplitError(
            "merged-holdout needs the labelled preliminary set beside the training set, found none of it",
            hint='take "--protocol grouped-holdout"',
        )
    return _named(task.deal(cells, HOLDOUT), HOLDOUT)


@PROTOCOLS.add("sample-1000")
def _sample_1000(task: Task) -> pl.DataFrame:
    cells = task.labelled().filter(~pl.col("quality").str.starts_with(UNREADABLE))
    total = sum(SAMPLE.values())
    if cells.height < total:
        raise SplitError(
            f"sample-1000 needs at least {total:,} labelled, readable cells, found {cells.height:,}",
            hint='take "--protocol grouped-holdout"',
        )
    dealt = task.deal(cells, {role: size / total for role, size in SAMPLE.items()})
    dealt = _named(dealt, SAMPLE).with_columns(cells["label"])
    share = {label: count / cells.height for label, count in cells["label"].value_counts().iter_rows()}
    drawn = [_draw(dealt.filter(pl.col("split") == role), role, share, task.rng) for role in SAMPLE]
    return pl.concat(drawn).select("cell_id", "split")


def _draw(
    cells: pl.DataFrame, role: str, share: Mapping[str, float], rng: np.random.Generator
) -> pl.DataFrame:
    """As many cells as the role gets, the classes in their shares as far as there are enough of each."""
    if cells.height < SAMPLE[role]:
        raise SplitError(
            f"sample-1000 needs {SAMPLE[role]} cells to {role}, the subjects dealt to it have {cells.height}",
            hint='the cohort is too small to be sampled by subject: take "--protocol grouped-holdout"',
        )
    shuffled = cells[rng.permutation(cells.height)]
    # The place of a cell in its class, over the class's share: the lowest of these keep the shares.
    place = (pl.int_range(pl.len()).over("label") + 0.5) / pl.col("label").replace_strict(share)
    return shuffled.sort(place, maintain_order=True).head(SAMPLE[role])


def roles_of_fold(fold: int, folds: int) -> pl.Expr:
    """``split`` from ``fold``: it is the test, the next validates, the rest trains; null is unlabelled."""
    return (
        pl.when(pl.col("fold") == fold)
        .then(pl.lit("test"))
        .when(pl.col("fold") == (fold + 1) % folds)
        .then(pl.lit("validation"))
        .when(pl.col("fold").is_not_null())
        .then(pl.lit("train"))
        .otherwise(pl.lit("unlabelled"))
        .alias("split")
    )


def _named(dealt: pl.DataFrame, shares: Mapping[str, float]) -> pl.DataFrame:
    roles = list(shares)
    names = dealt["side"].replace_strict(list(range(len(roles))), roles, return_dtype=pl.String)
    return dealt.select("cell_id", names.alias("split"))


def _refuse_shared(training: pl.DataFrame, test: pl.DataFrame) -> None:
    shared = sorted(set(training["unit"]) & set(test["unit"]))
    if not shared:
        return
    there, here = (side.filter(pl.col("unit") == shared[0]) for side in (training, test))
    raise SubjectLeakError(
        f"subject {_who(there)} is in the training set ({there.height:,} cells) and subject {_who(here)}, "
        f"the same or one with the same pictures, in the preliminary set ({here.height:,} cells)",
        hint='find out with "leukoscope data check"; "--protocol merged-holdout" keeps both on one side',
    )


def _who(cells: pl.DataFrame) -> str:
    return f"'{cells['subject_id'][0] or cells['cell_id'][0]}'"
