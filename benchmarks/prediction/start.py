"""One picture, from a cold process to the answer: the starter, and small networks of Keras and torch."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import torchvision

from leukoscope.core.files import write_json
from leukoscope.recipes import load_recipe
from prediction.throughput import KERAS, QUIET
from record import BENCHMARKS, spread

SMALLEST = "cnn-small"
"""The document's network with the fewest parameters."""
LIMITS = {"Keras": 8.0, "torch": 4.0}
LIMIT_SECONDS = 1.0


def environment(folder: Path) -> dict[str, str]:
    """One in which every program keeps its compiled modules below ``folder``, however it was installed."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | QUIET | {"PYTHONPYCACHEPREFIX": str(folder / "compiled")}


def seconds(command: list[str], around: dict[str, str]) -> float:
    """Wall time of a process, from its start to its end; what it prints is the answer."""
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env=around, check=False)
    taken = time.perf_counter() - started
    if done.returncode or not done.stdout.strip():
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return taken


def commands(folder: Path, cell: Path, bundle: str) -> dict[str, list[str]]:
    """The programs that are compared, by their names; their networks are saved below ``folder``."""
    recipe, saved = folder / "recipe.json", folder / "network.keras"
    write_json(recipe, load_recipe(SMALLEST).model_dump(mode="json"))
    keras = [str(KERAS), str(BENCHMARKS / "keras")]
    subprocess.run([keras[0], f"{keras[1]}/save.py", recipe, saved], check=True, capture_output=True)
    state = folder / "state.pt"
    torch.save(torchvision.models.squeezenet1_1(weights=None, num_classes=2).state_dict(), state)
    return {
        "Keras": [keras[0], f"{keras[1]}/first.py", str(saved), str(cell)],
        "torch": [sys.executable, str(BENCHMARKS / "plain_torch" / "first.py"), str(state), str(cell)],
        "ours": [str(Path(sys.executable).with_name("leukoscope")), "predict", bundle, str(cell)],
    }


def measure(cell: Path, *, bundle: str, rounds: int) -> list[dict[str, float]]:
    """Seconds of every program, in turn, round after round; one round before them fills the disk's cache and
    compiles modules."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        programs, around = commands(folder, cell, bundle), environment(folder)
        taken = []
        for number in range(rounds + 1):
            taken.append({name: seconds(command, around) for name, command in programs.items()})
            print(f"round {number}:", ", ".join(f"{k} {v:.2f} s" for k, v in taken[-1].items()), flush=True)
    return taken[1:]


def compared(rounds: list[dict[str, float]]) -> dict[str, Any]:
    """How many times as fast ours is, for every peer, and our own seconds.

    >>> compared([{"Keras": 6.0, "torch": 3.0, "ours": 0.5}])["ratios"][0]["times"]["median"]
    12.0
    """
    ratios = [
        {"peer": peer, "limit": limit, "times": spread([row[peer] / row["ours"] for row in rounds])}
        for peer, limit in LIMITS.items()
    ]
    ours = spread([row["ours"] for row in rounds])
    return {"rounds": rounds, "ratios": ratios, "seconds": ours, "limit_seconds": LIMIT_SECONDS}
