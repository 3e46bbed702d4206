"""The plain convolutional network: stages of convolutions with max pooling behind each, then dense layers.

Six networks of the seed documents are this one with other numbers, which their recipes hold.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from leukoscope.errors import ConfigError
from leukoscope.models.base import (
    CellNetwork,
    Outputs,
    Score,
    architectures,
    scaling,
    start,
)
from leukoscope.recipes.schema import Normalisation


@architectures.add("plain-cnn")
class PlainCNN(CellNetwork):
    """Convolutions with ReLU, 2x2 max pooling after each stage, dense layers with ReLU and dropout, a score.

    Args:
        num_classes: K; with two classes the score is one sigmoid.
        size: side of the cells, S.
        stages: numbers of filters of the convolutions of each stage, such as ``[[32], [64, 64]]``.
        dense: sizes of the dense layers before the score.
        kernel_size: side of every convolution's kernel, odd.
        dropout: share dropped after each dense layer.
        pooled_dropout: share dropped after each pooling.
        l2: factor of the sum of squares of all kernels that is added to the loss, as Keras's ``l2``.
        normalise: see :class:`~leukoscope.recipes.schema.ModelChoice`; by 255 unless said.

    Raises:
        ConfigError: when the cells are too small for so many stages, or the kernel has no middle.
    """

    def __init__(
        self,
        num_classes: int = 2,
        *,
        size: int,
        stages: Sequence[Sequence[int]],
        dense: Sequence[int] = (),
        kernel_size: int = 3,
        dropout: float = 0.0,
        pooled_dropout: float = 0.0,
        l2: float = 0.0,
        normalise: Normalisation = "own",
    ) -> None:
        super().__init__()
        self.num_classes, self.l2 = num_classes, l2
        self.scaling = scaling(normalise)
        side = size >> len(stages)
        if side < 1 or kernel_size % 2 == 0:
            raise ConfigError(
                f"plain-cnn needs at least {1 << len(stages)} pixels for {len(stages)} stages, and an odd "
                f"kernel. Received: {size} pixels, kernel {kernel_size}",
                hint="set preprocess.size or model.arguments",
            )
        layers: list[nn.Module] = []
        channels = 3
        for stage in stages:
            for filters in stage:
                layers += [nn.Conv2d(channels, filters, kernel_size, padding="same"), nn.ReLU(inplace=True)]
                channels = filters
            layers.append(nn.MaxPool2d(2))
            if pooled_dropout:
                layers.append(nn.Dropout(pooled_dropout))
        self.features = nn.Sequential(*layers, nn.Flatten())
        width = channels * side * side
        head: list[nn.Module] = []
        for units in dense:
            head += [nn.Linear(width, units), nn.ReLU(), nn.Dropout(dropout)]
            width = units
        self.dense = nn.Sequential(*head)
        self.score = Score(width, num_classes)
        start(self)

    @property
    def trunk(self) -> nn.Module:
        """The convolutions."""
        return self.features

    def encode(self, pixels: Tensor) -> Tensor:
        """(N, F * s * s): the last stage's maps, flattened."""
        return self.features(self.scale(pixels))  # type: ignore[no-any-return]

    def decide(self, features: Tensor) -> Outputs:
        """Outputs for flattened maps."""
        embedding = self.dense(features)
        penalty = self.l2 * self._squares() if self.l2 and self.training else None
        return Outputs(self.score(embedding), embedding, penalty=penalty)

    def _squares(self) -> Tensor:
        kernels = [part.weight for part in self.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
        return sum((kernel.square().sum() for kernel in kernels[1:]), kernels[0].square().sum())
