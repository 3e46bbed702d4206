"""The cells of a study and how each run parts them: the document's protocol, by image and by subject."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from leukoscope.cohort.manifest import UNREADABLE, Manifest
from leukoscope.cohort.splits import split
from leukoscope.core.config import Config
from leukoscope.errors import SplitError, UsageError
from leukoscope.recipes.schema import Protocol
from leukoscope.studies.suite import ReadingName, Suite

FALLBACK = "grouped-holdout"
OFFICIAL = "official"
SAME_CELLS = (OFFICIAL, "grouped-kfold")
"""Protocols that test the same cells whatever the seed, so that seeds may part the cells anew."""


class Parting(Config):
    """How one run parts its cells.

    Attributes:
        protocol: of ``leukoscope data split``.
        unit: what stays together.
        seed: of the parting.
        words: how it came to this where it is not simply the document's.
    """

    protocol: str
    unit: ReadingName
    seed: int
    words: str = ""

    @property
    def name(self) -> str:
        """What its file is called."""
        return f"{self.protocol}-{self.unit}-seed-{self.seed}"


def sample_cells(manifest: Manifest, most: int, *, seed: int = 0) -> Manifest:
    """The labelled, readable cells, at most so many.

    Subjects give one cell each in turn, so that all subjects and both classes stay as far as that is
    possible. Where subjects are not known, classes take turns.

    Args:
        manifest: the cohort.
        most: 0 for all, unlabelled and unreadable ones too.
        seed: of the choice.
    """
    usable = manifest.frame.filter(
        pl.col("label").is_not_null() & ~pl.col("quality").str.starts_with(UNREADABLE)
    )
    if not most:
        return manifest
    if usable.height <= most:
        return manifest.with_frame(usable)
    by_name = usable.sort("cell_id")
    shuffled = by_name[np.random.default_rng(seed).permutation(by_name.height)]
    turn = pl.int_range(pl.len()).over(pl.coalesce("subject_id", "label"))
    kept = shuffled.sort(turn, maintain_order=True).head(most)["cell_id"]
    return manifest.with_frame(usable.filter(pl.col("cell_id").is_in(kept.to_list())))


def wanted_parting(protocol: Protocol, reading: ReadingName, suite: Suite, *, seed: int) -> Parting:
    """How a recipe's cells should be parted for this reading, before it is known whether they can be.

    Args:
        protocol: of the recipe's document.
        reading: by image or by subject.
        suite: may name one protocol for all.
        seed: of the run.

    >>> suite = Suite(title="", recipes=("cnn-45px",))
    >>> wanted_parting(Protocol(name="official"), "image", suite, seed=0).protocol
    'grouped-holdout'
    """
    name: str = protocol.name
    words = ""
    if suite.protocol != "document":
        name, words = suite.protocol, "the study's protocol"
    elif reading == "image" and name == OFFICIAL:
        name, words = FALLBACK, "ours: the document tests on other people"
    elif reading == "image" and protocol.unit == "subject":
        words = "ours: the document keeps people apart"
    elif reading == "subject" and protocol.unit == "image":
        words = "the document's protocol, people kept apart"
    return Parting(protocol=name, unit=reading, seed=_seed(name, seed), words=words)


def _seed(protocol: str, seed: int) -> int:
    return seed if protocol in SAME_CELLS else 0


@dataclass(frozen=True)
class Partings:
    """The splits of a study, each made once and kept as ``FOLDER/NAME.parquet``."""

    manifest: Manifest
    folder: Path
    folds: int

    def make(self, wanted: Parting, *, seed: int) -> Parting:
        """Write this split, or ``grouped-holdout`` where the cells do not allow it, and say which it is.

        Raises:
            SplitError: when neither can be made.
        """
        try:
            self._write(wanted)
        except SplitError as error:
            if wanted.protocol == FALLBACK:
                raise
            words = f"in place of {wanted.protocol}: {error.message}"
            other = wanted.model_copy(
                update={"protocol": FALLBACK, "seed": _seed(FALLBACK, seed), "words": words}
            )
            self._write(other)
            return other
        return wanted

    def path(self, parting: Parting) -> Path:
        """Where the split is."""
        return self.folder / f"{parting.name}.parquet"

    def _write(self, parting: Parting) -> None:
        path = self.path(parting)
        if path.is_file():
            return
        made = split(
            self.manifest,
            protocol=parting.protocol,
            unit=parting.unit,
            folds=self.folds,
            seed=parting.seed,
        )
        made.write(path)


def check_unsplit(manifest: Manifest, source: Path) -> None:
    """Refuse a split: a study parts the cells itself, in several ways.

    Raises:
        UsageError: when it is one.
    """
    if manifest.is_split:
        raise UsageError(
            f"{source} is a split, and a study parts the cells itself",
            hint="give the manifest or the folder that it was made from",
        )
