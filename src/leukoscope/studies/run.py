"""One training run: from a source and a recipe to ``RUN/`` with its bundle and its predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from leukoscope.cohort.manifest import Manifest
from leukoscope.cohort.splits import fold_roles
from leukoscope.core.config import read_yaml, write_yaml
from leukoscope.core.files import write_json, write_text
from leukoscope.core.progress import say
from leukoscope.core.provenance import provenance
from leukoscope.errors import TrainingError, UsageError
from leukoscope.evaluation.partitions import read_partitions
from leukoscope.evaluation.people import read_people
from leukoscope.evaluation.readings import Metric
from leukoscope.evaluation.table import PredictionTable
from leukoscope.inference.predictor import Predictor
from leukoscope.recipes.schema import Recipe, load_recipe
from leukoscope.studies.judge import (
    check_agreement,
    draft,
    novelty,
    read_cells,
    read_limits,
    table_of,
)
from leukoscope.studies.prepare import Prepared, open_split, prepare
from leukoscope.studies.preview import PREVIEW
from leukoscope.training.curves import draw_curves
from leukoscope.training.fit import Fit, fit
from leukoscope.training.fit import take_part as join
from leukoscope.training.job import Hardware, Job

CONFIG, PREDICTIONS, MODEL = "config.yaml", "predictions.parquet", "model.leuko"
PROVENANCE = "provenance.json"
BEFORE_A_RUN = {CONFIG, PROVENANCE, PREVIEW}
"""What may be in a folder that holds nothing of a run yet, such as one whose weights could not be had."""
WORDS = {"title", "source", "published", "choices"}
"""What a recipe says in words; it decides nothing, so a run can go on after it was corrected."""

JUDGED_ROLES = ("validation", "calibration", "test")


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        path: its folder.
        bundle: ``model.leuko`` in it.
        predictions: ``predictions.parquet`` in it.
        best_epoch: the epoch that was kept (with folds: the number of epochs of the shipped model).
        metrics: of the test cells (with folds: out of fold), by name; empty where nothing was tested.
        interrupted: the user stopped the training; everything is from the best epoch until then.
    """

    path: Path
    bundle: Path
    predictions: Path
    best_epoch: int
    metrics: dict[str, Metric]
    interrupted: bool = False


def train(
    recipe: str,
    data: Path,
    out: Path,
    *,
    fold: int | Literal["all"] | None = None,
    settings: Sequence[str] = (),
    resume: bool = False,
    hardware: Hardware = Hardware(),  # noqa: B008 - frozen
    num_folds: int = 5,
) -> Run:
    """Train a recipe and judge it on the cells of its test subjects.

    Args:
        recipe: a recipe's name, or a YAML file.
        data: any SOURCE; an unsplit one is split by subject, and the user is told how.
        out: the run's folder.
        fold: one fold of ``grouped-kfold``, or ``"all"`` for every fold and one model of all subjects.
        settings: ``KEY=VALUE`` changes of the recipe.
        resume: go on with what is in ``out``.
        hardware: where to train.
        num_folds: folds of a source that is not split yet.

    Raises:
        UsageError: when ``out`` holds something and ``resume`` is not given, or the folds do not fit the
        split. TrainingError: when the run cannot start, go on or be believed.
    """
    if fold == "all" and hardware.nodes > 1:
        raise UsageError(
            "--fold all is many fits, and several machines meet for one",
            hint="--fold 0, --fold 1, ... in turn",
        )
    chosen, split = _opened(recipe, data, fold=fold, settings=settings, num_folds=num_folds)
    claim(out, chosen, split, fold=fold, resume=resume)
    if fold == "all":
        from leukoscope.studies.folds import train_folds

        return train_folds(chosen, split, out, resume=resume, hardware=hardware)
    roles = split if fold is None else fold_roles(split, fold)
    return train_split(chosen, roles, out, resume=resume, hardware=hardware)


def take_part(
    recipe: str,
    data: Path,
    out: Path,
    *,
    fold: int | None = None,
    settings: Sequence[str] = (),
    resume: bool = False,
    hardware: Hardware,
    num_folds: int = 5,
) -> bool:
    """What the machines beside the first do in :func:`train` of several: fit with it, and write nothing of
    the run; whether the user interrupted.

    Args:
        recipe, data, out, fold, settings, resume, num_folds: as the first machine has them.
        hardware: with the number of this machine.

    Raises:
        TrainingError: when the first machine does not come, trains something else, or ends.
    """
    chosen, split = _opened(recipe, data, fold=fold, settings=settings, num_folds=num_folds)
    prepared = prepare(split if fold is None else fold_roles(split, fold), chosen.preprocess)
    train, validation = prepared.positions("train"), prepared.positions("validation")
    return join(Job(chosen, prepared.data, train, validation, out, hardware, resume))


def _opened(
    recipe: str,
    data: Path,
    *,
    fold: int | Literal["all"] | None,
    settings: Sequence[str],
    num_folds: int,
) -> tuple[Recipe, Manifest]:
    chosen = load_recipe(recipe, settings)
    split = open_split(data, folds=fold is not None, num_folds=num_folds, seed=chosen.training.seed)
    if fold is None and "folds" in split.metadata:
        raise UsageError(
            f"{data} is split into {split.metadata['folds']} folds",
            hint="say which to train: --fold 0, or --fold all",
        )
    return chosen, split


def claim(out: Path, recipe: Recipe, split: Manifest, *, fold: object = None, resume: bool) -> bool:
    """Make ``out`` this run's folder, or make sure that it is; whether it was already.

    Args:
        out: the folder.
        recipe, split, fold: what the run is of.
        resume: whether the run may go on with what is there.

    Raises:
        UsageError: when it holds something else, or this run and ``resume`` is not given.
        TrainingError: when it holds a run of another recipe, setting or split.
    """
    config = {
        "recipe": recipe.model_dump(mode="json", exclude=WORDS),
        "data": {
            "fingerprint": split.fingerprint(),
            "protocol": split.metadata.get("protocol", ""),
            "unit": split.metadata.get("unit", ""),
            "seed": split.metadata.get("seed", ""),
            "fold": fold,
        },
    }
    path = out / CONFIG
    found = {entry.name for entry in out.iterdir()} if out.exists() else set()
    claimed = bool(found - BEFORE_A_RUN)
    if claimed:
        if not path.is_file():
            raise UsageError(f"{out} is not empty and holds no run", hint="name another --out")
        if not resume:
            raise UsageError(
                f"{out} holds a run already", hint="add --resume to go on with it, or name another --out"
            )
        if read_yaml(path) != config:
            raise TrainingError(
                f"{out} holds a run of another recipe, setting or split",
                hint="name another --out, or repeat its settings",
            )
    write_text(path, write_yaml(config))
    write_json(out / PROVENANCE, provenance(data=dict(split.metadata) | {"root": str(split.root)}))
    return claimed


def train_split(recipe: Recipe, split: Manifest, out: Path, *, resume: bool, hardware: Hardware) -> Run:
    """One fit on a split with roles, its bundle, its predictions.

    Calibration and operating points are fitted on the calibration subjects; where the protocol has none, on
    the validation subjects, and the bundle says so.

    Raises:
        UsageError: when the recipe calibrates two classes, and there are more.
    """
    if recipe.calibration not in ("auto", "temperature") and len(split.classes) != 2:
        raise UsageError(
            f"{recipe.calibration} calibration is for two classes, there are {len(split.classes)}",
            hint="--set calibration=temperature",
        )
    prepared = prepare(split, recipe.preprocess)
    fitted = fit(
        recipe,
        prepared.data,
        train=prepared.positions("train"),
        validation=prepared.positions("validation"),
        folder=out,
        hardware=hardware,
        resume=resume,
    )
    draw_curves(fitted.history, fitted.best_epoch, out / "curves.svg")
    metrics = write_model(recipe, split, prepared, fitted, out / MODEL)
    predict_roles(out / MODEL, split, JUDGED_ROLES).write(out / PREDICTIONS)
    return Run(out, out / MODEL, out / PREDICTIONS, fitted.best_epoch, metrics, fitted.interrupted)


def write_model(
    recipe: Recipe, split: Manifest, prepared: Prepared, fitted: Fit, path: Path
) -> dict[str, Metric]:
    """The bundle of one fit; gives the metrics of its test cells."""
    made = draft(recipe, fitted.network, split, prepared)
    made.write(path)
    known = prepared.positions(*JUDGED_ROLES)
    readings = read_cells(path, prepared, known)
    held_out = "calibration" if len(prepared.positions("calibration")) else "validation"
    held = readings.at(prepared.positions(held_out))
    limits = read_limits(prepared, recipe, held, fitted_on=f"{held_out} subjects")
    test = prepared.positions("test")
    check_agreement(fitted.network, path, prepared, test if len(test) else known, limits.calibration)
    kept, limit = novelty(
        prepared,
        read_cells(path, prepared, some_of(prepared.positions("train")), views=1),
        held,
        fitted_on=f"{held_out} subjects",
    )
    made = made.knowing(kept, calibration=limits.calibration, operating_points=limits.points, novelty=limit)
    metrics: dict[str, Metric] = {}
    evidence = people = None
    if len(test):
        table = table_of(prepared, readings.at(test), made)
        metrics, evidence = read_partitions([table], split)
        people = read_people([table], limits.points)
    made.knowing(
        metrics=metrics,
        evidence=evidence,
        reference_readings=people,
        metrics_on="test subjects" if len(test) else "",
    ).write(path)
    return metrics


def some_of(positions: np.ndarray, num: int = 2048) -> np.ndarray:
    """At most ``num`` of these positions, evenly spread, ascending: enough to choose references from."""
    return (
        positions
        if len(positions) <= num
        else positions[np.linspace(0, len(positions) - 1, num).astype(np.int64)]
    )


def predict_roles(bundle: Path, split: Manifest, roles: Sequence[str]) -> PredictionTable:
    """The prediction table of these roles' cells, read from their files by the finished bundle."""
    chosen = split.with_frame(split.frame.filter(pl.col("split").is_in(list(roles))))
    say(f"predicting {len(chosen):,} cells of {', '.join(roles)} with the finished bundle")
    return Predictor(bundle).predict(chosen)
