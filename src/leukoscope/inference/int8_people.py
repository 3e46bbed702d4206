"""Who does what when a bundle is made int8: whose cells set ranges and thresholds, and whose judge."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl

from leukoscope.bundle.format import FITTING_ROLES
from leukoscope.bundle.privacy import salted
from leukoscope.bundle.read import Bundle
from leukoscope.cohort.groups import split_units
from leukoscope.cohort.manifest import UNREADABLE, Manifest
from leukoscope.cohort.protocols import Task
from leukoscope.errors import SplitError, SubjectLeakError, UsageError

HALVES = {"fitting": 0.5, "judging": 0.5}
OTHERS = "give labelled cells of people that it has not met, or the split that it was trained with"


class People(NamedTuple):
    """Three sets of cells; nobody of ``judging`` is in the others.

    Attributes:
        ranges: cells on which the ranges of activations may be measured, with a label or without.
        fitting: labelled cells that temperature, operating points and novelty limit are fitted on.
        judging: labelled cells of people who fitted nothing.
        num_left_out: subjects that would judge had they not fitted the bundle.
    """

    ranges: Manifest
    fitting: Manifest
    judging: Manifest
    num_left_out: int


def known_roles(bundle: Bundle, frame: pl.DataFrame) -> pl.Series:
    """What each cell, or its subject, did when the bundle was fitted: the first of train, validation and
    calibration, ``None`` for nothing; (N,) by row of a manifest."""
    roles: list[str | None] = [None] * frame.height
    for name in reversed(FITTING_ROLES):
        rows = bundle.subjects.filter(pl.col("role") == name)
        for column in ("subject_id", "sha256"):
            stored = set(rows[column].drop_nulls())
            values = frame[column].fill_null("").to_list()
            marks = salted(values, bundle.info.privacy)
            found = [bool(value) and mark in stored for value, mark in zip(values, marks, strict=True)]
            roles = [name if there else role for there, role in zip(found, roles, strict=True)]
    return pl.Series("known", roles, dtype=pl.String)


def share_out(cells: Manifest, known: pl.Series) -> People:
    """Share out the cells of a source.

    Of a split, the cells to calibrate fit (those to validate where there are none), and those to test judge.
    Else the people whom the bundle does not know are divided, half and half as the classes allow, always the
    same way. Who shares pictures with somebody goes with him. Nobody judges who fitted the bundle, and nobody
    fits temperature or thresholds who fitted its weights. A cell whose subject is unknown does nothing.

    Args:
        cells: a manifest or a split.
        known: what each cell did in the fit of the bundle, of :func:`known_roles`.

    Raises:
        SubjectLeakError: when the source was shared out by image.
        UsageError: when there is nobody to fit on or to judge by.
    """
    if cells.is_leaky:
        raise SubjectLeakError(
            "the calibration data are LEAKY: nothing keeps those who judge from those who are fitted on",
            hint="give cells whose subjects are known, split by subject",
        )
    unit = pl.Series("unit", split_units(cells.frame), dtype=pl.String)
    frame = cells.frame.with_columns(unit, known.alias("known"))
    frame = frame.filter(~pl.col("quality").str.starts_with(UNREADABLE) & pl.col("subject_id").is_not_null())
    met = set(frame.filter(pl.col("known").is_not_null())["unit"])
    trained = set(frame.filter(pl.col("known") == "train")["unit"])
    labelled = frame.filter(pl.col("label").is_not_null())
    if cells.is_split and "folds" not in cells.metadata:
        fitting, candidates = _by_role(labelled, trained)
    else:
        fitting, candidates = _halves(cells, labelled, met)
    taken = met | set(fitting["unit"])
    judging = candidates.filter(~pl.col("unit").is_in(list(taken)))
    left_out = candidates.filter(pl.col("unit").is_in(list(met)))["subject_id"].n_unique()
    _demand(cells, fitting, judging, left_out)
    ranges = frame.filter(~pl.col("unit").is_in(judging["unit"].unique().to_list()))
    return People(
        _manifest(cells, ranges), _manifest(cells, fitting), _manifest(cells, judging), num_left_out=left_out
    )


def _by_role(labelled: pl.DataFrame, trained: set[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    roles = set(labelled["split"])
    fits = "calibration" if "calibration" in roles else "validation"
    fitting = labelled.filter((pl.col("split") == fits) & ~pl.col("unit").is_in(list(trained)))
    return fitting, labelled.filter(pl.col("split") == "test")


def _halves(cells: Manifest, labelled: pl.DataFrame, met: set[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Those who fit, and those who would judge if none of them had been met."""
    strangers = labelled.filter(~pl.col("unit").is_in(list(met)))
    if strangers.is_empty():
        return strangers, labelled
    task = Task(_manifest(cells, strangers), "int8", "subject", 0, np.random.default_rng(0))
    try:
        dealt = task.deal(task.labelled(merged=True), HALVES)
    except SplitError as error:
        raise UsageError(f"to fit and to judge, {error.message}", hint=OTHERS) from None
    fits = dealt.filter(pl.col("side") == list(HALVES).index("fitting"))["cell_id"].to_list()
    fitting = strangers.filter(pl.col("cell_id").is_in(fits))
    return fitting, labelled.filter(~pl.col("cell_id").is_in(fits))


def _demand(cells: Manifest, fitting: pl.DataFrame, judging: pl.DataFrame, left_out: int) -> None:
    for rows, task in ((fitting, "fit temperature and thresholds"), (judging, "judge")):
        if rows.is_empty():
            why = f": {left_out} subjects fitted the bundle" if left_out else ""
            raise UsageError(f"nobody is left to {task}{why}", hint=OTHERS)
        positive = rows["label"].is_in(list(cells.positive_classes))
        if positive.all() or not positive.any():
            only = "blasts" if positive.all() else "normal cells"
            raise UsageError(f"the people to {task} have {only} only", hint="add people of the other kind")


def _manifest(cells: Manifest, rows: pl.DataFrame) -> Manifest:
    return cells.with_frame(rows.drop("unit", "known"))
