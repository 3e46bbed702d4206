"""What a fit reads: batches of cells drawn anew each epoch, or what a frozen trunk said of them once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from leukoscope.models.base import CellNetwork
from leukoscope.recipes.schema import TrainingChoice
from leukoscope.training.cache import Cells, in_batches
from leukoscope.training.draw import Index, cell_weights, draw_epoch
from leukoscope.training.processes import in_order

Batch = tuple[Tensor, Tensor]


class CellBatches(Dataset[Batch]):
    """Batches of cells by their positions: cells (B, S, S, 3) uint8 and labels (B,) int64."""

    def __init__(self, cells: Cells, labels: NDArray[np.int64]) -> None:
        self.cells, self.labels = cells, labels

    def __getitem__(self, index: Index) -> Batch:
        ordered = np.sort(index)  # neighbours in the memory map are read together
        back = np.searchsorted(ordered, index)
        return torch.from_numpy(self.cells[ordered][back]), torch.from_numpy(self.labels[index])


class FeatureBatches(Dataset[Batch]):
    """Batches of features by the positions of their cells: features (B, D) float32 and labels (B,) int64.

    Args:
        features: (M, D) of the cells at ``positions``.
        positions: (M,) ascending.
        labels: (N,) class of every cell.
    """

    def __init__(self, features: Tensor, positions: Index, labels: NDArray[np.int64]) -> None:
        self.features, self.positions, self.labels = features, positions, labels

    def __getitem__(self, index: Index) -> Batch:
        rows = torch.from_numpy(np.searchsorted(self.positions, index))
        return self.features[rows], torch.from_numpy(self.labels[index])


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
            class_balance=settings.class_balance == "sampler",
            subject_balance=settings.subject_balance,
        )
        self.draw = EpochDraw(train, weights, settings)
        self.features: FeatureBatches | None = None
        self.remembers: Callable[[int], bool] = lambda epoch: False

    def encoded(self, network: CellNetwork, device: torch.device) -> FeatureBatches:
        """What the network's trunk, as it is, gives its head for every cell that takes part; each process
        works out its share."""
        positions = np.union1d(self.draw.positions, self.validation)
        parts = in_batches(positions, self.source.cells)
        training = network.training
        network.eval()
        own = []
        with torch.no_grad():
            for part in self._own(parts):
                cells = self.source[part][0].to(device)
                own.append(network.encode(cells.permute(0, 3, 1, 2).float()).cpu())
        network.train(training)
        return FeatureBatches(torch.cat(in_order(own, len(parts))), positions, self.source.labels)

    @property
    def validation_parts(self) -> list[Index]:
        """The validation cells in order, in the batches in which they are read."""
        return in_batches(self.validation, self.source.cells)

    def _own(self, parts: list[Index]) -> list[Index]:
        """This process's share of the parts; never none, which Lightning would not have."""
        if self.trainer is None:
            return parts
        return parts[self.trainer.global_rank :: self.trainer.world_size] or parts[:1]

    def _shown(self) -> Dataset[Batch]:
        """Features while the module's phase lets its trunk be remembered, cells otherwise."""
        if (
            self.features is not None
            and self.trainer is not None
            and self.remembers(self.trainer.current_epoch)
        ):
            return self.features
        return self.source

    def train_dataloader(self) -> DataLoader[Batch]:
        """Batches of one epoch."""
        if self.trainer is not None:
            self.draw.rank, self.draw.world = self.trainer.global_rank, self.trainer.world_size
        return DataLoader(self._shown(), sampler=self.draw, batch_size=None)

    def val_dataloader(self) -> DataLoader[Batch] | list[Any]:
        """The validation cells in order, in each process its share."""
        if not len(self.validation):
            return []
        return DataLoader(self._shown(), sampler=self._own(self.validation_parts), batch_size=None)
