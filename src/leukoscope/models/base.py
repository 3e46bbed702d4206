"""What every network here has in common: uint8 cells in; logits, embedding and class map out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from leukoscope.core.registry import Registry
from leukoscope.errors import TrainingError


class Outputs(NamedTuple):
    """What a network says of N cells.

    ``logits`` (N, K) float32; ``embedding`` (N, D) float32, what the head reads; ``cam`` (N, K, h, w)
    float32 where the head is mean pooling and one linear layer, so that its mean over h and w plus the bias
    is the logit; else ``None``.
    """

    logits: Tensor
    embedding: Tensor
    cam: Tensor | None


class CellNetwork(nn.Module):
    """Base of all networks.

    A subclass sets ``num_classes`` and writes :attr:`trunk`, :meth:`scale` and :meth:`read`. Training calls
    :meth:`read` with the pixels that augmentation gives; everything else calls the network with uint8 cells.
    """

    num_classes: int

    @property
    def trunk(self) -> nn.Module:
        """The layers before the head: what a recipe may train at a lower rate, or keep as it started."""
        raise NotImplementedError

    def scale(self, pixels: Tensor) -> Tensor:
        """Pixels (N, 3, S, S) float32 in 0..255, RGB, to what the first layer expects."""
        raise NotImplementedError

    def read(self, pixels: Tensor) -> Outputs:
        """Outputs for pixels (N, 3, S, S) float32 in 0..255, RGB."""
        raise NotImplementedError

    def forward(self, cells: Tensor) -> Outputs:
        """Outputs for cells (N, S, S, 3) uint8, RGB."""
        return self.read(cells.permute(0, 3, 1, 2).float())

    def start_from(self, weights: Mapping[str, Tensor], pixels: Tensor) -> None:
        """Take over weights, all of them by name.

        Args:
            weights: tensors by name, as in ``weights.safetensors`` of a bundle.
            pixels: some cells to be trained on, (N, 3, S, S) float32 in 0..255, for networks whose
                statistics must be set anew.

        Raises:
            TrainingError: when a name or a shape does not fit.
        """
        try:
            self.load_state_dict(dict(weights))
        except RuntimeError as error:
            raise TrainingError(f"the weights do not fit: {str(error).splitlines()[-1].strip()}") from None


class MeanPoolHead(nn.Module):
    """Mean over the map, standardised, dropout, one linear layer: the head that has a class map.

    The standardisation (batch norm without gain) keeps the step size of the linear layer independent of how
    large the features are, which differs by orders between random and ImageNet weights.

    Args:
        num_classes: K.
        dropout: share of the standardised features dropped in training.
        gains: (D,) factor of each standardised feature; a small one makes the fit lean on it less.
    """

    gains: Tensor

    def __init__(self, num_classes: int, dropout: float, gains: Tensor) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(len(gains), affine=False)
        self.register_buffer("gains", gains)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(len(gains), num_classes)

    def forward(self, maps: Tensor) -> Outputs:
        """Outputs for feature maps (N, D, h, w)."""
        embedding = self.norm(maps.mean((2, 3))) * self.gains
        logits = self.linear(self.dropout(embedding))
        return Outputs(logits, embedding, None if self.training else self.class_map(maps))

    def class_map(self, maps: Tensor) -> Tensor:
        """(N, K, h, w): what each place adds to each logit; its mean over places is the logit less its
        bias."""
        if self.norm.running_mean is None or self.norm.running_var is None:
            raise RuntimeError("the head keeps running statistics")
        spread = (self.norm.running_var + self.norm.eps).sqrt()
        standard = (maps - self.norm.running_mean[:, None, None]) * (self.gains / spread)[:, None, None]
        return nn.functional.conv2d(standard, self.linear.weight[:, :, None, None])


def with_zero(score: Tensor) -> Tensor:
    """The logits (0, z) of a network with one sigmoid, from its score z (N, 1): softmax of them is
    sigmoid(z).

    >>> with_zero(torch.tensor([[2.0]])).tolist()
    [[0.0, 2.0]]
    """
    return torch.cat([torch.zeros_like(score), score], dim=1)


architectures: Registry[type[CellNetwork]] = Registry("architecture")
