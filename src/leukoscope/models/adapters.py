"""Low-rank adapters beside the layers of a trunk, by peft; and their end in plain weights."""

from __future__ import annotations

from leukoscope.errors import ConfigError, MissingExtraError
from leukoscope.models.base import CellNetwork
from leukoscope.recipes.schema import Lora


def add_adapters(network: CellNetwork, lora: Lora) -> None:
    """Freeze the trunk and put adapters beside the layers that ``lora.targets`` names.

    Raises:
        MissingExtraError: without peft.
        ConfigError: when no layer has such a name, or it is of a kind that takes no adapter.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise MissingExtraError("model.lora", "adapters") from None
    config = LoraConfig(
        r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=list(lora.targets)
    )
    try:
        inject_adapter_in_model(config, network.trunk)
    except ValueError as error:
        raise ConfigError(
            f"model.lora.targets: {str(error).splitlines()[0]}",
            hint="name linear or convolutional layers of the network by the end of their names, such as qkv",
        ) from None


def merge_adapters(network: CellNetwork) -> None:
    """Add what the adapters learnt to the weights beside them, and take the adapters away."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    found = [(name, part) for name, part in network.named_modules() if isinstance(part, BaseTunerLayer)]
    for name, layer in found:
        layer.merge()
        parent, _, child = name.rpartition(".")
        setattr(network.get_submodule(parent), child, layer.get_base_layer())
