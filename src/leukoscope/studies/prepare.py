"""From a source to what a fit reads: a split with roles, the cells in memory-mapped form, labels and
groups."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from leukoscope.cells.preprocess import Preprocess
from leukoscope.cohort.manifest import UNREADABLE, Manifest
from leukoscope.cohort.open import open_cohort
from leukoscope.cohort.splits import default_protocol, split
from leukoscope.core.progress import say
from leukoscope.training.cache import cached_cells
from leukoscope.training.draw import Index
from leukoscope.training.fit import TrainingCells


@dataclass(frozen=True)
class Prepared:
    """The labelled, readable rows of a split, and their cells in the same order."""

    manifest: Manifest
    data: TrainingCells

    def positions(self, *roles: str) -> Index:
        """Where the cells of these roles are."""
        return np.flatnonzero(self.manifest.frame["split"].is_in(list(roles)).to_numpy())


def open_split(source: Path, *, folds: bool, num_folds: int, seed: int) -> Manifest:
    """The split of any SOURCE; an unsplit one is split here, and the user is told how."""
    manifest = open_cohort(source)
    if manifest.is_split:
        return manifest
    protocol = "grouped-kfold" if folds else default_protocol(manifest)
    say(f"{source} has no split yet: taking {protocol} by subject, seed {seed}")
    return split(manifest, protocol=protocol, folds=num_folds, seed=seed)


def prepare(manifest: Manifest, preprocess: Preprocess) -> Prepared:
    """Decode once what can be trained and judged on; says what is left out and why."""
    broken = pl.col("quality").str.starts_with(UNREADABLE)
    labelled = manifest.frame.filter(pl.col("label").is_not_null() & (pl.col("split") != "unlabelled"))
    frame = labelled.filter(~broken)
    if left_out := labelled.height - frame.height:
        say(f"{left_out} of {labelled.height} labelled cells cannot be read and are left out of training")
    usable = manifest.with_frame(frame)
    # a group of duplicates counts as one subject, so that no person is drawn more often for having two
    # numbers
    groups = frame.select(pl.coalesce("duplicate_group", "subject_id", "cell_id")).to_series().to_numpy()
    positive = [name in manifest.positive_classes for name in manifest.classes]
    data = TrainingCells(cached_cells(usable, preprocess), usable.labels, groups.astype(str), positive)
    return Prepared(usable, data)
