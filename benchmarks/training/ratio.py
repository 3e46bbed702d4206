"""The step rate of the package's fit beside that of a plain loop on a tensor in memory, epoch about epoch."""

from __future__ import annotations

from typing import Any

from leukoscope.models.create import create_model, num_parameters
from leukoscope.recipes import load_recipe
from record import spread
from training.steps import PlainLoop, fit_with_pauses, generated_cells, phase_recipe, stand_in_weights

LIMIT = 0.9
LEAST_STEPS, MOST_STEPS, TRIAL_STEPS = 4, 400, 3


def measure(name: str, *, pairs: int, seconds: float, steps: int) -> list[dict[str, Any]]:
    """One row for each phase of the recipe.

    Args:
        name: of the recipe.
        pairs: epochs of either side that count; one more comes before them.
        seconds: about so long is an epoch of the plain loop.
        steps: of an epoch; 0 finds out how many fill ``seconds``.
    """
    rows = []
    with stand_in_weights(name) as weights:
        for phase in range(len(load_recipe(name).training.phases)):
            recipe = phase_recipe(name, phase, epochs=pairs + 1, weights=weights)
            rows.append({"recipe": name, "phase": phase} | _phase(recipe, seconds=seconds, steps=steps))
    return rows


def _phase(recipe: Any, *, seconds: float, steps: int) -> dict[str, Any]:
    size, batch = recipe.preprocess.size, recipe.training.batch_size
    steps = steps or _steps_of(recipe, seconds)
    with generated_cells(steps * batch, size) as data:
        plain = PlainLoop(recipe, data)
        plain.epoch()
        theirs: list[float] = []
        history = fit_with_pauses(recipe, data, lambda: theirs.append(plain.epoch())).history
    # the plain epoch behind ours of the same number; the first of ours only warms up
    pairs = [(row["seconds"], other) for row, other in zip(history, theirs, strict=True)][1:]
    network = create_model(recipe.model.name, size=size, **recipe.model.built_with())
    return {
        "size": size,
        "batch": batch,
        "steps": steps,
        "parameters": num_parameters(network),
        "frozen": list(recipe.training.freeze) if recipe.model.weights != "none" else [],
        "ours_ms_a_step": [1e3 * ours / steps for ours, _ in pairs],
        "plain_ms_a_step": [1e3 * other / steps for _, other in pairs],
        "ratio": spread([other / ours for ours, other in pairs]),
    }


def _steps_of(recipe: Any, seconds: float) -> int:
    with generated_cells(TRIAL_STEPS * recipe.training.batch_size, recipe.preprocess.size) as data:
        plain = PlainLoop(recipe, data)
        plain.epoch()
        each = plain.epoch() / TRIAL_STEPS
    return max(LEAST_STEPS, min(MOST_STEPS, round(seconds / each)))
