"""What a network starts from: seeded random weights, those of the model hub, or those of a file."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from leukoscope.core.files import sha256_file
from leukoscope.errors import TrainingError
from leukoscope.models.adapters import add_adapters
from leukoscope.models.base import CellNetwork
from leukoscope.models.create import create_model
from leukoscope.recipes.schema import ModelChoice
from leukoscope.training.cache import Cells

BOTH_WAYS = (
    "with a connection timm gets them from the model hub; without one give a local safetensors file: "
    "--set model.weights=FILE; --set model.weights=none starts from random weights, and says so"
)


def build_network(choice: ModelChoice, num_classes: int, cells: Cells, *, seed: int) -> CellNetwork:
    """The recipe's network with its starting weights: seeded random ones, those of the model hub, or those of
    a safetensors file; with adapters where the recipe has them.

    Args:
        choice: name, arguments, weights.
        num_classes: K.
        cells: some of the cells to be trained on, (N, S, S, 3) uint8.
        seed: of the random weights.

    Raises:
        TrainingError: when the weights cannot be had, are others than they should be, or do not fit.
    """
    torch.manual_seed(seed)
    network = create_model(choice.name, num_classes=num_classes, size=cells.shape[1], **choice.built_with())
    if choice.weights != "none":
        try:
            _start(network, choice, cells)
        except TrainingError as error:
            raise TrainingError(
                f"model.weights: {choice.weights}: {error.message}", hint=error.hint or BOTH_WAYS
            ) from None
    if choice.lora is not None:
        if choice.weights == "none":
            raise TrainingError(
                "model.lora: adapters stand beside given weights, and model.weights is none", hint=BOTH_WAYS
            )
        add_adapters(network, choice.lora)
    return network


def _start(network: CellNetwork, choice: ModelChoice, cells: Cells) -> None:
    if choice.weights == "imagenet":
        network.start_from_hub()
        return
    path = Path(choice.weights)
    given = _weights_of_file(path)
    if choice.weights_sha256 and (found := sha256_file(path)) != choice.weights_sha256:
        raise TrainingError(
            f"its SHA-256 is {found}, expected {choice.weights_sha256}",
            hint="take the file that was meant, or correct model.weights_sha256",
        )
    network.start_from(given, torch.tensor(cells).permute(0, 3, 1, 2).float())


def _weights_of_file(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"it cannot be read: {error}") from None
