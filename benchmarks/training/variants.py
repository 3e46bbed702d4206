"""Which of torch.compile, channels-last, bf16 and a fused optimiser makes a plain loop faster here."""

from __future__ import annotations

import gc
from typing import Any

from record import spread
from training.steps import PlainLoop, Way, generated_cells, phase_recipe

WAYS = {
    "none of them": Way(channels_last=False),
    "channels-last": Way(),
    "fused optimiser": Way(channels_last=False, fused=True),
    "bf16": Way(channels_last=False, bf16=True),
    "torch.compile": Way(channels_last=False, compiled=True),
    "channels-last, fused": Way(fused=True),
    "channels-last, torch.compile": Way(compiled=True),
    "channels-last, bf16": Way(bf16=True),
}


def measure(name: str, *, rounds: int, steps: int, device: str = "cpu") -> dict[str, Any]:
    """How many times the speed of none of them each has: one epoch of each in turn, round after round.

    Args:
        name: of the recipe; its first phase, from random weights, so that all of it is trained.
        rounds: that count; one more comes before them, in which torch.compile compiles.
        steps: of each epoch.
        device: of torch.
    """
    recipe = phase_recipe(name, 0, epochs=1, weights=None)
    with generated_cells(steps * recipe.training.batch_size, recipe.preprocess.size) as data:
        loops = {word: PlainLoop(recipe, data, device=device, way=way) for word, way in WAYS.items()}
        seconds: dict[str, list[float]] = {word: [] for word in loops}
        for _ in range(rounds + 1):
            for word, loop in loops.items():
                seconds[word].append(loop.epoch())
    del loops
    gc.collect()
    base = seconds["none of them"][1:]
    found = {
        word: {
            "ms_a_step": [1e3 * one / steps for one in taken[1:]],
            "first_seconds": taken[0],
            "ratio": spread([a / b for a, b in zip(base, taken[1:], strict=True)]),
        }
        for word, taken in seconds.items()
    }
    size = recipe.preprocess.size
    return {
        "recipe": name,
        "size": size,
        "batch": recipe.training.batch_size,
        "device": device,
        "ways": found,
    }
