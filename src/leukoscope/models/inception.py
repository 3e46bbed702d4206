"""GoogLeNet (Szegedy et al. 2014, "Going deeper with convolutions"): nine inception modules, two auxiliary
classifiers. Written out, since its numbers are the table of the paper."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from leukoscope.errors import ConfigError
from leukoscope.models.base import (
    CellNetwork,
    MeanPoolHead,
    Outputs,
    architectures,
    scaling,
    start,
)
from leukoscope.recipes.schema import Normalisation

MODULES = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
"""Filters of the 1x1 branch, of the 3x3 one and its reduction, of the 5x5 one and its, of the pooled one."""
POOLED_BEFORE = ("4a", "5a")
AUXILIARY_BEHIND = ("4a", "4d")
SMALLEST = 32


class Convolution(nn.Sequential):
    """Convolution without bias, batch norm, ReLU.

    The paper had no batch norm; without it, nine modules do not begin to learn from random weights on some
    thousand cells.
    """

    def __init__(self, channels: int, filters: int, kernel: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(channels, filters, kernel, stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(filters),
            nn.ReLU(inplace=True),
        )


class Inception(nn.Module):
    """Four branches side by side: 1x1; 1x1 then 3x3; 1x1 then 5x5; 3x3 max pooling then 1x1.

    Args:
        channels: of the input.
        filters: a row of :data:`MODULES`.
    """

    def __init__(self, channels: int, filters: tuple[int, ...]) -> None:
        super().__init__()
        one, reduce3, three, reduce5, five, pooled = filters
        self.one = Convolution(channels, one, 1)
        self.three = nn.Sequential(Convolution(channels, reduce3, 1), Convolution(reduce3, three, 3))
        self.five = nn.Sequential(Convolution(channels, reduce5, 1), Convolution(reduce5, five, 5))
        self.pooled = nn.Sequential(nn.MaxPool2d(3, 1, 1), Convolution(channels, pooled, 1))
        self.channels = one + three + five + pooled

    def forward(self, maps: Tensor) -> Tensor:
        """(N, channels, h, w) to (N, self.channels, h, w)."""
        return torch.cat([self.one(maps), self.three(maps), self.five(maps), self.pooled(maps)], 1)


class AuxiliaryClassifier(nn.Sequential):
    """Average pooling to 4x4, 128 filters of 1x1, a dense layer of 1,024 units, dropout 0.7, a linear
    layer."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__(
            nn.AdaptiveAvgPool2d(4),
            Convolution(channels, 128, 1),
            nn.Flatten(),
            nn.Linear(128 * 16, 1024),
            nn.ReLU(inplace=True),
            nn.Dropout(0.7),
            nn.Linear(1024, num_classes),
        )


@architectures.add("inception")
class GoogLeNet(CellNetwork):
    """A stem, inception modules 3a to 5b, mean pooling, dropout, one linear layer.

    Args:
        num_classes: K.
        size: side of the cells, S; at least 32.
        width: factor of all numbers of filters of the modules; 1 is the paper's.
        dropout: before the last layer.
        normalise: see :class:`~leukoscope.recipes.schema.ModelChoice`; by 255 unless said.

    Raises:
        ConfigError: when the cells are too small for five halvings.
    """

    def __init__(
        self,
        num_classes: int = 2,
        *,
        size: int,
        width: float = 1.0,
        dropout: float = 0.4,
        normalise: Normalisation = "own",
    ) -> None:
        super().__init__()
        if size < SMALLEST:
            raise ConfigError(
                f"inception reads cells of at least {SMALLEST} pixels. Received: {size}",
                hint="set preprocess.size",
            )
        self.num_classes = num_classes
        self.scaling = scaling(normalise)
        self.stem = nn.Sequential(
            Convolution(3, 64, 7, 2), _pool(), Convolution(64, 64, 1), Convolution(64, 192, 3), _pool()
        )
        channels = 192
        self.blocks, self.auxiliary = nn.ModuleDict(), nn.ModuleDict()
        for name, filters in MODULES.items():
            block = Inception(channels, tuple(max(1, round(count * width)) for count in filters))
            self.blocks[name], channels = block, block.channels
            if name in AUXILIARY_BEHIND:
                self.auxiliary[name] = AuxiliaryClassifier(channels, num_classes)
        start(self)
        self.head = MeanPoolHead(num_classes, dropout, torch.ones(channels))

    @property
    def trunk(self) -> nn.Module:
        """The stem and the modules."""
        return nn.ModuleList([self.stem, self.blocks])

    def encode(self, pixels: Tensor) -> Tensor:
        """(N, 1024, h, w): the maps of module 5b."""
        return self._walk(pixels)[0]

    def decide(self, features: Tensor) -> Outputs:
        """Outputs for the maps of module 5b."""
        return cast(Outputs, self.head(features))

    def read(self, pixels: Tensor) -> Outputs:
        """Outputs for pixels (N, 3, S, S); in training with the logits of both auxiliary classifiers."""
        maps, branched = self._walk(pixels)
        auxiliary = tuple(self.auxiliary[name](branch) for name, branch in branched.items())
        return self.decide(maps)._replace(auxiliary=auxiliary)

    def _walk(self, pixels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        maps, branched = self.stem(self.scale(pixels)), {}
        for name, block in self.blocks.items():
            maps = block(_pool()(maps) if name in POOLED_BEFORE else maps)
            if self.training and name in AUXILIARY_BEHIND:
                branched[name] = maps
        return maps, branched


def _pool() -> nn.MaxPool2d:
    return nn.MaxPool2d(3, 2, 1)
