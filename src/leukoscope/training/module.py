"""The Lightning side of a fit: which loss, which optimiser, and the running average of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Self, cast

import lightning
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from leukoscope.models.base import CellNetwork, Outputs
from leukoscope.recipes.schema import Augmentation, TrainingChoice
from leukoscope.training.augment import augment, mix
from leukoscope.training.data import Batch, CellData
from leukoscope.training.losses import cell_loss, loss_weight
from leukoscope.training.phases import Phases, phase_of
from leukoscope.training.processes import in_order

AUXILIARY_WEIGHT = 0.3
"""Of the loss of each auxiliary classifier (Szegedy et al. 2014)."""


class CellModule(lightning.LightningModule):
    """One network being fitted, with the running average of its weights.

    Seeds are set before every batch from the recipe's seed, the epoch and the batch, so an epoch is the same
    whether the run came to it or was resumed there.

    Args:
        network: with its starting weights.
        augmentation, settings: of the recipe.
        started: whether the weights were given, so that ``trunk_rate`` and ``freeze`` hold, and not random.
        class_weights: (K,) of each class in the loss, or ``None`` for all alike.

    Raises:
        ConfigError: when a phase freezes a part that the network does not have.
    """

    def __init__(
        self,
        network: CellNetwork,
        augmentation: Augmentation,
        settings: TrainingChoice,
        *,
        started: bool,
        class_weights: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False  # Lightning's own way costs a millisecond more a step
        self.trunk_rate = settings.trunk_rate if started else 1.0
        self.phases = Phases(network, settings.phases, augmentation, started=started)
        self.network = network.to(memory_format=torch.channels_last)
        self.augmentation, self.settings = augmentation, settings
        self.average: AveragedModel | None = None
        if settings.average:
            self.average = AveragedModel(
                network, multi_avg_fn=_warm_average(settings.average), use_buffers=True
            )
            self.average.requires_grad_(False)
        self.phases.enter(0)
        self.register_buffer("class_weights", class_weights, persistent=False)
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
        self.phases.settle()
        return self

    def on_fit_start(self) -> None:
        """What a frozen trunk says of cells that are never varied is worked out once."""
        data = self._data
        if any(self.phases.remembered) and data.features is None:
            data.features = data.encoded(self.network, self.device)
        data.remembers = self.phases.remembers

    def setup(self, stage: str) -> None:
        """What any phase trains is reduced over the processes: DDP notes which parameters that is, before the
        first epoch."""
        for parameter in self.phases.learnt:
            parameter.requires_grad_(True)

    @property
    def _data(self) -> CellData:
        return self.trainer.datamodule  # type: ignore[attr-defined, no-any-return]

    def on_train_epoch_start(self) -> None:
        """Start the sums of this epoch, in training mode: Lightning leaves modes as it found them."""
        self.phases.enter(self.current_epoch)
        self.train()
        self.training_sums = torch.zeros(3, device=self.device)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed everything that is random: data loaders draw from the global generator at moments of their
        own."""
        key = [self.settings.seed, self.current_epoch, batch_idx, self.global_rank]
        seed = int(np.random.SeedSequence(key).generate_state(1)[0])
        # torch.manual_seed would note the call, with its stack, for every device that is not there yet
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)
        self.generator = torch.Generator(self.device).manual_seed(seed)

    def training_step(self, batch: Batch, batch_index: int) -> None:
        """One step down the loss of the varied cells, of the auxiliary classifiers, and of the network's
        regularisers."""
        optimiser = self.trainer.optimizers[0]
        optimiser.zero_grad()
        self.manual_backward(self._whole_loss(batch))
        optimiser.step()
        cast(LambdaLR, self.trainer.lr_scheduler_configs[0].scheduler).step()

    def _whole_loss(self, batch: Batch) -> Tensor:
        outputs, labels, targets = self._training_outputs(batch)
        of_loss, of_cells = self._shares(targets)
        loss = self._loss(outputs.logits, targets) * of_loss
        with torch.no_grad():
            right, num = (outputs.logits.argmax(1) == labels).sum(), len(labels)
            self.training_sums += torch.stack([loss * num / of_cells, right, right.new_tensor(num)])
        whole = loss
        for logits in outputs.auxiliary:
            whole = whole + AUXILIARY_WEIGHT * (self._loss(logits, targets) * of_loss)
        return whole if outputs.penalty is None else whole + outputs.penalty * of_cells

    def _shares(self, targets: Tensor) -> tuple[Tensor | float, Tensor | float]:
        """This process's share in what the batch's mean loss is divided by, and in its cells, both as
        multiples of an equal share.

        Gradients become the means over the processes. With the losses of each multiplied so, that is the
        gradient of the mean over the whole batch, however unequal the shares.
        """
        if self.trainer.world_size == 1:
            return 1.0, 1.0
        weight = loss_weight(targets, cast(Tensor | None, self.class_weights))
        own = torch.stack([weight, weight.new_tensor(len(targets))])
        shares = own / self.trainer.strategy.reduce(own.clone(), reduce_op="mean")
        return shares[0], shares[1]

    def _training_outputs(self, batch: Batch) -> tuple[Outputs, Tensor, Tensor]:
        """Outputs, labels (N,), and the targets of the loss: the labels, or (N, K) shares after mixing."""
        seen, labels = batch
        if seen.is_floating_point():
            return self.network.decide(seen), labels, labels
        pixels, targets = augment(seen, self.augmentation, self.generator), labels
        if self.augmentation.mixup:
            shares = nn.functional.one_hot(labels, self.network.num_classes).float()
            pixels, targets = mix(pixels, shares, self.augmentation.mixup, self.generator)
        return self.network.read(pixels.contiguous(memory_format=torch.channels_last)), labels, targets

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        return cell_loss(
            logits,
            targets,
            class_weights=cast(Tensor | None, self.class_weights),
            focal=self.settings.focal,
            label_smoothing=self.settings.label_smoothing,
        )

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_index: int) -> None:
        """Move the average towards the weights."""
        if self.average is not None:
            self.average.update_parameters(self.network)
        if self.trainer.world_size > 1 and batch_index + 1 == len(self._data.draw):
            self._bring_together(batch)

    @torch.no_grad()
    def _bring_together(self, batch: Batch) -> None:
        """Sums of the epoch over all processes, and the means of what batch norm noted of their cells.

        Once an epoch is enough: running statistics are a linear function of those of the batches.
        """
        reduce = self.trainer.strategy.reduce
        self.training_sums = reduce(self.training_sums, reduce_op="sum")
        share = self._shares(batch[1])[1]
        for statistic in self._noted():
            statistic.copy_(reduce(statistic * share, reduce_op="mean"))

    def _noted(self) -> Iterator[Tensor]:
        names = [
            name
            for name, part in self.network.named_modules()
            if isinstance(part, _BatchNorm) and part.training and part.track_running_stats
        ]
        for network in {id(each): each for each in (self.network, self.judged)}.values():
            for name in names:
                part = cast(_BatchNorm, network.get_submodule(name))
                yield cast(Tensor, part.running_mean)
                yield cast(Tensor, part.running_var)

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Collect what the kept network says of the validation cells."""
        seen, labels = batch
        outputs = self.judged.decide(seen) if seen.is_floating_point() else self.judged(seen)
        self.validation_logits.append(outputs.logits.float().cpu())
        self.validation_labels.append(labels.cpu())

    def on_validation_epoch_start(self) -> None:
        """Forget the epoch before."""
        self.validation_logits, self.validation_labels = [], []

    def on_validation_epoch_end(self) -> None:
        """Put what the processes say together, in the order of the cells."""
        own = list(zip(self.validation_logits, self.validation_labels, strict=True))
        parts = in_order(own, len(self._data.validation_parts))
        self.validation_logits, self.validation_labels = [p[0] for p in parts], [p[1] for p in parts]

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The recipe's optimiser, trunk and head each at its own rate; no decay of biases."""
        settings = self.settings
        trunk = {id(parameter) for parameter in self.network.trunk.parameters()}
        groups: list[dict[str, Any]] = []
        for in_trunk, share in ((True, self.trunk_rate), (False, 1.0)):
            own = [p for p in self.phases.learnt if (id(p) in trunk) == in_trunk]
            rate, decay = settings.learning_rate * share, settings.weight_decay
            groups.append({"params": [p for p in own if p.ndim > 1], "lr": rate, "weight_decay": decay})
            groups.append({"params": [p for p in own if p.ndim <= 1], "lr": rate, "weight_decay": 0.0})
        groups = [group for group in groups if group["params"]]
        optimiser: torch.optim.Optimizer
        fused = self.device.type in ("cpu", "cuda")
        if settings.optimiser == "sgd":
            momentum = settings.momentum
            optimiser = torch.optim.SGD(
                groups, settings.learning_rate, momentum, nesterov=momentum > 0, fused=fused
            )
        elif settings.optimiser == "adamax":  # has no fused kernel
            optimiser = torch.optim.Adamax(groups, lr=settings.learning_rate)
        else:
            kind = torch.optim.AdamW if settings.optimiser == "adamw" else torch.optim.Adam
            optimiser = kind(groups, lr=settings.learning_rate, fused=fused)
        steps = len(self._data.draw)
        schedule = LambdaLR(optimiser, lambda step: _rate(step, steps, settings))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _rate(step: int, steps_per_epoch: int, settings: TrainingChoice) -> float:
    """The factor of the first phase's learning rate at a step."""
    phase = settings.phases[phase_of(settings.phases, step // steps_per_epoch)]
    rate = phase.learning_rate / settings.learning_rate
    if settings.warmup_steps:
        rate *= min(1.0, (step + 1) / settings.warmup_steps)
    if settings.schedule == "constant":
        return rate
    return rate * 0.5 * (1 + math.cos(math.pi * min(step / (steps_per_epoch * settings.all_epochs), 1.0)))


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
