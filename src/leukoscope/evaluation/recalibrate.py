"""Calibration and operating points of a prediction table, fitted on people who are not judged."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from leukoscope.errors import UsageError
from leukoscope.evaluation.calibration import Calibration, Floats, blast_probability
from leukoscope.evaluation.calibrators import CalibrationChoice, fit_calibration
from leukoscope.evaluation.criteria import CRITERIA, fit_points
from leukoscope.evaluation.judged_rows import rows_to_judge, subject_ids
from leukoscope.evaluation.leak import check_leak
from leukoscope.evaluation.operating_points import BETWEEN, INDETERMINATE, OperatingPoint
from leukoscope.evaluation.table import PredictionTable

SUREST = 1 - 1e-9
"""A probability beyond it, or as near to 0, says no more than this where a table gives no logits."""


class Wanted(NamedTuple):
    """How a table is to be calibrated: the method, and the operating points, of which the first decides."""

    method: CalibrationChoice = "auto"
    criteria: tuple[str, ...] = CRITERIA


USUAL = Wanted()


class Limits(NamedTuple):
    """What is frozen before the test: calibration and operating points, and on whom they were fitted."""

    calibration: Calibration
    points: tuple[OperatingPoint, ...]


def calibrate(
    table: PredictionTable, on: PredictionTable | None = None, wanted: Wanted = USUAL
) -> tuple[PredictionTable, dict[str, Limits]]:
    """The table with probabilities that are calibrated on other people, and the decisions that follow.

    They are fitted on the rows of ``on`` that are not of the role test; without it on the table's own rows of
    the role calibration; where it has none, but is of folds, each fold on all other folds.

    Args:
        table: the predictions. Logits are taken where it has them, else those of its probabilities.
        on: predictions of the same model for labelled cells of other people.
        wanted: method and operating points.

    Returns:
        The table, whose metadata name the operating points and the calibration, for
        :func:`~leukoscope.evaluation.evaluate.evaluate`; and what was fitted, by fold, or under ``""``.

    Raises:
        UsageError: when a subject, or a file, that is judged would be fitted on; when it is unknown whose
            cells these are; when there is nothing to fit on.
        TableError: when the classes do not fit.
    """
    rows = on.frame if on is not None else table.frame
    fitting = _fitting_rows(rows, table) if on is not None or _has_role(rows, "calibration") else None
    if fitting is None:
        folds = rows["fold"].n_unique() if "fold" in rows.columns and not rows["fold"].null_count() else 0
        if folds < 2:
            raise UsageError(
                "there is nothing to fit a calibration on: no row of the role calibration, and no folds",
                hint="give labelled predictions of other people: --on TABLE",
            )
        return calibrate_by_fold(table, wanted)
    judged, _ = rows_to_judge(table)
    _refuse_overlap(judged, fitting)
    limits = fit_table(fitting, table.classes, table.positive_classes, wanted, fitted_on=_whom(fitting))
    frame = recalibrated(table.frame, table.classes, table.positive_classes, limits)
    return PredictionTable(frame, table.metadata | _said({"": limits})), {"": limits}


def calibrate_by_fold(
    pool: PredictionTable, wanted: Wanted = USUAL, *, shares: Floats | None = None
) -> tuple[PredictionTable, dict[str, Limits]]:
    """Out-of-fold rows, each fold calibrated on the rows of all other folds, and the limits of each.

    The table's metadata hold, as ``operating_points``, each fold's operating points, fitted on the other
    folds too, so that an evaluation reads every row at a threshold that its subject had no part in.

    Args:
        pool: the rows, with ``fold``.
        wanted: method and operating points.
        shares: (K,) of the classes in all folds, where training drew them alike; see
            :func:`~leukoscope.evaluation.calibration.fit_temperature`.

    Raises:
        UsageError: when a subject is in two folds, or the rows of the other folds lack a class.
    """
    classes, positive = pool.classes, pool.positive_classes
    folds = pool.frame["fold"].to_numpy()
    leaky = pool.is_leaky  # an image-level protocol has its stamp already
    parts, limits = [], {}
    for fold in np.unique(folds):
        others, here = pool.frame.filter(pl.col("fold") != fold), pool.frame.filter(pl.col("fold") == fold)
        if not leaky:
            _refuse_overlap(PredictionTable(here, pool.metadata), _labelled(others))
        fitted = fit_table(others, classes, positive, wanted, shares=shares, fitted_on="the other folds")
        parts.append(recalibrated(here, classes, positive, fitted))
        limits[str(fold)] = fitted
    order = pl.DataFrame({"cell_id": pool.frame["cell_id"]})
    frame = order.join(pl.concat(parts), on="cell_id", how="left", maintain_order="left")
    return PredictionTable(frame.select(parts[0].columns), pool.metadata | _said(limits)), limits


def fit_table(
    rows: pl.DataFrame,
    classes: Sequence[str],
    positive: Sequence[str],
    wanted: Wanted = USUAL,
    *,
    shares: Floats | None = None,
    fitted_on: str,
) -> Limits:
    """Calibration and operating points of the labelled, readable ones of these rows.

    Args:
        rows: of a prediction table.
        classes, positive: names of all classes, and of the positive ones.
        wanted: method and operating points.
        shares: (K,) of the classes where training drew them alike, else ``None``; see
            :func:`~leukoscope.evaluation.calibration.fit_temperature`.
        fitted_on: whose rows these are, in words.

    Raises:
        UsageError: when they lack a class.
    """
    rows = _labelled(rows)
    labels = np.asarray([list(classes).index(label) for label in rows["label"]], dtype=np.int64)
    subjects = rows["subject_id"].fill_null("").to_numpy().astype(np.str_)
    return fit_limits(
        _logits(rows, classes, positive),
        labels,
        np.isin(rows["label"].to_numpy().astype(np.str_), list(positive)),
        subjects,
        classes=classes,
        positive=positive,
        wanted=wanted,
        shares=shares,
        fitted_on=fitted_on,
    )


def fit_limits(
    logits: npt.ArrayLike,
    labels: npt.NDArray[np.int64],
    is_blast: npt.NDArray[np.bool_],
    subjects: npt.NDArray[np.str_],
    *,
    classes: Sequence[str],
    positive: Sequence[str],
    wanted: Wanted,
    shares: npt.ArrayLike | None,
    fitted_on: str,
) -> Limits:
    """Calibration and operating points of cells: logits (N, K), class indices, whether a blast, whose.

    Without a normal cell only points for sensitivity are fitted.

    Raises:
        UsageError: when the cells lack a class.
    """
    calibration = fit_calibration(logits, labels, subjects, wanted.method, shares=shares, fitted_on=fitted_on)
    p = blast_probability(calibration.apply(logits), classes, positive)
    possible = [one for one in wanted.criteria if one.startswith("sensitivity") or not is_blast.all()]
    return Limits(calibration, fit_points(p, is_blast, subjects, possible, fitted_on=fitted_on))


def recalibrated(
    rows: pl.DataFrame, classes: Sequence[str], positive: Sequence[str], limits: Limits
) -> pl.DataFrame:
    """The same rows with another calibration; an unreadable row stays empty, and where quality or novelty
    forbade a decision it stays so."""
    logits = _logits(rows, classes, positive)
    known = np.isfinite(logits).all(axis=1)
    probabilities = np.full(logits.shape, np.nan)
    probabilities[known] = limits.calibration.apply(logits[known])
    p = np.where(known, probabilities.sum(axis=1, where=[name in positive for name in classes]), np.nan)
    columns: dict[str, Any] = {"blast_probability": np.minimum(p, 1.0)}
    columns |= {f"probability_{name}": probabilities[:, k] for k, name in enumerate(classes)}
    fresh = pl.DataFrame(columns).fill_nan(None)
    kept = [name for name in columns if name in rows.columns]
    called = pl.Series("called", limits.points[0].decide(p))
    frame = rows.with_columns(*(fresh[name].cast(rows.schema[name]) for name in kept), called)
    return frame.with_columns(**_decided(frame)).drop("called")


def _decided(frame: pl.DataFrame) -> dict[str, pl.Expr]:
    """Columns ``decision`` and ``reason`` that follow from ``called``."""
    called = pl.col("called")
    between = pl.when(called == INDETERMINATE).then(pl.lit(BETWEEN))
    if "decision" not in frame.columns:
        return {"decision": called, "reason": between}
    free = pl.col("decision").is_in(["blast", "normal"])
    if "reason" not in frame.columns:
        return {"decision": pl.when(free).then(called).otherwise(pl.col("decision"))}
    free = free | (pl.col("reason") == BETWEEN).fill_null(False)
    return {
        "decision": pl.when(free).then(called).otherwise(pl.col("decision")),
        "reason": pl.when(free).then(between).otherwise(pl.col("reason")),
    }


def class_shares(rows: pl.DataFrame, classes: Sequence[str]) -> Floats:
    """(K,) share of each class of the labelled, readable rows."""
    found = _labelled(rows)["label"]
    return np.asarray([(found == name).mean() for name in classes], dtype=np.float64)


def _has_role(rows: pl.DataFrame, role: str) -> bool:
    return "split" in rows.columns and bool((rows["split"] == role).any())


def _fitting_rows(rows: pl.DataFrame, table: PredictionTable) -> pl.DataFrame:
    """The labelled rows that may be fitted on: calibration subjects, else those without a role."""
    if "split" in rows.columns:
        role = (
            pl.col("split") == "calibration" if _has_role(rows, "calibration") else pl.col("split").is_null()
        )
        rows = rows.filter(role)
        if not rows.height:
            raise UsageError(
                "there is no row of the role calibration, and none without a role, to fit on",
                hint="rows that trained the model, or that are judged, calibrate nothing",
            )
    rows = _labelled(rows)
    unknown = sorted(set(rows["label"]) - set(table.classes))
    if unknown:
        raise UsageError(f"cells to fit on have the label '{unknown[0]}', the table knows {table.classes}")
    return rows


def _refuse_overlap(judged: PredictionTable, fitting: pl.DataFrame) -> None:
    if subject_ids(judged) is None or (fitting["subject_id"].fill_null("") == "").any():
        raise UsageError(
            "whose cells these are is not known of all, so nothing keeps test subjects out of the fit",
            hint="fill the column subject_id",
        )
    fitting = fitting.drop("split", "role", strict=False)
    leak = check_leak(judged.judged, fitting.drop("fold", strict=False))
    if leak.found:
        raise UsageError(
            f"refused: {leak.summary}", hint="test subjects fit nothing: calibrate on other people's cells"
        )


def _labelled(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows that have a label and a probability."""
    return rows.filter(pl.col("label").is_not_null() & pl.col("blast_probability").is_not_null())


def _logits(rows: pl.DataFrame, classes: Sequence[str], positive: Sequence[str]) -> Floats:
    """Logits (N, K), NaN where a row has none; without them those of the probabilities."""
    names = [f"logit_{name}" for name in classes]
    if set(names) <= set(rows.columns):
        return rows.select(names).fill_null(np.nan).to_numpy().astype(np.float64)
    if len(classes) != 2:
        text = f"a table of {len(classes)} classes is calibrated by its logits, which it has not"
        raise UsageError(text, hint=f"add the columns {', '.join(names)}")
    p = rows["blast_probability"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    p = np.clip(p, 1 - SUREST, SUREST)
    return np.stack([np.log(p if name in positive else 1 - p) for name in classes], axis=1)


def _whom(rows: pl.DataFrame) -> str:
    return f"{rows.height:,} cells of {rows['subject_id'].n_unique():,} calibration subjects"


def _said(limits: dict[str, Limits]) -> dict[str, str]:
    """For the metadata: operating points and calibration, by fold where there are folds."""
    points = {fold: [point.model_dump() for point in one.points] for fold, one in limits.items()}
    calibrations = {fold: one.calibration.model_dump() for fold, one in limits.items()}
    return {
        "operating_points": json.dumps(points.get("", points)),
        "calibration": json.dumps(calibrations.get("", calibrations)),
    }
