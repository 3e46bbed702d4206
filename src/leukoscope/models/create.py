"""Networks by name."""

from __future__ import annotations

from typing import Any

from leukoscope.errors import ConfigError
from leukoscope.models import cnn45, leukoscope_s  # noqa: F401 - they register themselves
from leukoscope.models.base import CellNetwork, architectures


def create_model(name: str, **arguments: Any) -> CellNetwork:
    """A network with random weights.

    Args:
        name: an architecture's name; ``list(architectures)`` has them all.
        arguments: what that architecture takes, among them ``num_classes``.

    Raises:
        UsageError: for an unknown name.
        ConfigError: for an argument that the architecture does not take.

    >>> create_model("cnn-45px").num_classes
    2
    """
    kind = architectures.get(name)
    try:
        return kind(**arguments)
    except TypeError as error:
        reason = str(error).replace(f"{kind.__name__}.__init__() ", "")
        raise ConfigError(
            f"architecture '{name}': {reason}", hint=f"see 'leukoscope recipes {name}'"
        ) from None


def num_parameters(model: CellNetwork) -> int:
    """Number of trainable parameters."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
