"""``--fold all``: every fold in turn, their test rows pooled, and one model of all subjects to ship."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from leukoscope.bundle.read import open_bundle
from leukoscope.cohort.manifest import Manifest
from leukoscope.cohort.splits import fold_roles
from leukoscope.core.files import write_json
from leukoscope.core.progress import say
from leukoscope.errors import TrainingInterruptedError
from leukoscope.evaluation.calibration import Calibration, blast_probability, fit_temperature
from leukoscope.evaluation.operating_points import OperatingPoint
from leukoscope.evaluation.partitions import read_partitions
from leukoscope.evaluation.table import PredictionTable
from leukoscope.recipes.schema import Recipe
from leukoscope.studies.judge import check_agreement, draft, fit_points, read_cells, references
from leukoscope.studies.prepare import prepare
from leukoscope.studies.run import MODEL, PREDICTIONS, Run, some_of, train_split
from leukoscope.training.curves import draw_curves
from leukoscope.training.fit import Hardware, fit

FOLD_DONE = "fold.json"


@dataclass(frozen=True)
class Partition:
    """All folds of one partition, in the folder ``path``: a run of each, and their test rows in one table."""

    split: Manifest
    path: Path
    runs: list[Run]
    pool: PredictionTable


def train_folds(recipe: Recipe, split: Manifest, out: Path, *, resume: bool, hardware: Hardware) -> Run:
    """K runs in ``folds/K``, the pooled out-of-fold rows, and ``model.leuko`` fitted on all subjects.

    A fold that is finished is not trained again.

    Raises:
        TrainingError: when the user interrupted a fold; what is finished stays, ``resume`` goes on.
    """
    partition = train_partition(recipe, split, out, resume=resume, hardware=hardware)
    return ship(recipe, [partition], out, resume=resume, hardware=hardware)


def train_partition(
    recipe: Recipe, split: Manifest, out: Path, *, resume: bool, hardware: Hardware
) -> Partition:
    """The folds alone: K runs in ``folds/K`` and the pooled out-of-fold rows in ``predictions.parquet``.

    Raises:
        TrainingError: as :func:`train_folds`.
    """
    runs = []
    for fold in range(int(split.metadata["folds"])):
        folder = out / "folds" / str(fold)
        runs.append(_one_fold(recipe, fold_roles(split, fold), folder, resume=resume, hardware=hardware))
        if runs[-1].interrupted:
            raise TrainingInterruptedError(f"folds before {fold} are finished", hint="--resume goes on")
    pool = pool_folds(
        [PredictionTable.read(run.predictions) for run in runs], balanced=recipe.training.reweights_classes
    )
    pool.write(out / PREDICTIONS)
    return Partition(split, out, runs, pool)


def _one_fold(recipe: Recipe, roles: Manifest, folder: Path, *, resume: bool, hardware: Hardware) -> Run:
    say(f"fold {roles.metadata['fold']} of {roles.metadata['folds']}, in {folder}")
    done = folder / FOLD_DONE
    if resume and done.is_file():
        epoch = json.loads(done.read_text())["best_epoch"]
        return Run(
            folder,
            folder / MODEL,
            folder / PREDICTIONS,
            epoch,
            dict(open_bundle(folder / MODEL).info.metrics),
        )
    run = train_split(recipe, roles, folder, resume=resume, hardware=hardware)
    if not run.interrupted:
        write_json(done, {"best_epoch": run.best_epoch})
    return run


def pool_folds(tables: Sequence[PredictionTable], *, balanced: bool) -> PredictionTable:
    """The test rows of all folds in one table, each fold calibrated on the test rows of all other folds.

    The table's metadata hold, as ``operating_points``, each fold's operating points, fitted on the other
    folds too, so that an evaluation reads every row at a threshold that its subject had no part in.

    The bias, where there is one, is that of the classes' shares in all folds, and so the same in each: with
    the shares of the other folds a fold with few blasts would be judged like one with many, and the other
    way round, which spoils the order of cells from different folds.

    Args:
        tables: one of each fold, with ``split``, ``fold`` and ``logit_<class>``.
        balanced: whether training drew all classes alike.

    Raises:
        UsageError: when the rows of the other folds lack a class.
    """
    pool = pl.concat([table.frame.filter(pl.col("split") == "test") for table in tables])
    classes, positive = tables[0].classes, tables[0].positive_classes
    folds = pool["fold"].to_numpy()
    shares = class_shares(pool, classes) if balanced else None
    parts, points = [], {}
    for fold in np.unique(folds):
        others, here = pool.filter(pl.col("fold") != fold), pool.filter(pl.col("fold") == fold)
        calibration, fitted = pooled_limits(
            others, classes, positive, shares=shares, fitted_on="the other folds"
        )
        parts.append(_recalibrated(here, classes, positive, calibration, fitted[0]))
        points[str(fold)] = [point.model_dump() for point in fitted]
    order = pl.DataFrame({"cell_id": pool["cell_id"]})
    frame = order.join(pl.concat(parts), on="cell_id", how="left", maintain_order="left").select(pool.columns)
    said = {"bundle_id": "pooled out of fold", "operating_points": json.dumps(points)}
    return PredictionTable(frame, dict(tables[0].metadata) | said)


def pooled_limits(
    rows: pl.DataFrame,
    classes: Sequence[str],
    positive: Sequence[str],
    *,
    shares: NDArray[np.float64] | None,
    fitted_on: str,
) -> tuple[Calibration, tuple[OperatingPoint, ...]]:
    """Calibration and operating points of the labelled, readable ones of rows with logits.

    Args:
        rows: of a prediction table.
        classes, positive: names of all classes, and of the positive ones.
        shares: (K,) of the classes where training drew them alike, else ``None``; see
            :func:`~leukoscope.evaluation.calibration.fit_temperature`.
        fitted_on: whose rows these are, in words.
    """
    rows = _readable(rows)
    logits = _logits(rows, classes)
    labels = np.asarray([classes.index(label) for label in rows["label"]])
    calibration = fit_temperature(logits, labels, shares=shares, subjects=fitted_on)
    p = blast_probability(calibration.apply(logits), classes, positive)
    is_blast = rows["label"].is_in(list(positive)).to_numpy()
    subjects = rows["subject_id"].fill_null("").to_numpy().astype(np.str_)
    return calibration, fit_points(p, is_blast, subjects, fitted_on=fitted_on)


def class_shares(rows: pl.DataFrame, classes: Sequence[str]) -> NDArray[np.float64]:
    """(K,) share of each class of the labelled, readable rows."""
    found = _readable(rows)["label"]
    return np.asarray([(found == name).mean() for name in classes], dtype=np.float64)


def _readable(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(pl.col("error").is_null() & pl.col("label").is_not_null())


def _logits(rows: pl.DataFrame, classes: Sequence[str]) -> NDArray[np.float64]:
    return rows.select(f"logit_{name}" for name in classes).to_numpy().astype(np.float64)


def _recalibrated(
    rows: pl.DataFrame,
    classes: Sequence[str],
    positive: Sequence[str],
    calibration: Calibration,
    point: OperatingPoint,
) -> pl.DataFrame:
    """The same rows with another calibration; an unreadable row stays empty, a forbidden decision stays
    so."""
    logits = _logits(rows, classes)
    known = np.isfinite(logits).all(axis=1)
    probabilities = np.full(logits.shape, np.nan)
    probabilities[known] = calibration.apply(logits[known])
    p = np.where(known, probabilities.sum(axis=1, where=[name in positive for name in classes]), np.nan)
    columns: dict[str, Any] = {f"probability_{name}": probabilities[:, k] for k, name in enumerate(classes)}
    fresh = pl.DataFrame({"blast_probability": p, "called": point.decide(p), **columns}).fill_nan(None)
    decided = pl.col("decision").is_in(["blast", "normal"])
    return (
        rows.with_columns(
            *(fresh[name].cast(rows.schema[name]) for name in ("blast_probability", *columns)),
            fresh["called"],
        )
        .with_columns(pl.when(decided).then(pl.col("called")).otherwise(pl.col("decision")).alias("decision"))
        .drop("called")
    )


def ship(
    recipe: Recipe,
    partitions: Sequence[Partition],
    out: Path,
    *,
    resume: bool,
    hardware: Hardware,
    without: Sequence[str] = (),
    demonstration: bool = False,
) -> Run:
    """``model.leuko``, fitted on all subjects of one cohort that was cut into folds in one or several ways.

    It takes the median of the folds' best numbers of epochs; its temperature and operating point are those of
    the out-of-fold rows, its novelty limit is the folds' median, and its metrics are the means over the
    partitions: those of models like it on people they never saw.

    Args:
        recipe: what the folds were trained with.
        partitions: of the same cells.
        out: the run's folder.
        resume: go on with a fit that was interrupted.
        hardware: where to fit.
        without: subjects whose cells are left out of the metrics in turn, for the card.
        demonstration: the model is there for trying the software.
    """
    split, runs = partitions[0].split, [run for partition in partitions for run in partition.runs]
    rows = pl.concat([partition.pool.frame for partition in partitions])
    epochs = round(median(run.best_epoch for run in runs))
    everybody = split.with_frame(split.frame.with_columns(_training_role()))
    prepared = prepare(everybody, recipe.preprocess)
    known = prepared.positions("train")
    say(f"the model to ship: all {len(known):,} cells, {epochs} epochs")
    fitted = fit(
        recipe,
        prepared.data,
        train=known,
        validation=known[:0],
        folder=out,
        hardware=hardware,
        resume=resume,
        stop_after=epochs,
    )
    draw_curves(fitted.history, fitted.best_epoch, out / "curves.svg")
    calibration, points = pooled_limits(
        rows,
        split.classes,
        split.positive_classes,
        shares=class_shares(rows, split.classes) if recipe.training.reweights_classes else None,
        fitted_on="out-of-fold rows of all subjects",
    )
    made = draft(recipe, fitted.network, everybody, prepared)
    path = made.write(out / MODEL)
    check_agreement(fitted.network, path, prepared, some_of(known), calibration)
    metrics, evidence = read_partitions([partition.pool for partition in partitions], split, without=without)
    limits = [open_bundle(run.bundle).info.novelty for run in runs]
    distances = [limit.distance for limit in limits if limit is not None]
    reference = next(limit for limit in limits if limit is not None)
    made.knowing(
        references(prepared, read_cells(path, prepared, some_of(known), views=1)),
        calibration=calibration,
        operating_points=points,
        novelty=reference.model_copy(
            update={
                "distance": median(distances),
                "fitted_on": "median of the folds' limits on unseen subjects",
            }
        ),
        metrics=metrics,
        evidence=evidence,
        demonstration=demonstration,
        metrics_on="out-of-fold rows of all subjects, from models trained like this one without them",
    ).write(path)
    return Run(out, path, partitions[0].path / PREDICTIONS, epochs, metrics, fitted.interrupted)


def _training_role() -> pl.Expr:
    return (
        pl.when(pl.col("split") == "unlabelled")
        .then(pl.col("split"))
        .otherwise(pl.lit("train"))
        .alias("split")
    )
