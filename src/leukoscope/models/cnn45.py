"""The small network of seed document 2: 45x45 pixels, four convolution stages, three dense layers, one
sigmoid."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from leukoscope.errors import ConfigError
from leukoscope.models.base import CellNetwork, Outputs, architectures, with_zero

STAGES = ((32,), (64, 64), (128, 128), (256, 256))


@architectures.add("cnn-45px")
class CNN45(CellNetwork):
    """Convolutions 3x3 of 32, 64, 64, 128, 128, 256, 256 filters, max pooling after each stage, dense with
    dropout.

    Args:
        num_classes: 2; the network has one sigmoid.
        dense: sizes of the dense layers before the output.
        dropout: share dropped after each of them.
    """

    def __init__(
        self, num_classes: int = 2, *, dense: Sequence[int] = (128, 64), dropout: float = 0.5
    ) -> None:
        super().__init__()
        if num_classes != 2:
            raise ConfigError(f"cnn-45px has one sigmoid, for two classes. Received: {num_classes} classes")
        self.num_classes = num_classes
        layers: list[nn.Module] = []
        channels = 3
        for stage in STAGES:
            for filters in stage:
                layers += [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU()]
                channels = filters
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers, nn.Flatten())
        width = channels * 2 * 2  # 45 -> 22 -> 11 -> 5 -> 2
        head: list[nn.Module] = []
        for size in dense:
            head += [nn.Linear(width, size), nn.ReLU(), nn.Dropout(dropout)]
            width = size
        self.dense = nn.Sequential(*head)
        self.score = nn.Linear(width, 1)

    @property
    def trunk(self) -> nn.Module:
        """The convolutions."""
        return self.features

    def scale(self, pixels: Tensor) -> Tensor:
        """Divides by 255, as the document does."""
        return pixels / 255

    def read(self, pixels: Tensor) -> Outputs:
        """Outputs for pixels (N, 3, 45, 45)."""
        embedding = self.dense(self.features(self.scale(pixels)))
        return Outputs(with_zero(self.score(embedding)), embedding, None)
