"""The Lightning side of a fit: which batches, which loss, which optimiser, and the running average of the
weights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Self

import lightning
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset, Sampler

from leukoscope.core.config import nearest
from leukoscope.errors import ConfigError
from leukoscope.models.base import CellNetwork
from leukoscope.recipes.schema import Augmentation, TrainingChoice
from leukoscope.training.augment import augment
from leukoscope.training.cache import Cells
from leukoscope.training.draw import Index, cell_weights, draw_epoch

Batch = tuple[Tensor, Tensor]


class CellBatches(Dataset[Batch]):
    """Batches of cells by their positions: cells (B, S, S, 3) uint8 and labels (B,) int64."""

    def __init__(self, cells: Cells, labels: NDArray[np.int64]) -> None:
        self.cells, self.labels = cells, labels

    def __getitem__(self, index: Index) -> Batch:
        ordered = np.sort(index)  # neighbours in the memory map are read together
        back = np.searchsorted(ordered, index)
        return torch.from_numpy(self.cells[ordered][back]), torch.from_numpy(self.labels[index])


class EpochDraw(Sampler[Index]):
    """Batches of positions for one epoch after another; under several processes, each takes its share of a
    batch."""

    def __init__(self, positions: Index, weights: NDArray[np.float64], settings: TrainingChoice) -> None:
        self.positions, self.weights, self.settings = positions, weights, settings
        self.epoch, self.rank, self.world = 0, 0, 1

    def set_epoch(self, epoch: int) -> None:
        """Draw this epoch next; Lightning calls it."""
        self.epoch = epoch

    def __len__(self) -> int:
        count = self.settings.cells_per_epoch or len(self.positions)
        return max(count // self.settings.batch_size, 1)

    def __iter__(self) -> Iterator[Index]:
        drawn = self.positions[draw_epoch(self.weights, self.settings, epoch=self.epoch)]
        for batch in np.array_split(drawn, len(self)):
            yield batch[self.rank :: self.world]


class CellData(lightning.LightningDataModule):
    """Training batches drawn anew each epoch, validation cells in order.

    Args:
        cells: all cells of the cache.
        labels: (N,) class of each, -1 where unknown.
        groups: (N,) subject or duplicate group of each.
        train, validation: positions of the cells of either role; ``validation`` may be empty.
        settings: batch size, balance, seed.
    """

    def __init__(
        self,
        cells: Cells,
        labels: NDArray[np.int64],
        groups: NDArray[np.str_],
        *,
        train: Index,
        validation: Index,
        settings: TrainingChoice,
    ) -> None:
        super().__init__()
        self.source = CellBatches(cells, labels)
        self.validation, self.settings = validation, settings
        weights = cell_weights(
            labels[train],
            groups[train],
            class_balance=settings.class_balance,
            subject_balance=settings.subject_balance,
        )
        self.draw = EpochDraw(train, weights, settings)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Batches of one epoch."""
        if self.trainer is not None:
            self.draw.rank, self.draw.world = self.trainer.global_rank, self.trainer.world_size
        return DataLoader(self.source, sampler=self.draw, batch_size=None)

    def val_dataloader(self) -> DataLoader[Batch] | list[Any]:
        """All validation cells in order, in every process."""
        if not len(self.validation):
            return []
        parts = np.array_split(self.validation, math.ceil(len(self.validation) / 256))
        return DataLoader(self.source, sampler=parts, batch_size=None)


class CellModule(lightning.LightningModule):
    """One network being fitted, with the running average of its weights.

    Seeds are set before every batch from the recipe's seed, the epoch and the batch, so an epoch is the same
    whether the run came to it or was resumed there.

    Args:
        network: with its starting weights.
        augmentation, settings: of the recipe.
        started: whether the weights were given, so that ``trunk_rate`` and ``freeze`` hold, and not random.

    Raises:
        ConfigError: when ``freeze`` names a part that the network does not have.
    """

    def __init__(
        self, network: CellNetwork, augmentation: Augmentation, settings: TrainingChoice, *, started: bool
    ) -> None:
        super().__init__()
        self.trunk_rate = settings.trunk_rate if started else 1.0
        self.frozen = [part_of(network, name) for name in settings.freeze] if started else []
        for part in self.frozen:
            part.requires_grad_(False)
        self.network = network.to(memory_format=torch.channels_last)
        self.augmentation, self.settings = augmentation, settings
        self.average: AveragedModel | None = None
        if settings.average:
            self.average = AveragedModel(
                network, multi_avg_fn=_warm_average(settings.average), use_buffers=True
            )
            self.average.requires_grad_(False)
        self.loss = nn.CrossEntropyLoss(label_smoothing=settings.label_smoothing)
        self.generator = torch.Generator()
        self.training_sums = torch.zeros(3)
        self.validation_logits: list[Tensor] = []
        self.validation_labels: list[Tensor] = []

    @property
    def judged(self) -> CellNetwork:
        """The network that is validated and kept: the averaged one where there is an average."""
        return self.network if self.average is None else self.average.module  # type: ignore[return-value]

    def train(self, mode: bool = True) -> Self:
        """As torch's; what is frozen keeps its batch-norm statistics too."""
        super().train(mode)
        for part in self.frozen:
            part.eval()
        return self

    def on_train_epoch_start(self) -> None:
        """Start the sums of this epoch, in training mode: Lightning leaves modes as it found them."""
        self.train()
        self.training_sums = torch.zeros(3, device=self.device)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed everything that is random: data loaders draw from the global generator at moments of their
        own."""
        key = [self.settings.seed, self.current_epoch, batch_idx, self.global_rank]
        seed = int(np.random.SeedSequence(key).generate_state(1)[0])
        torch.manual_seed(seed)
        self.generator = torch.Generator(self.device).manual_seed(seed)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Cross entropy of the varied cells."""
        cells, labels = batch
        pixels = augment(cells, self.augmentation, self.generator)
        logits = self.network.read(pixels.contiguous(memory_format=torch.channels_last)).logits
        loss: Tensor = self.loss(logits, labels)
        with torch.no_grad():
            right = (logits.argmax(1) == labels).sum()
            self.training_sums += torch.stack([loss * len(labels), right, right.new_tensor(len(labels))])
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_index: int) -> None:
        """Move the average towards the weights."""
        if self.average is not None:
            self.average.update_parameters(self.network)

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Collect what the kept network says of the validation cells."""
        cells, labels = batch
        self.validation_logits.append(self.judged(cells).logits.float().cpu())
        self.validation_labels.append(labels.cpu())

    def on_validation_epoch_start(self) -> None:
        """Forget the epoch before."""
        self.validation_logits, self.validation_labels = [], []

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The recipe's optimiser, trunk and head each at its own rate; no decay of biases."""
        settings = self.settings
        trunk = {id(parameter) for parameter in self.network.trunk.parameters()}
        groups: list[dict[str, Any]] = []
        for in_trunk, share in ((True, self.trunk_rate), (False, 1.0)):
            own = [p for p in self.network.parameters() if p.requires_grad and (id(p) in trunk) == in_trunk]
            rate, decay = settings.learning_rate * share, settings.weight_decay
            groups.append({"params": [p for p in own if p.ndim > 1], "lr": rate, "weight_decay": decay})
            groups.append({"params": [p for p in own if p.ndim <= 1], "lr": rate, "weight_decay": 0.0})
        groups = [group for group in groups if group["params"]]
        optimiser: torch.optim.Optimizer
        if settings.optimiser == "sgd":
            optimiser = torch.optim.SGD(groups, lr=settings.learning_rate, momentum=0.9, nesterov=True)
        else:
            kind = torch.optim.AdamW if settings.optimiser == "adamw" else torch.optim.Adam
            optimiser = kind(groups, lr=settings.learning_rate)
        steps = settings.epochs * len(self.trainer.datamodule.draw)  # type: ignore[attr-defined]
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, steps, settings))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def part_of(network: CellNetwork, name: str) -> nn.Module:
    """The part of the network with that name, such as ``features.3``.

    Raises:
        ConfigError: when there is none.
    """
    try:
        return network.get_submodule(name)
    except AttributeError:
        known = [part for part, _ in network.named_modules() if part]
        guess = nearest(name, known)
        raise ConfigError(
            f"training.freeze: {type(network).__name__} has no part '{name}'",
            hint=f"did you mean '{guess}'?" if guess else f"parts: {', '.join(known[:20])}",
        ) from None


def _rate(step: int, steps: int, settings: TrainingChoice) -> float:
    warm = min(1.0, (step + 1) / settings.warmup_steps) if settings.warmup_steps else 1.0
    if settings.schedule == "constant":
        return warm
    return warm * 0.5 * (1 + math.cos(math.pi * min(step / steps, 1.0)))


def _warm_average(decay: float) -> Any:
    """An exponential average that starts quickly: its decay grows with the number of steps up to
    ``decay``."""

    @torch.no_grad()
    def update(averaged: list[Tensor], current: list[Tensor], count: Tensor | int) -> None:
        steps = float(count)
        part = 1 - min(decay, (1 + steps) / (10 + steps))
        for mean, value in zip(averaged, current, strict=True):
            if mean.is_floating_point():
                mean.lerp_(value.to(mean.dtype), part)
            else:
                mean.copy_(value)

    return update
