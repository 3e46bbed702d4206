"""One fit: from cells and positions to the best weights, resumable after any interruption."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from leukoscope.core.progress import Unseen, progress
from leukoscope.errors import TrainingError, TrainingInterruptedError
from leukoscope.models.adapters import merge_adapters
from leukoscope.models.base import CellNetwork
from leukoscope.recipes.schema import Recipe
from leukoscope.training.draw import Index
from leukoscope.training.epochs import prepare_fit, run_epochs
from leukoscope.training.job import Hardware, Job, TrainingCells
from leukoscope.training.keeper import BEST
from leukoscope.training.memory import give_back_freed_memory, keep_freed_memory
from leukoscope.training.refit import refit_head
from leukoscope.training.start import build_network

__all__ = ["Fit", "Hardware", "TrainingCells", "build_network", "fit", "take_part"]


@dataclass(frozen=True)
class Fit:
    """A finished or interrupted fit: the best network, its epoch (from 1), all epochs' metrics."""

    network: CellNetwork
    best_epoch: int
    history: list[dict[str, Any]]
    interrupted: bool


def fit(
    recipe: Recipe,
    data: TrainingCells,
    *,
    train: Index,
    validation: Index,
    folder: Path,
    hardware: Hardware = Hardware(),  # noqa: B008 - frozen
    resume: bool = False,
    stop_after: int = 0,
) -> Fit:
    """Fit the recipe's network.

    Args:
        recipe: network, augmentation, training.
        data: the cells.
        train: positions of the cells to fit on.
        validation: positions of the cells to choose the epoch on; empty: the last epoch is kept.
        folder: gets ``metrics.jsonl`` and ``checkpoints/``.
        hardware: where to run.
        resume: go on from the last finished epoch in ``folder`` if there is one.
        stop_after: stop after this many epochs although the schedule is longer; 0 for none.

    Raises:
        TrainingError: when there is nothing to fit on, when the loss is no number, or when the user
            interrupted before the first epoch was done.
    """
    job = Job(recipe, data, train, validation, folder, hardware, resume, stop_after)
    keep_freed_memory()
    module, cells = prepare_fit(job)
    network = module.network
    with progress(f"training {recipe.name}", job.num_epochs * len(cells.draw)) as bar:
        keeper = run_epochs(job, module, cells, bar)
    give_back_freed_memory()
    if keeper.best_epoch < 0:
        raise TrainingInterruptedError("no epoch was finished", hint="--resume starts again")
    if not all(math.isfinite(row["train_loss"]) for row in keeper.history):
        raise TrainingError("the training loss is not a number any more", hint="lower training.learning_rate")
    network.load_state_dict(load_file(folder / "checkpoints" / BEST))
    if recipe.model.lora:
        merge_adapters(network)
    network.requires_grad_(True).cpu().eval()
    if recipe.training.refit_head:
        refit_head(
            network,
            data.cells,
            train,
            data.labels[train],
            cells.draw.weights,
            groups=data.groups[train],
            strength=recipe.training.refit_head,
            subject_penalty=recipe.training.subject_penalty,
        )
    return Fit(network, keeper.best_epoch, keeper.history, keeper.interrupted)


def take_part(job: Job, number: int = 0) -> bool:
    """Be a process of a fit that another one leads, and keep nothing; whether the user interrupted it.

    Args:
        job: the fit.
        number: of this process on this machine.
    """
    keep_freed_memory()
    module, cells = prepare_fit(job)
    interrupted = run_epochs(job, module, cells, Unseen(), number=number).interrupted
    give_back_freed_memory()
    return interrupted
