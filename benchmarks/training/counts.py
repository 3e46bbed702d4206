"""Numbers of parameters of our networks and of Keras's twins, so that the same is compared."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from leukoscope.models.create import create_model, num_parameters
from leukoscope.recipes import Recipe, load_recipe
from leukoscope.training.phases import Phases
from record import BENCHMARKS
from training.peers import Peer

PARAMETERS = BENCHMARKS / "keras" / "parameters.json"
TWINS = (
    "cnn-32x4",
    "cnn-45px",
    "cnn-baseline",
    "cnn-dropout",
    "cnn-recall",
    "cnn-small",
    "resnet50-finetuned",
    "resnet50-frozen",
)
"""Recipes whose network keras/peer.py can build."""


def our_count(recipe: Recipe) -> int:
    """All parameters of a recipe's network; nothing is allocated."""
    with torch.device("meta"):
        size = recipe.preprocess.size
        return num_parameters(create_model(recipe.model.name, size=size, **recipe.model.built_with()))


def our_trained(recipe: Recipe, phase: int) -> int:
    """Those that a phase trains, where its weights are given."""
    with torch.device("meta"):
        size = recipe.preprocess.size
        network = create_model(recipe.model.name, size=size, **recipe.model.built_with())
    phases = Phases(network, [recipe.training.phases[phase]], recipe.augmentation, started=True)
    return sum(parameter.numel() for parameter in phases.learnt)


def keras_counts(name: str) -> list[int]:
    """Parameters that Keras trains in each phase of a recipe."""
    recipe, counts = load_recipe(name), []
    with tempfile.TemporaryDirectory() as folder:
        for phase in range(len(recipe.training.phases)):
            peer = Peer(recipe, phase, None, "", Path(folder))
            counts.append(peer.ready["trained"])
            peer.end()
    return counts
