"""The epochs of a fit, in each of its processes."""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor

from leukoscope.core.progress import Bar
from leukoscope.errors import TrainingError
from leukoscope.recipes.schema import Recipe
from leukoscope.training.data import CellData
from leukoscope.training.job import Job, TrainingCells
from leukoscope.training.keeper import LAST, InterruptedFit, Keeper
from leukoscope.training.losses import class_weights
from leukoscope.training.module import CellModule
from leukoscope.training.place import Place
from leukoscope.training.processes import company, told_by_the_first
from leukoscope.training.refit import refittable_head
from leukoscope.training.start import build_network

NUM_STARTING_CELLS = 128


def prepare_fit(job: Job) -> tuple[CellModule, CellData]:
    """The network with what trains it, and its cells; the same in every process.

    Raises:
        TrainingError, ConfigError: as :func:`leukoscope.training.fit.fit`.
    """
    recipe, data = job.recipe, job.data
    job.check()
    seed = recipe.training.seed
    some = np.sort(np.random.default_rng(seed).permutation(job.train)[:NUM_STARTING_CELLS])
    network = build_network(recipe.model, len(data.positive), data.cells[some], seed=seed)
    if recipe.training.refit_head:
        refittable_head(network)  # says so now rather than when the epochs are over
    cells = CellData(
        data.cells,
        data.labels,
        data.groups,
        train=job.train,
        validation=job.validation,
        settings=recipe.training,
    )
    module = CellModule(
        network,
        recipe.augmentation,
        recipe.training,
        started=recipe.model.weights != "none",
        class_weights=_class_weights(recipe, data, cells),
    )
    return module, cells


def _class_weights(recipe: Recipe, data: TrainingCells, cells: CellData) -> Tensor | None:
    if recipe.training.class_balance != "loss":
        return None
    labels = data.labels[cells.draw.positions]
    found = class_weights(labels, cells.draw.weights, num_classes=len(data.positive))
    return torch.from_numpy(found).float()


def run_epochs(job: Job, module: CellModule, cells: CellData, bar: Bar, *, number: int = 0) -> Keeper:
    """Train, from the last finished epoch where the job goes on; gives what was kept.

    Args:
        job: the fit.
        module, cells: of :func:`prepare_fit`.
        bar: shows batches.
        number: of this process on this machine; number 0 of machine 0 writes the files.
    """
    first = number == 0 and job.hardware.node == 0
    keeper = Keeper(
        job.folder, job.recipe.training, job.data.positive, bar, stop_after=job.stop_after, writes=first
    )
    checkpoint = job.folder / "checkpoints" / LAST
    goes_on = job.resume and checkpoint.is_file()
    if goes_on:
        keeper.load_state_dict(torch.load(checkpoint, weights_only=True)["callbacks"][keeper.state_key])
    if keeper.finished and job.hardware.nodes == 1:
        return keeper
    with _quiet(), company(job, number) as place:
        goes_on, finished = told_by_the_first((goes_on, keeper.finished))
        if goes_on and not checkpoint.is_file():
            raise TrainingError(
                f"{checkpoint} is not on this machine",
                hint="to go on, several machines need one folder that all of them see as --out",
            )
        if not finished:
            with _stop_on_interrupt(keeper), suppress(InterruptedFit):
                trainer = _trainer(job, module, keeper, place)
                trainer.fit(module, cells, ckpt_path=checkpoint if goes_on else None)
    return keeper


def _trainer(job: Job, module: CellModule, keeper: Keeper, place: Place | None) -> lightning.Trainer:
    recipe, hardware = job.recipe, job.hardware
    several = len(recipe.training.later_phases) > 0
    cuda = hardware.device in ("auto", "cuda") and torch.cuda.is_available()
    wanted = recipe.training.precision
    bf16 = wanted == "bf16" or (wanted == "auto" and cuda and torch.cuda.is_bf16_supported())
    # batch norm's statistics are brought together by the module, once an epoch
    ddp = DDPStrategy(find_unused_parameters=module.phases.thaws, broadcast_buffers=False)
    return lightning.Trainer(
        accelerator=hardware.accelerator,
        devices=hardware.devices,
        num_nodes=hardware.nodes,
        strategy="auto" if place is None else ddp,
        plugins=None if place is None else [place],
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
    except SystemExit:  # Lightning's answer to the second, and to SIGTERM
        raise KeyboardInterrupt from None
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
        try:
            yield
        finally:
            for logger, level in zip(loggers, before, strict=True):
                logger.setLevel(level)
