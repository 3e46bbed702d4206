"""The deep head of the seed documents' transfer networks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from leukoscope.errors import ConfigError
from leukoscope.models.base import Score, start


class DeepHead(nn.Module):
    """Batch norm, a regularised dense layer, four more, dropout behind each of the five, a score.

    The numbers of the regularised layer are those of the notebook that the document names as its source
    (A. W. Ibrahim 2023): L2 of the kernel, L1 of the biases, and L1 of what the layer gives, summed over its
    units, mean over the cells, as Keras reads ``activity_regularizer``.

    Args:
        width: of the pooled features.
        num_classes: K.
        dense: sizes of the five dense layers; the first is the regularised one.
        dropouts: share dropped after each of them.
        kernel_l2, bias_l1, activity_l1: factors of the three regularisers.

    Raises:
        ConfigError: when there are not as many dropouts as dense layers.
    """

    def __init__(
        self,
        width: int,
        num_classes: int,
        *,
        dense: Sequence[int] = (256, 128, 64, 32, 16),
        dropouts: Sequence[float] = (0.45, 0.2, 0.2, 0.2, 0.2),
        kernel_l2: float = 0.016,
        bias_l1: float = 0.006,
        activity_l1: float = 0.006,
    ) -> None:
        super().__init__()
        if len(dense) != len(dropouts):
            raise ConfigError(
                f"the deep head needs a dropout for each of its {len(dense)} dense layers. "
                f"Received: {len(dropouts)}",
                hint="set model.arguments.dropouts",
            )
        self.kernel_l2, self.bias_l1, self.activity_l1 = kernel_l2, bias_l1, activity_l1
        self.norm = nn.BatchNorm1d(width, eps=1e-3, momentum=0.01)
        self.regularised = nn.Linear(width, dense[0])
        layers: list[nn.Module] = [nn.Dropout(dropouts[0])]
        for before, units, dropout in zip(dense, dense[1:], dropouts[1:], strict=False):
            layers += [nn.Linear(before, units), nn.ReLU(), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers)
        self.score = Score(dense[-1], num_classes)
        start(self)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor | None]:
        """Logits (N, K) for features (N, width), and in training what the regularisers add to the loss."""
        activity = torch.relu(self.regularised(self.norm(features)))
        logits = self.score(self.layers(activity))
        return logits, self._penalty(activity) if self.training else None

    def _penalty(self, activity: Tensor) -> Tensor:
        layer = self.regularised
        kernel, bias = layer.weight.square().sum(), layer.bias.abs().sum()
        said = activity.abs().sum(1).mean()
        return self.kernel_l2 * kernel + self.bias_l1 * bias + self.activity_l1 * said
