"""A residual network from scratch (He et al. 2016, "Deep residual learning"): the 18-layer one of basic
blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from leukoscope.models.base import (
    CellNetwork,
    MeanPoolHead,
    Outputs,
    architectures,
    scaling,
)
from leukoscope.recipes.schema import Normalisation


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm, and their input added to what they give.

    Args:
        channels: of the input.
        filters: of the output.
        stride: of the first convolution; where the shape changes, the input goes through a 1x1 convolution.
    """

    def __init__(self, channels: int, filters: int, stride: int) -> None:
        super().__init__()
        self.first = _convolution(channels, filters, 3, stride)
        self.second = _convolution(filters, filters, 3, 1)
        same = channels == filters and stride == 1
        self.shortcut = nn.Identity() if same else _convolution(channels, filters, 1, stride)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, channels, h, w) to (N, filters, h / stride, w / stride)."""
        return torch.relu(self.second(torch.relu(self.first(maps))) + self.shortcut(maps))


def _convolution(channels: int, filters: int, kernel: int, stride: int) -> nn.Sequential:
    layer = nn.Conv2d(channels, filters, kernel, stride, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(layer, nn.BatchNorm2d(filters))


@architectures.add("residual")
class ResidualNetwork(CellNetwork):
    """A 7x7 stem, stages of basic blocks, mean pooling, one linear layer.

    Args:
        num_classes: K.
        size: side of the cells; any.
        filters: of each stage; every stage but the first halves the maps.
        blocks: number of blocks of each stage.
        dropout: before the last layer.
        normalise: see :class:`~leukoscope.recipes.schema.ModelChoice`; by 255 unless said.
    """

    def __init__(
        self,
        num_classes: int = 2,
        *,
        size: int = 0,
        filters: Sequence[int] = (64, 128, 256, 512),
        blocks: Sequence[int] = (2, 2, 2, 2),
        dropout: float = 0.0,
        normalise: Normalisation = "own",
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.scaling = scaling(normalise)
        layers: list[nn.Module] = [
            _convolution(3, filters[0], 7, 2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, 1),
        ]
        channels = filters[0]
        for stage, (width, count) in enumerate(zip(filters, blocks, strict=True)):
            for number in range(count):
                layers.append(BasicBlock(channels, width, 2 if stage and number == 0 else 1))
                channels = width
        self.features = nn.Sequential(*layers)
        self.head = MeanPoolHead(num_classes, dropout, torch.ones(channels))

    @property
    def trunk(self) -> nn.Module:
        """The stem and the blocks."""
        return self.features

    def encode(self, pixels: Tensor) -> Tensor:
        """(N, D, h, w): the maps of the last block."""
        return self.features(self.scale(pixels))  # type: ignore[no-any-return]

    def decide(self, features: Tensor) -> Outputs:
        """Outputs for the maps of the last block."""
        return cast(Outputs, self.head(features))
