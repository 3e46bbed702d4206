"""What varying a batch of cells costs: milliseconds for each recipe's augmentation, for each variation by
itself, and for all of them together.

    python benchmarks/augment.py [RECIPE...] [--device cpu] [--num 32] [--threads 1]

Every recipe where none is named, each at 64 and at 224 pixels. Best and median of the repetitions.
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import numpy as np
import torch

from leukoscope.recipes import list_recipes, load_recipe
from leukoscope.recipes.schema import Augmentation
from leukoscope.training.augment import augment, mix

SIZES = (64, 224)
SECONDS = 2.0
EACH: dict[str, dict[str, float]] = {
    "turns": {"rotation": 180, "flip": True, "exact": 1},
    "rotation": {"rotation": 30},
    "stain": {"stain": 0.3},
    "hue": {"hue": 30},
    "brightness": {"brightness": 0.2},
    "blur": {"blur": 1},
    "noise": {"noise": 8},
    "jpeg": {"jpeg": 60},
    "cutout": {"cutout": 0.3},
    "mixup": {"mixup": 0.2},
}
EVERYTHING = {key: value for settings in EACH.values() for key, value in settings.items() if key != "exact"}


def discs(num: int, size: int) -> torch.Tensor:
    """Discs of noise on black, as large as cells are."""
    y, x = np.mgrid[:size, :size] - size / 2
    noise = np.random.default_rng(0).integers(60, 200, (num, size, size, 3))
    return torch.from_numpy((noise * (np.hypot(x, y) < 0.27 * size)[..., None]).astype(np.uint8))


def repetitions(cells: torch.Tensor, settings: Augmentation) -> list[float]:
    """Milliseconds of each, in the order of memory that networks want, as a step of training has it."""
    generator = torch.Generator(cells.device).manual_seed(0)
    targets = torch.eye(2, device=cells.device)[torch.arange(len(cells)) % 2]
    taken: list[float] = []
    while sum(taken) < 1000 * SECONDS and len(taken) < 400:
        started = time.perf_counter()
        pixels = augment(cells, settings, generator)
        if settings.mixup:
            pixels, _ = mix(pixels, targets, settings.mixup, generator)
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        if cells.is_cuda:
            torch.cuda.synchronize()
        taken.append(1000 * (time.perf_counter() - started))
    return taken[len(taken) // 10 :]


def show(name: str, settings: Augmentation, *, num: int, device: str) -> None:
    columns = []
    for size in SIZES:
        taken = repetitions(discs(num, size).to(device), settings)
        columns.append(f"{size:4} px {min(taken):8.2f} {median(taken):8.2f} ms")
    print(f"{name:<24}{'   '.join(columns)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipes", nargs="*", metavar="RECIPE")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--num", type=int, default=32, help="cells of a batch")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{options.num} cells a batch, {options.device}: best, median")
    of_recipes = {name: load_recipe(name).augmentation for name in options.recipes or list_recipes()}
    rows = of_recipes | {"nothing": Augmentation()}
    rows |= {f"  {name}": Augmentation.model_validate(settings) for name, settings in EACH.items()}
    rows["everything"] = Augmentation.model_validate(EVERYTHING)
    for name, settings in rows.items():
        show(name, settings, num=options.num, device=options.device)


if __name__ == "__main__":
    main()
