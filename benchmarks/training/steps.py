"""The same network twice: in a plain loop of torch on a tensor in memory, and in the fit of the package."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from leukoscope.models.backbone import is_backbone
from leukoscope.models.create import create_model
from leukoscope.recipes import Recipe, load_recipe
from leukoscope.recipes.schema import TrainingChoice
from leukoscope.training import fit as fit_module
from leukoscope.training.fit import Fit, Hardware, TrainingCells, build_network, fit
from leukoscope.training.module import AUXILIARY_WEIGHT
from leukoscope.training.phases import Phases

NUM_SUBJECTS = 8
OPTIMISERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "adamax": torch.optim.Adamax}


def phase_recipe(name: str, phase: int, *, epochs: int, weights: Path | None) -> Recipe:
    """One phase of a recipe as a recipe of its own, without what is not a step: early stopping, the refit of
    the last layer.

    Args:
        name: of the recipe.
        phase: its number, from 0.
        epochs: how many to fit.
        weights: file to start from; ``None`` starts from random weights, which freezes nothing.
    """
    recipe = load_recipe(name, [f"model.weights={weights or 'none'}"])
    chosen = recipe.training.phases[phase]
    only = {"epochs": epochs, "learning_rate": chosen.learning_rate, "freeze": chosen.freeze}
    rest = {"later_phases": (), "patience": 0, "refit_head": 0.0, "cells_per_epoch": 0, "warmup_steps": 0}
    return recipe.model_copy(update={"training": recipe.training.model_copy(update=only | rest)})


@contextmanager
def stand_in_weights(name: str) -> Iterator[Path | None]:
    """Random weights as a file where the recipe freezes parts of a network of timm: frozen parts need given
    weights, and their speed does not depend on what is in them."""
    recipe = load_recipe(name)
    freezes = any(phase.freeze for phase in recipe.training.phases)
    if not freezes or not is_backbone(recipe.model.name):
        yield None
        return
    network = create_model(recipe.model.name, size=recipe.preprocess.size, **recipe.model.built_with())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.safetensors"
        save_file({key: value.contiguous() for key, value in network.trunk.state_dict().items()}, path)
        yield path


@contextmanager
def generated_cells(num: int, size: int) -> Iterator[TrainingCells]:
    """Noise as a memory-mapped cache (N, S, S, 3), two classes, a few subjects."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cells.npy"
        np.save(path, rng.integers(0, 256, (num, size, size, 3), dtype=np.uint8))
        labels = (np.arange(num) % 2).astype(np.int64)
        groups = np.array([f"s{number % NUM_SUBJECTS}" for number in range(num)])
        yield TrainingCells(np.load(path, mmap_mode="r"), labels, groups, [False, True])


@dataclass(frozen=True)
class Way:
    """How the plain loop computes: each of the four things that might make it faster."""

    channels_last: bool = True
    fused: bool = False
    bf16: bool = False
    compiled: bool = False


class PlainLoop:
    """The network of a recipe's only phase, its optimiser, its batches, nothing else.

    Pixels are a float tensor on the device, in the order of memory that the network wants; nothing is varied,
    counted, averaged or written.
    """

    def __init__(self, recipe: Recipe, data: TrainingCells, *, device: str = "cpu", way: Way = Way()) -> None:
        self.batch, self.device, self.way = recipe.training.batch_size, torch.device(device), way
        order = torch.channels_last if way.channels_last else torch.contiguous_format
        pixels = torch.from_numpy(np.array(data.cells)).permute(0, 3, 1, 2).float()
        self.pixels = pixels.contiguous(memory_format=order).to(self.device)
        self.labels = torch.from_numpy(data.labels).to(self.device)
        network = build_network(recipe.model, len(data.positive), data.cells[:64], seed=0)
        started = recipe.model.weights != "none"
        phases = Phases(network, recipe.training.phases, recipe.augmentation, started=started)
        phases.enter(0)
        network.to(self.device).to(memory_format=order).train()
        phases.settle()
        self.network = network
        self.optimiser = optimiser(recipe.training, phases.learnt, fused=way.fused)
        self.read = torch.compile(network.read) if way.compiled else network.read

    def epoch(self) -> float:
        """Seconds of one pass over all whole batches, in random order."""
        order = torch.randperm(len(self.labels), device=self.device)
        started = time.perf_counter()
        for index in order[: len(order) // self.batch * self.batch].split(self.batch):
            self.step(self.pixels[index], self.labels[index])
        self.wait()
        return time.perf_counter() - started

    def step(self, pixels: Tensor, labels: Tensor) -> None:
        self.optimiser.zero_grad()
        half = torch.autocast(self.device.type, torch.bfloat16) if self.way.bf16 else nullcontext()
        with half:
            outputs = self.read(pixels)
            loss = nn.functional.cross_entropy(outputs.logits, labels)
            for logits in outputs.auxiliary:
                loss = loss + AUXILIARY_WEIGHT * nn.functional.cross_entropy(logits, labels)
            if outputs.penalty is not None:
                loss = loss + outputs.penalty
        loss.backward()
        self.optimiser.step()

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def optimiser(settings: TrainingChoice, learnt: list[nn.Parameter], *, fused: bool) -> torch.optim.Optimizer:
    extra: dict[str, Any] = {"fused": True} if fused else {}
    if settings.optimiser == "sgd":
        momentum = settings.momentum
        return torch.optim.SGD(learnt, settings.learning_rate, momentum, nesterov=momentum > 0, **extra)
    return OPTIMISERS[settings.optimiser](learnt, lr=settings.learning_rate, **extra)


def fit_with_pauses(
    recipe: Recipe, data: TrainingCells, pause: Callable[[], None], *, device: str = "cpu"
) -> Fit:
    """The package's own fit of all cells; ``pause`` is called behind every epoch, when it is written."""

    class Pausing:
        def advance(self, steps: int = 1) -> None:
            """Steps are not shown."""

        def note(self, text: str) -> None:
            pause()

    @contextmanager
    def pausing(description: str, total: int | None = None) -> Iterator[Pausing]:
        yield Pausing()

    every = np.arange(len(data.labels))
    with tempfile.TemporaryDirectory() as folder, patch.object(fit_module, "progress", pausing):
        return fit(
            recipe,
            data,
            train=every,
            validation=every[:0],
            folder=Path(folder),
            hardware=Hardware(device),
        )
