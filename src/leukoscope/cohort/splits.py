"""Who trains, who stops and calibrates, who is tested: splits by subject and duplicate group.

* ``official``: C-NMC 2019; test = the preliminary set; its training subjects 70 % train, 15 % validation,
  15 % calibration.
* ``grouped-kfold``: ``fold`` 0 to K - 1; for fold k the test is k, the validation k + 1, the rest trains.
* ``grouped-holdout``: 60 % train, 10 % validation, 10 % calibration, 20 % test.
* ``sample-1000``: 1,000 cells, of these 700 train, 150 validation, 150 test.
* ``merged-holdout``: ``grouped-holdout`` over the training and the preliminary set of C-NMC together. The
  other protocols leave the preliminary set out.

Percentages are of the cells and of the subjects of each class, as near as whole duplicate groups allow. Cells
without a label are ``unlabelled``. With the unit ``image`` every cell goes its own way, and what is made from
the split is marked as leaky.
"""

from __future__ import annotations

import json

import numpy as np
import polars as pl

from leukoscope.cohort.manifest import Manifest
from leukoscope.cohort.protocols import IS_PRELIMINARY, MIN_FOLDS, PROTOCOLS, Task, roles_of_fold
from leukoscope.errors import SplitError, UsageError

UNITS = ("subject", "image")


def split(
    manifest: Manifest, *, protocol: str, unit: str = "subject", folds: int = 5, seed: int = 0
) -> Manifest:
    """Give every cell a role.

    Args:
        manifest: the cohort, unsplit.
        protocol: see the head of this file.
        unit: what stays together: ``subject`` (with its duplicate group), or ``image`` (nothing; leaky).
        folds: number of folds of ``grouped-kfold``, at least 3.
        seed: of the chance by which subjects of like size are dealt out; the same seed gives the same split,
            in whatever order the rows are.

    Returns:
        The cells that take part, in the order of the manifest, with ``split`` (for ``grouped-kfold`` that of
        fold 0, and ``fold``; see :func:`fold_roles`). Its metadata name the protocol, the unit, the seed, and
        say ``leaky``.

    Raises:
        SplitError: when there are too few subjects or cells for the protocol, or it is a split already.
        SubjectLeakError: when the cohort's own test set shares a subject or a picture with its training set.
        UsageError: for an unknown protocol or unit, or fewer than 3 folds.
    """
    deal = PROTOCOLS.get(protocol)
    if unit not in UNITS:
        raise UsageError(f"unknown unit '{unit}'", hint=f"known: {', '.join(UNITS)}")
    if manifest.is_split:
        raise SplitError("expected a manifest, got a split", hint="split the manifest that it was made from")
    if folds < MIN_FOLDS:
        raise UsageError(
            f"expected at least {MIN_FOLDS} folds (to train, to validate, to test), got {folds}",
            hint="raise --folds",
        )
    task = Task(manifest, protocol, unit, folds, np.random.default_rng(seed))
    made = deal(task)
    roles = manifest.frame.select("cell_id").join(made, on="cell_id", how="left", maintain_order="left")
    frame = manifest.frame.with_columns(
        pl.when(pl.col("label").is_null())
        .then(pl.lit("unlabelled"))
        .otherwise(roles["split"])
        .alias("split"),
        (roles["fold"] if "fold" in made.columns else pl.lit(None)).cast(pl.Int32).alias("fold"),
    ).filter(pl.col("split").is_not_null())
    kfold = {"folds": str(folds)} if "fold" in made.columns else {}
    return manifest.with_frame(
        frame,
        kind="split",
        protocol=protocol,
        unit=unit,
        seed=str(seed),
        leaky=json.dumps(unit == "image" or manifest.is_leaky),
        left_out=str(manifest.frame.height - frame.height),
        **kfold,
    )


def fold_roles(made: Manifest, fold: int) -> Manifest:
    """The roles for one fold of ``grouped-kfold``: test = ``fold``, validation = the next, the rest trains.

    Raises:
        SplitError: when ``made`` has no folds, or not that one.
    """
    folds = int(made.metadata.get("folds", 0))
    if not folds or not made.is_split:
        raise SplitError(
            f"expected a split with folds, got protocol '{made.metadata.get('protocol', 'none')}'",
            hint='make one with "leukoscope data split --protocol grouped-kfold"',
        )
    if not 0 <= fold < folds:
        raise SplitError(f"expected a fold from 0 to {folds - 1}, got {fold}", hint="choose one of these")
    return made.with_frame(made.frame.with_columns(roles_of_fold(fold, folds)), fold=str(fold))


def default_protocol(manifest: Manifest) -> str:
    """``official`` where at least half of the labelled preliminary set is there, else ``grouped-holdout``."""
    preliminary = manifest.frame.filter(IS_PRELIMINARY & pl.col("label").is_not_null())
    listed = int(manifest.metadata.get("preliminary_listed", 0))
    sides = {label in manifest.positive_classes for label in preliminary["label"].unique()}
    there = len(sides) == 2 and preliminary.height >= listed / 2
    return "official" if there else "grouped-holdout"
