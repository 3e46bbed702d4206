"""One run of a study, in a process of its own: weights found, need counted, trained, timed, recorded."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from leukoscope.cohort.manifest import Manifest
from leukoscope.core.progress import say
from leukoscope.errors import LeukoscopeError, TrainingInterruptedError
from leukoscope.inference.predictor import Predictor
from leukoscope.recipes.schema import Recipe, load_recipe
from leukoscope.studies.energy import Meter, peak_memory
from leukoscope.studies.folds import train_partition
from leukoscope.studies.gap import histories
from leukoscope.studies.hold import (
    actual_device,
    free_bytes,
    machine_rate,
    measure_need,
    too_large,
    too_long,
)
from leukoscope.studies.outcome import Cost, Job, Need, Outcome, fingerprint
from leukoscope.studies.pretrained import HUB, NOT_PRESENT, find_weights
from leukoscope.studies.run import MODEL, claim, train_split
from leukoscope.training.fit import Hardware

NUM_TIMED = 32
"""Cells that the finished bundle is timed on."""


def conduct(job: Job) -> Outcome:
    """Do one run, write its ``outcome.json``, and give it.

    Nothing is raised but an interruption: whatever goes wrong is the run's outcome, so that a study of many
    recipes does not end with one of them.
    """
    try:
        outcome = _conduct(job)
    except TrainingInterruptedError:
        outcome = Outcome(status="interrupted")
    except LeukoscopeError as error:
        outcome = Outcome(status="failed", reason=error.message, hint=error.hint)
    except (MemoryError, torch.OutOfMemoryError):
        outcome = Outcome(
            status="failed", reason="the memory was not enough", hint="lower training.batch_size"
        )
    except Exception as error:  # a defect of one recipe
        say(f"{job.words}: unexpected {type(error).__name__}: {error}")
        outcome = Outcome(status="failed", reason=f"unexpected {type(error).__name__}: {_first_line(error)}")
    outcome.write(job.folder)
    return outcome


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "")


def _conduct(job: Job) -> Outcome:
    recipe, words = _starting(job)
    if recipe is None:
        return Outcome(status="absent", reason=NOT_PRESENT)
    split = Manifest.read(job.split)
    need = job.need or measure_need(recipe, len(split.classes))
    device = actual_device(job.device)
    if reason := _cannot(job, recipe, split, need, device):
        return Outcome(status="skipped", reason=reason, need=need)
    resumed = claim(job.folder, recipe, split, resume=True)
    with Meter() as meter:
        trained = _train(recipe, split, job.folder, device)
    if trained.interrupted:
        return Outcome(status="interrupted")
    cost = Cost(
        **_timing(job.folder, recipe, split),
        predicted_per_second=_prediction_rate(trained.bundle, split),
        memory_bytes=peak_memory(),
        gpu_bytes=torch.cuda.max_memory_allocated() if device == "cuda" else None,
        energy=meter.energy,
        resumed=resumed,
    )
    _tidy(job)
    return Outcome(
        status="done",
        recipe=fingerprint(recipe),
        weights=words,
        need=need,
        cost=cost,
        best_epochs=trained.best_epochs,
    )


def _starting(job: Job) -> tuple[Recipe | None, str]:
    """The recipe with the weights that the job asks for; ``None`` where these are not there."""
    if job.weights == "none":
        return load_recipe(job.source, [*job.settings, *_seeded(job), "model.weights=none"]), "random"
    given = find_weights(load_recipe(job.source, job.settings), job.weights_folder, download=job.download)
    if given is None:
        return None, ""
    if given.setting == HUB and not job.download:
        os.environ["HF_HUB_OFFLINE"] = "1"
    setting = f"model.weights={json.dumps(given.setting)}"
    return load_recipe(job.source, [*job.settings, *_seeded(job), setting]), given.words


def _seeded(job: Job) -> list[str]:
    return [f"training.seed={job.seed}"]


def _cannot(job: Job, recipe: Recipe, split: Manifest, need: Need, device: str) -> str:
    if reason := too_large(need, free_bytes(device)):
        return reason
    if not job.hours:
        return ""
    return too_long(need, _num_trained(recipe, split), machine_rate(device), job.hours)


def _num_trained(recipe: Recipe, split: Manifest) -> int:
    """Cells that are trained on, all epochs and folds together."""
    folds = int(split.metadata.get("folds", 1))
    here = int((split.frame["split"] == "train").sum())
    return (recipe.training.cells_per_epoch or here) * recipe.training.all_epochs * folds


@dataclass(frozen=True)
class Trained:
    """What there is after training: a bundle (with folds the first one's), the kept epoch of each fold."""

    bundle: Path
    best_epochs: tuple[int, ...]
    interrupted: bool


def _train(recipe: Recipe, split: Manifest, folder: Path, device: str) -> Trained:
    hardware = Hardware(device=device)
    if "folds" in split.metadata:
        partition = train_partition(recipe, split, folder, resume=True, hardware=hardware)
        runs = partition.runs
    else:
        runs = [train_split(recipe, split, folder, resume=True, hardware=hardware)]
    return Trained(
        runs[0].bundle, tuple(run.best_epoch for run in runs), any(run.interrupted for run in runs)
    )


def _timing(folder: Path, recipe: Recipe, split: Manifest) -> dict[str, float]:
    """Seconds of all epochs, and cells trained on in each; also of epochs before an interruption."""
    epochs = [row for history in histories(folder) for row in history]
    seconds = float(sum(row["seconds"] for row in epochs))
    cells = recipe.training.cells_per_epoch or int((split.frame["split"] == "train").sum())
    return {"seconds": seconds, "cells_per_second": cells * len(epochs) / max(seconds, 1e-9)}


def _prediction_rate(bundle: Path, split: Manifest) -> float | None:
    """Cells a second from file to answer, on the first of the test cells."""
    test = split.frame.filter(split.frame["split"] == "test").head(NUM_TIMED)
    if not test.height:
        return None
    predictor = Predictor(bundle)
    predictor.predict(split.with_frame(test.head(1)))
    started = time.perf_counter()
    predictor.predict(split.with_frame(test))
    return test.height / (time.perf_counter() - started)


def _tidy(job: Job) -> None:
    """Checkpoints of a finished run are of no use any more; the bundles hold the weights that were kept."""
    for folder in (job.folder, *(job.folder / "folds").glob("*")):
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        if not job.keep_models:
            shutil.rmtree(folder / MODEL, ignore_errors=True)
