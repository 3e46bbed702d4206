"""One fit: from cells and positions to the best weights, resumable after any interruption."""

from __future__ import annotations

import logging
import math
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from leukoscope.core.files import sha256_file
from leukoscope.core.progress import progress
from leukoscope.errors import TrainingError, TrainingInterruptedError
from leukoscope.models.adapters import add_adapters, merge_adapters
from leukoscope.models.base import CellNetwork
from leukoscope.models.create import create_model
from leukoscope.recipes.schema import ModelChoice, Recipe
from leukoscope.training.cache import Cells
from leukoscope.training.data import CellData
from leukoscope.training.draw import Index
from leukoscope.training.keeper import BEST, LAST, InterruptedFit, Keeper
from leukoscope.training.losses import class_weights
from leukoscope.training.memory import give_back_freed_memory, keep_freed_memory
from leukoscope.training.module import CellModule
from leukoscope.training.refit import refit_head, refittable_head

NUM_STARTING_CELLS = 128


@dataclass(frozen=True)
class Hardware:
    """Where to fit: ``device`` auto, cpu, cuda or mps; processes on this machine; machines."""

    device: str = "auto"
    devices: int = 1
    nodes: int = 1


@dataclass(frozen=True)
class Fit:
    """A finished or interrupted fit: the best network, its epoch (from 1), all epochs' metrics."""

    network: CellNetwork
    best_epoch: int
    history: list[dict[str, Any]]
    interrupted: bool


@dataclass(frozen=True)
class TrainingCells:
    """What a fit reads: all cells of the cache, and of each the class and the subject (or duplicate
    group)."""

    cells: Cells
    labels: NDArray[np.int64]
    groups: NDArray[np.str_]
    positive: list[bool]


def fit(
    recipe: Recipe,
    data: TrainingCells,
    *,
    train: Index,
    validation: Index,
    folder: Path,
    hardware: Hardware = Hardware(),
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
    _check(data, train)
    keep_freed_memory()
    some = np.sort(np.random.default_rng(recipe.training.seed).permutation(train)[:NUM_STARTING_CELLS])
    network = build_network(recipe.model, len(data.positive), data.cells[some], seed=recipe.training.seed)
    if recipe.training.refit_head:
        refittable_head(network)  # says so now rather than when the epochs are over
    cells = CellData(
        data.cells, data.labels, data.groups, train=train, validation=validation, settings=recipe.training
    )
    module = CellModule(
        network,
        recipe.augmentation,
        recipe.training,
        started=recipe.model.weights != "none",
        class_weights=_class_weights(recipe, data, cells),
    )
    checkpoint = folder / "checkpoints" / LAST
    epochs = stop_after or recipe.training.all_epochs
    with progress(f"training {recipe.name}", epochs * len(cells.draw)) as bar, _quiet():
        keeper = Keeper(folder, recipe.training, data.positive, bar, stop_after=stop_after)
        start = checkpoint if resume and checkpoint.is_file() else None
        if start is not None:
            keeper.load_state_dict(torch.load(start, weights_only=True)["callbacks"][keeper.state_key])
        if not keeper.finished:
            with _stop_on_interrupt(keeper), suppress(InterruptedFit):
                _trainer(recipe, hardware, keeper).fit(module, cells, ckpt_path=start)
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


def _class_weights(recipe: Recipe, data: TrainingCells, cells: CellData) -> Tensor | None:
    if recipe.training.class_balance != "loss":
        return None
    labels = data.labels[cells.draw.positions]
    found = class_weights(labels, cells.draw.weights, num_classes=len(data.positive))
    return torch.from_numpy(found).float()


BOTH_WAYS = (
    "with a connection timm gets them from the model hub; without one give a local safetensors file: "
    "--set model.weights=FILE; --set model.weights=none starts from random weights, and says so"
)


def build_network(choice: ModelChoice, num_classes: int, cells: Cells, *, seed: int) -> CellNetwork:
    """The recipe's network with its starting weights: seeded random ones, those of the model hub, or those of
    a safetensors file; with adapters where the recipe has them.

    Args:
        choice: name, arguments, weights.
        num_classes: K.
        cells: some of the cells to be trained on, (N, S, S, 3) uint8.
        seed: of the random weights.

    Raises:
        TrainingError: when the weights cannot be had, are others than they should be, or do not fit.
    """
    torch.manual_seed(seed)
    network = create_model(choice.name, num_classes=num_classes, size=cells.shape[1], **choice.built_with())
    if choice.weights != "none":
        try:
            _start(network, choice, cells)
        except TrainingError as error:
            raise TrainingError(
                f"model.weights: {choice.weights}: {error.message}", hint=error.hint or BOTH_WAYS
            ) from None
    if choice.lora is not None:
        if choice.weights == "none":
            raise TrainingError(
                "model.lora: adapters stand beside given weights, and model.weights is none", hint=BOTH_WAYS
            )
        add_adapters(network, choice.lora)
    return network


def _start(network: CellNetwork, choice: ModelChoice, cells: Cells) -> None:
    if choice.weights == "imagenet":
        network.start_from_hub()
        return
    path = Path(choice.weights)
    given = _weights_of_file(path)
    if choice.weights_sha256 and (found := sha256_file(path)) != choice.weights_sha256:
        raise TrainingError(
            f"its SHA-256 is {found}, expected {choice.weights_sha256}",
            hint="take the file that was meant, or correct model.weights_sha256",
        )
    network.start_from(given, torch.tensor(cells).permute(0, 3, 1, 2).float())


def _weights_of_file(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"it cannot be read: {error}") from None


def _check(data: TrainingCells, train: Index) -> None:
    found = np.unique(data.labels[train])
    if len(found) < 2:
        raise TrainingError(
            f"training needs cells of at least two classes. Received: {len(train)} cells of {len(found)}",
            hint="look at the split with 'leukoscope data audit'",
        )


def _trainer(recipe: Recipe, hardware: Hardware, keeper: Keeper) -> lightning.Trainer:
    many = hardware.devices * hardware.nodes > 1
    several = len(recipe.training.later_phases) > 0
    cuda = hardware.device in ("auto", "cuda") and torch.cuda.is_available()
    wanted = recipe.training.precision
    bf16 = wanted == "bf16" or (wanted == "auto" and cuda and torch.cuda.is_bf16_supported())
    return lightning.Trainer(
        accelerator=hardware.device,
        devices=hardware.devices,
        num_nodes=hardware.nodes,
        strategy=("ddp_find_unused_parameters_true" if several else "ddp") if many else "auto",
        reload_dataloaders_every_n_epochs=1 if several else 0,
        precision="bf16-mixed" if bf16 else "32-true",
        max_epochs=recipe.training.all_epochs,
        callbacks=[keeper],
        default_root_dir=keeper.folder,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


@contextmanager
def _stop_on_interrupt(keeper: Keeper) -> Iterator[None]:
    """The first Ctrl-C ends the fit after the current batch and keeps the best so far; the second ends the
    program."""

    def ask(number: int, frame: Any) -> None:
        if keeper.interrupted:
            raise KeyboardInterrupt
        keeper.interrupted = True

    try:
        before = signal.signal(signal.SIGINT, ask)
    except ValueError:  # not in the main thread: whoever runs this thread stops it
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Lightning's banners and advice are for its own users."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)
