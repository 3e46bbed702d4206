"""Networks by name."""

from __future__ import annotations

from typing import Any

from leukoscope.errors import ConfigError
from leukoscope.models import inception, leukoscope_s, plain_cnn, residual  # noqa: F401 - they register
from leukoscope.models.backbone import Backbone, is_backbone, unknown_network
from leukoscope.models.base import CellNetwork, architectures


def create_model(name: str, *, size: int, num_classes: int = 2, **arguments: Any) -> CellNetwork:
    """A network with random weights.

    Args:
        name: an architecture of ours, which ``list(architectures)`` has, or any of timm's.
        size: side of the cells that it will read.
        num_classes: K.
        arguments: what that architecture takes.

    Raises:
        UsageError: for an unknown name.
        ConfigError: for an argument that the architecture does not take.

    >>> create_model("squeezenet1_1", size=64, num_classes=4).num_classes
    4
    """
    try:
        if name in architectures:
            return architectures.get(name)(num_classes, size=size, **arguments)
        if is_backbone(name):
            return Backbone(name, num_classes, size=size, **arguments)
    except TypeError as error:
        reason = str(error).split("__init__() ")[-1]
        raise ConfigError(f"architecture '{name}': {reason}", hint="set model.arguments otherwise") from None
    raise unknown_network(name)


def num_parameters(model: CellNetwork) -> int:
    """Number of trainable parameters."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
