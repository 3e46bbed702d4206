"""``--fold all``: every fold in turn, their test rows pooled, and one model of all subjects to ship."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import polars as pl

from leukoscope.bundle.read import open_bundle
from leukoscope.cohort.manifest import Manifest
from leukoscope.cohort.splits import fold_roles
from leukoscope.core.files import write_json
from leukoscope.core.progress import say
from leukoscope.errors import TrainingInterruptedError
from leukoscope.evaluation.partitions import read_partitions
from leukoscope.evaluation.people import read_people
from leukoscope.evaluation.recalibrate import calibrate_by_fold, class_shares, fit_table
from leukoscope.evaluation.table import PredictionTable
from leukoscope.recipes.schema import Recipe
from leukoscope.studies.judge import check_agreement, draft, read_cells, references, wanted
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
    pool = pool_folds([PredictionTable.read(run.predictions) for run in runs], recipe)
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


def pool_folds(tables: Sequence[PredictionTable], recipe: Recipe) -> PredictionTable:
    """The test rows of all folds in one table, each fold calibrated on the test rows of all other folds.

    The bias, where training drew the classes alike, is that of the classes' shares in all folds, and so the
    same in each: with the shares of the other folds a fold with few blasts would be judged like one with
    many, and the other way round, which spoils the order of cells from different folds.

    Args:
        tables: one of each fold, with ``split``, ``fold`` and ``logit_<class>``.
        recipe: what they were trained with.

    Raises:
        UsageError: when the rows of the other folds lack a class.
    """
    rows = pl.concat([table.frame.filter(pl.col("split") == "test") for table in tables])
    pool = PredictionTable(rows, dict(tables[0].metadata) | {"bundle_id": "pooled out of fold"})
    shares = class_shares(rows, pool.classes) if recipe.training.reweights_classes else None
    return calibrate_by_fold(pool, wanted(recipe), shares=shares)[0]


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
    calibration, points = fit_table(
        rows,
        split.classes,
        split.positive_classes,
        wanted(recipe),
        shares=class_shares(rows, split.classes) if recipe.training.reweights_classes else None,
        fitted_on="out-of-fold rows of all subjects",
    )
    made = draft(recipe, fitted.network, everybody, prepared)
    path = made.write(out / MODEL)
    check_agreement(fitted.network, path, prepared, some_of(known), calibration)
    pools = [partition.pool for partition in partitions]
    metrics, evidence = read_partitions(pools, split, without=without)
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
        reference_readings=read_people(pools, points),
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
