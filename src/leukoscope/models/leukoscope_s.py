"""Leukoscope-S: our compact network of fire modules, designed for two processor cores.

At 112 pixels it has 0.53 M parameters and 56 M multiply-adds. Its trunk has the shapes of SqueezeNet 1.1
without the last module (Iandola et al. 2016), so that it can start from that network's ImageNet weights;
batch norm, which SqueezeNet lacks, stands behind the narrow squeeze layers only, where it costs little
memory traffic, and makes training from random weights work.

The head reads the mean and the standard deviation of the first fire module's maps, each over the whole
picture and over the inside of the cell alone, and the mean of the last module's maps. What separates the
classes in people never seen is fine colour and texture, which the first module still has and the last one has
lost (docs/decisions/0605). All five are means of maps of 7x7 places, and one linear layer follows, so every
logit is the mean of a class map.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from leukoscope.errors import ConfigError, TrainingError
from leukoscope.models.base import CellNetwork, MeanPoolHead, Outputs, architectures

SQUEEZENET_MEAN = (123.68, 116.779, 103.939)
TYPICAL_PIXEL = 64.0
FINE_LAYERS = 4
"""The stem, its pooling and the first fire module."""
BLOCK = 4
"""Places of the first fire module's maps, to either side, that make one place of the last one's."""
DARK = 5.0
"""Pixels with no colour above it are outside of the cell."""
SMALLEST_VARIANCE = 1e-4
SMALLEST_AREA = 1e-3
"""Of the inside of a cell, as a share of the picture: a picture without a cell divides by it."""
FINE, DEEP = 128, 512
DEEP_GAIN = 0.15
"""Of the last module's standardised features, so that the fit leans on the fine ones (docs/results.md)."""


class Fire(nn.Module):
    """A narrow 1x1 layer with batch norm, then 1x1 and 3x3 layers side by side.

    Args:
        channels: of the input.
        squeeze: of the narrow layer.
        expand: of each of the two wide layers; the output has twice as many.
    """

    def __init__(self, channels: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeeze, 1)
        self.norm = nn.BatchNorm2d(squeeze)
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, channels, h, w) to (N, 2 * expand, h, w)."""
        narrow = torch.relu(self.norm(self.squeeze(maps)))
        return torch.relu(torch.cat([self.expand1x1(narrow), self.expand3x3(narrow)], 1))


def _moments(first: Tensor, second: Tensor, part: Tensor) -> tuple[Tensor, Tensor]:
    """Two maps whose means over all places are the mean and the standard deviation of a region's values.

    Args:
        first, second: (N, C, h, w) values and their squares, zero outside the region.
        part: (N, 1, h / BLOCK, w / BLOCK) share of each place that is in the region.
    """
    first, second = nn.functional.avg_pool2d(first, BLOCK), nn.functional.avg_pool2d(second, BLOCK)
    area = part.mean((2, 3), keepdim=True).clamp(min=SMALLEST_AREA)
    mean = first.mean((2, 3), keepdim=True) / area
    squares = (second - 2 * mean * first + mean * mean * part) / area
    deviation = (squares.mean((2, 3), keepdim=True).clamp(min=0) + SMALLEST_VARIANCE).sqrt()
    return first / area, squares / deviation


def _pool() -> nn.MaxPool2d:
    return nn.MaxPool2d(3, 2, padding=1)


@architectures.add("leukoscope-s")
class LeukoscopeS(CellNetwork):
    """A stem, seven fire modules in three steps of resolution, mean pooling, one linear layer.

    Args:
        num_classes: K.
        size: side of the cells, S; a multiple of 16.
        dropout: share of the embedding dropped in training (1024: 128 means and 128 deviations over the
            picture, the same inside the cell, 512 deep means).
    """

    def __init__(self, num_classes: int = 2, *, size: int = 112, dropout: float = 0.2) -> None:
        super().__init__()
        if size % 16:
            raise ConfigError(
                f"leukoscope-s reads cells of a multiple of 16 pixels. Received: {size}",
                hint="set preprocess.size, such as 112 or 128",
            )
        self.num_classes = num_classes
        # places in this list are those of torchvision's squeezenet1_1, so that its weights fit by name
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 3, stride=2, padding=1),
            nn.ReLU(inplace=True),
            _pool(),
            Fire(64, 16, 64),
            Fire(128, 16, 64),
            _pool(),
            Fire(128, 32, 128),
            Fire(256, 32, 128),
            _pool(),
            Fire(256, 48, 192),
            Fire(384, 48, 192),
            Fire(384, 64, 256),
        )
        gains = torch.cat([torch.ones(4 * FINE), torch.full((DEEP,), DEEP_GAIN)])
        self.head = MeanPoolHead(num_classes, dropout, gains)
        self._start()

    def _start(self) -> None:
        for module in self.features.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(cast(Tensor, module.bias))
        stem = cast(nn.Conv2d, self.features[0])
        with torch.no_grad():
            stem.weight /= TYPICAL_PIXEL
        nn.init.normal_(self.head.linear.weight, std=0.01)
        nn.init.zeros_(self.head.linear.bias)

    def scale(self, pixels: Tensor) -> Tensor:
        """Pixels less ImageNet's mean colour, as the SqueezeNet weights expect; no division."""
        return pixels - pixels.new_tensor(SQUEEZENET_MEAN)[:, None, None]

    @property
    def trunk(self) -> nn.Module:
        """The stem and the fire modules."""
        return self.features

    def decide(self, features: Tensor) -> Outputs:
        """Outputs for the maps of :meth:`encode`."""
        return cast(Outputs, self.head(features))

    def encode(self, pixels: Tensor) -> Tensor:
        """(N, 1024, S/16, S/16): maps whose means over all places are the features."""
        fine = self.features[:FINE_LAYERS](self.scale(pixels))
        inside = (
            nn.functional.avg_pool2d((pixels.amax(1, keepdim=True) > DARK).float(), BLOCK) > 0.99
        ).float()
        part = nn.functional.avg_pool2d(inside, BLOCK)
        within = fine * inside
        return torch.cat(
            [
                *_moments(fine, fine * fine, torch.ones_like(part)),
                *_moments(within, within * fine, part),
                self.features[FINE_LAYERS:](fine),
            ],
            1,
        )

    def start_from(self, weights: Mapping[str, Tensor], pixels: Tensor) -> None:
        """Take over weights of this network, or ImageNet weights of SqueezeNet 1.1 (``features.*``).

        SqueezeNet has no batch norm: each norm is set, from some of the cells to be trained on, so that it
        changes nothing at first. Its maps are of the order of pixels; since it has rectified linear units
        only, weights of the stem and all biases divided by one number divide every map by it. The head then
        gets the statistics of the features.

        Args:
            weights: tensors by name.
            pixels: cells to be trained on, (N, 3, S, S) float32 in 0..255.

        Raises:
            TrainingError: when the tensors are of neither network.
        """
        if "head.linear.weight" in weights:
            super().start_from(weights, pixels)
            return
        own = self.state_dict()
        needed = [name for name in own if name.startswith("features.") and ".norm." not in name]
        unfit = [name for name in needed if name not in weights or weights[name].shape != own[name].shape]
        if unfit:
            raise TrainingError(
                f"these are no weights of SqueezeNet 1.1: '{unfit[0]}' is missing or of another shape"
            )
        self.load_state_dict({name: weights[name] / _divisor(name) for name in needed}, strict=False)
        self._adopt(pixels)

    @torch.no_grad()
    def _adopt(self, pixels: Tensor) -> None:
        maps = self.scale(pixels)
        for module in self.features:
            if isinstance(module, Fire):
                narrow = module.squeeze(maps)
                mean, variance = narrow.mean((0, 2, 3)), narrow.var((0, 2, 3))
                module.norm.running_mean, module.norm.running_var = mean.clone(), variance.clone()
                module.norm.weight.copy_((variance + module.norm.eps).sqrt())
                module.norm.bias.copy_(mean)
                module.norm.eval()
            maps = module(maps)
            module.train()
        training = self.training
        pooled = self.eval().encode(pixels).mean((2, 3))
        self.train(training)
        self.head.norm.running_mean, self.head.norm.running_var = pooled.mean(0), pooled.var(0)


def _divisor(name: str) -> float:
    return TYPICAL_PIXEL if name == "features.0.weight" or name.endswith(".bias") else 1.0
