"""How fast training is on a GPU: cells a second, share of the card's peak, share of the time it is busy.

    python benchmarks/train_gpu.py [RECIPE...] [--size S] [--batch B] [--steps 40] [--epochs 5]
    python benchmarks/train_gpu.py resnet50-finetuned --size 224 --batch 256

Every recipe where none is named, from random weights, so that all of the network is trained. The fit of the
package reads generated uint8 cells; beside it stands a plain loop in bf16 on a float tensor on the card,
epoch about epoch. The last epoch of the fit runs under torch's profiler and counts for the busy share alone.
``--device cpu`` only tries the script out and keeps nothing; ``--limit N`` leaves out larger networks.
"""

from __future__ import annotations

import argparse
from statistics import median
from typing import Any

import torch
from torch.autograd.profiler_util import DeviceType
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from leukoscope.models.create import create_model
from leukoscope.recipes import Recipe, list_recipes
from page import in_words
from record import keep, machine, spread
from training.counts import our_count
from training.steps import PlainLoop, Way, fit_with_pauses, generated_cells, phase_recipe

PEAK_BF16 = {
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "H200": 989e12,
    "A100": 312e12,
    "A30": 165e12,
    "A10": 125e12,
    "L40S": 362e12,
    "L4": 121e12,
}
"""Operations a second of the tensor cores, dense, by a part of the card's name, the first that fits.
Source: NVIDIA's data sheets, whose figures with sparsity are twice these."""
PASSES = 3
"""Forward, and backward for weights and for inputs."""


def peak_of(card: str) -> float | None:
    """Of a card by the name that torch gives it; ``None`` where it is not known.

    >>> peak_of("NVIDIA H100 80GB HBM3") == 989e12, peak_of("NVIDIA H100 PCIe") == 756e12, peak_of("A card")
    (True, True, None)
    """
    return next((peak for name, peak in PEAK_BF16.items() if name in card), None)


def operations(recipe: Recipe) -> int:
    """Of one forward pass of one cell: two for each multiply-add of convolutions and matrix products."""
    size = recipe.preprocess.size
    with torch.device("meta"):
        network = create_model(recipe.model.name, size=size, **recipe.model.built_with())
        pixels = torch.zeros(2, 3, size, size)
    with FlopCounterMode(display=False) as counter:
        network.eval()
        network.decide(network.encode(pixels))
    return int(counter.get_total_flops()) // 2


def busy_share(taken: profile, wall: float) -> float:
    """Share of ``wall`` seconds in which at least one kernel ran; a copy, as of a checkpoint, is none."""
    spans = sorted(
        (event.time_range.start, event.time_range.end)
        for event in taken.events()
        if event.device_type == DeviceType.CUDA and not event.name.startswith("Mem")
    )
    busy, reached = 0.0, 0.0
    for start, end in spans:
        busy += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return busy / 1e6 / wall


class Epochs:
    """What happens behind the epochs of the fit: an epoch of the plain loop; the profiler around the last."""

    def __init__(self, plain: PlainLoop, epochs: int) -> None:
        self.plain, self.left = plain, epochs
        self.seconds: list[float] = []
        self.profiler = profile(activities=[ProfilerActivity.CUDA])

    def __call__(self) -> None:
        self.left -= 1
        if self.left:
            self.seconds.append(self.plain.epoch())
        if self.plain.device.type == "cpu":
            return
        if self.left == 1:
            self.profiler.__enter__()
        elif not self.left:
            self.plain.wait()
            self.profiler.__exit__(None, None, None)


def measure(recipe: Recipe, *, steps: int, device: str) -> dict[str, Any]:
    """One row of a recipe whose epochs, batch and size are those that shall be measured."""
    size, batch, epochs = recipe.preprocess.size, recipe.training.batch_size, recipe.training.epochs
    on_card = device != "cpu"
    card = torch.cuda.get_device_name() if on_card else str(machine()["processor"])
    with generated_cells(steps * batch, size) as data:
        plain = PlainLoop(recipe, data, device=device, way=Way(fused=True, bf16=on_card))
        behind = Epochs(plain, epochs)
        history = fit_with_pauses(recipe, data, behind, device=device).history
    ours = [row["seconds"] for row in history][1:-1]
    theirs = behind.seconds[1:]
    rate = steps * batch / median(ours)
    peak, cost = peak_of(card), operations(recipe)
    return {
        "recipe": recipe.name,
        "card": card,
        "size": size,
        "batch": batch,
        "steps": steps,
        "precision": "bf16" if on_card else "float32",
        "cells_a_second": rate,
        "plain_cells_a_second": steps * batch / median(theirs),
        "ratio": spread([b / a for a, b in zip(ours, theirs, strict=True)]),
        "operations_a_cell": cost,
        "share_of_peak": None if peak is None else PASSES * cost * rate / peak,
        "busy": busy_share(behind.profiler, history[-1]["seconds"]) if on_card else None,
    }


def sized(recipe: Recipe, size: int | None, batch: int | None) -> Recipe:
    preprocess = recipe.preprocess.model_copy(update={"size": size or recipe.preprocess.size})
    training = recipe.training.model_copy(update={"batch_size": batch or recipe.training.batch_size})
    return recipe.model_copy(update={"preprocess": preprocess, "training": training})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipes", nargs="*", metavar="RECIPE")
    parser.add_argument("--size", type=int, help="side of the cells, pixels; the recipe's where not given")
    parser.add_argument("--batch", type=int, help="cells of a batch; the recipe's where not given")
    parser.add_argument("--steps", type=int, default=40, help="of an epoch")
    parser.add_argument("--epochs", type=int, default=5, help="at least 3: the first and last do not count")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--limit", type=int, default=10**9, help="parameters of the largest network")
    options = parser.parse_args()
    for name in options.recipes or list_recipes():
        recipe = sized(
            phase_recipe(name, 0, epochs=options.epochs, weights=None), options.size, options.batch
        )
        if our_count(recipe) > options.limit:
            continue
        found = measure(recipe, steps=options.steps, device=options.device)
        if options.device != "cpu":
            keep("gpu", f"{name}-{found['size']}-{found['batch']}", found)
        print(in_words({"kind": "gpu"} | found), flush=True)


if __name__ == "__main__":
    main()
