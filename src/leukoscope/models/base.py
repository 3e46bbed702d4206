"""What every network here has in common: uint8 cells in; logits, embedding and class map out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from leukoscope.core.registry import Registry
from leukoscope.errors import TrainingError
from leukoscope.recipes.schema import Normalisation

Scaling = tuple[Sequence[float], Sequence[float]]
"""Mean and deviation of each colour, of pixels in 0..1."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


class Outputs(NamedTuple):
    """What a network says of N cells.

    ``logits`` (N, K) float32; ``embedding`` (N, D) float32, what the head reads; ``cam`` (N, K, h, w)
    float32 where the head is mean pooling and one linear layer, so that its mean over h and w plus the bias
    is the logit; else ``None``. In training alone: ``auxiliary``, the logits (N, K) of auxiliary classifiers,
    and ``penalty``, what the network's own regularisers add to the loss.
    """

    logits: Tensor
    embedding: Tensor
    cam: Tensor | None = None
    auxiliary: tuple[Tensor, ...] = ()
    penalty: Tensor | None = None


class CellNetwork(nn.Module):
    """Base of all networks.

    A subclass sets ``num_classes`` and ``scaling`` and writes :attr:`trunk`, :meth:`encode` and
    :meth:`decide`. Training calls :meth:`read` with the pixels that augmentation gives, and, where the whole
    trunk is frozen and nothing is varied, :meth:`decide` with what :meth:`encode` gave once; everything else
    calls the network with uint8 cells.
    """

    num_classes: int
    scaling: Scaling

    @property
    def trunk(self) -> nn.Module:
        """The layers before the head: what a recipe may train at a lower rate, or keep as it started."""
        raise NotImplementedError

    def scale(self, pixels: Tensor) -> Tensor:
        """Pixels (N, 3, S, S) float32 in 0..255, RGB, to what the first layer expects, by ``scaling``."""
        return normalised(pixels, *self.scaling)

    def encode(self, pixels: Tensor) -> Tensor:
        """What the trunk gives the head, (N, ...) float32, for pixels (N, 3, S, S) float32 in 0..255, RGB."""
        raise NotImplementedError

    def decide(self, features: Tensor) -> Outputs:
        """Outputs for what :meth:`encode` gave."""
        raise NotImplementedError

    def read(self, pixels: Tensor) -> Outputs:
        """Outputs for pixels (N, 3, S, S) float32 in 0..255, RGB."""
        return self.decide(self.encode(pixels))

    def forward(self, cells: Tensor) -> Outputs:
        """Outputs for cells (N, S, S, 3) uint8, RGB."""
        return self.read(cells.permute(0, 3, 1, 2).float())

    def start_from_hub(self) -> None:
        """Take the weights that the model hub has for this network.

        Raises:
            TrainingError: when there are none, or the hub cannot be reached.
        """
        raise TrainingError(
            "the model hub has none for this network",
            hint="give a local safetensors file: --set model.weights=FILE, or 'none' for random weights",
        )

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


class Score(nn.Module):
    """The last layer of the documents' networks: one sigmoid for two classes, softmax for more.

    Args:
        width: of its input.
        num_classes: K. With two, the logits are (0, z), whose softmax is sigmoid(z).
    """

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.single = num_classes == 2
        self.linear = nn.Linear(width, 1 if self.single else num_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Logits (N, K) for features (N, width)."""
        return self.with_zero(self.linear(features))

    def with_zero(self, score: Tensor) -> Tensor:
        """(N, 2, ...) from the score (N, 1, ...) of two classes; that of more classes as it is."""
        return torch.cat([torch.zeros_like(score), score], 1) if self.single else score


def normalised(pixels: Tensor, mean: Sequence[float], deviation: Sequence[float]) -> Tensor:
    """Pixels (N, 3, S, S) in 0..255, divided by 255, less ``mean``, over ``deviation`` (of each colour)."""
    gain = pixels.new_tensor([1 / (255 * one) for one in deviation])[:, None, None]
    offset = pixels.new_tensor([-m / d for m, d in zip(mean, deviation, strict=True)])[:, None, None]
    return pixels * gain + offset


def scaling(normalise: Normalisation, own: Scaling = ((0.0,) * 3, (1.0,) * 3)) -> Scaling:
    """Mean and deviation by the word of a recipe's ``model.normalise``.

    >>> scaling("unit")
    ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    """
    known = {"own": own, "unit": ((0.0,) * 3, (1.0,) * 3), "imagenet": (IMAGENET_MEAN, IMAGENET_DEVIATION)}
    return known[normalise]


def start(module: nn.Module) -> None:
    """Random weights as Keras takes them (Glorot & Bengio 2010, uniform), biases zero."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


architectures: Registry[type[CellNetwork]] = Registry("architecture")
