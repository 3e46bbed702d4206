"""The package's way beside the documents': same cells, network, batch and epochs in Keras on TensorFlow."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, cast

from leukoscope.cohort.open import open_cohort
from leukoscope.models.create import create_model, num_parameters
from leukoscope.recipes import Recipe, load_recipe
from leukoscope.training.cache import cached_cells
from leukoscope.training.fit import TrainingCells
from record import BENCHMARKS, spread
from training.cohort import FOLD, cohort, scratch
from training.steps import fit_with_pauses, phase_recipe, stand_in_weights

PYTHON = BENCHMARKS / "keras" / ".venv" / "bin" / "python"
READS = ("every epoch", "once")
LIMITS = {
    "cnn-45px": {"every epoch": 1.5, "once": 1.0},
    "cnn-recall": {"every epoch": 2.0, "once": 1.0},
    "cnn-32x4": {"every epoch": 2.0, "once": 1.0},
    "resnet50-frozen": {"every epoch": 5.0},
    "resnet50-finetuned": {"every epoch": 1.5},
}


class Peer:
    """One program of Keras, which waits until it is asked for an epoch."""

    def __init__(self, recipe: Recipe, phase: int, cells: Path | None, reads: str, folder: Path) -> None:
        job = {
            "recipe": recipe.model_dump(mode="json"),
            "phase": phase,
            "cells": str(cells),
            "reads": reads if cells else "",
        }
        name = f"{recipe.name}-{phase}-{reads.replace(' ', '-')}"
        path, self.log = folder / f"{name}.json", folder / f"{name}.log"
        path.write_text(json.dumps(job))
        self.process = subprocess.Popen(
            [PYTHON, PYTHON.parents[2] / "peer.py", path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log.open("w"),
            text=True,
            env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "-1"},
        )
        self.ready = self._reply()
        self.seconds: list[float] = []

    def epoch(self) -> None:
        asked = cast(IO[str], self.process.stdin)
        asked.write("epoch\n")
        asked.flush()
        self.seconds.append(self._reply()["seconds"])

    def _reply(self) -> dict[str, Any]:
        line = cast(IO[str], self.process.stdout).readline()
        if not line:
            raise SystemExit("the Keras peer ended:\n" + self.log.read_text()[-2000:])
        return cast(dict[str, Any], json.loads(line))

    def end(self) -> None:
        self.process.communicate("end\n")


@contextmanager
def peers(recipe: Recipe, phase: int, cells: Path, folder: Path) -> Iterator[dict[str, Peer]]:
    with ExitStack() as stack:
        made = {}
        for reads in READS:
            made[reads] = Peer(recipe, phase, cells, reads, folder)
            stack.callback(made[reads].end)
        yield made


def ours_once(source: Path, recipe: Recipe, cache: Path) -> tuple[TrainingCells, dict[str, float]]:
    """The cells as a fit takes them, and the seconds that indexing and decoding took."""
    started = time.perf_counter()
    manifest = open_cohort(source)
    indexed = time.perf_counter()
    cells = cached_cells(manifest, recipe.preprocess, folder=cache)
    seconds = {"index": indexed - started, "decode": time.perf_counter() - indexed}
    groups = manifest.frame["subject_id"].to_numpy().astype(str)
    positive = [name in manifest.positive_classes for name in manifest.classes]
    return TrainingCells(cells, manifest.labels, groups, positive), seconds


def measure(name: str, *, cells: int, epochs: int, drawn: Path | None = None) -> dict[str, Any]:
    """Seconds of either side, epoch about epoch, and of the whole training with as many epochs as the recipe
    has: what is done once, the first epoch, and the mean of the later ones as often as there are more.

    Args:
        name: of the recipe.
        cells: how many files; the ratio is one of cells per second.
        epochs: of each phase that are measured, at least 2.
        drawn: see :func:`training.cohort.cohort`.
    """
    published = load_recipe(name)
    numbers = [phase.epochs for phase in published.training.phases]
    with scratch() as folder:
        source = cohort(folder / "cohort", cells, drawn=drawn)
        data, once = ours_once(source, published, folder / "cache")
        with stand_in_weights(name) as weights:
            phases = []
            for phase in range(len(numbers)):
                recipe = phase_recipe(name, phase, epochs=epochs, weights=weights)
                with peers(published, phase, source / FOLD, folder) as others:
                    phases.append(_phase(recipe, data, others))
    return {"recipe": name, "cells": cells, "epochs": numbers, "measured_epochs": epochs} | compare(
        name, once, numbers, phases
    )


def _phase(recipe: Recipe, data: TrainingCells, others: dict[str, Peer]) -> dict[str, Any]:
    ours: list[float] = []
    begun = time.perf_counter()

    def pause() -> None:
        nonlocal begun
        ours.append(time.perf_counter() - begun)
        for peer in others.values():
            peer.epoch()
        begun = time.perf_counter()

    fit_with_pauses(recipe, data, pause)
    network = create_model(recipe.model.name, size=recipe.preprocess.size, **recipe.model.built_with())
    return {
        "ours": {"seconds": ours, "parameters": num_parameters(network)},
        "peers": {reads: peer.ready | {"seconds": peer.seconds} for reads, peer in others.items()},
    }


def whole(seconds: list[float], epochs: int) -> float:
    """Seconds of ``epochs`` epochs, worked out from the first and the mean of the later ones.

    >>> whole([5.0, 2.0, 4.0], 11)
    35.0
    """
    later = seconds[1:]
    return seconds[0] + (epochs - 1) * sum(later) / len(later)


def compare(
    name: str, once: dict[str, float], epochs: list[int], phases: list[dict[str, Any]]
) -> dict[str, Any]:
    """Total seconds of either side and how many times faster ours is, in all and epoch by epoch."""
    ours = sum(once.values())
    ours += sum(whole(p["ours"]["seconds"], num) for p, num in zip(phases, epochs, strict=True))
    found: dict[str, Any] = {"ours": {"once_seconds": once, "total_seconds": ours}, "peers": {}}
    for reads in READS:
        rows = [phase["peers"][reads] for phase in phases]
        total = rows[0]["once_seconds"]  # a second phase goes on with what was loaded
        total += sum(whole(row["seconds"], num) for row, num in zip(rows, epochs, strict=True))
        later = [
            theirs / own
            for phase in phases
            for theirs, own in zip(
                phase["peers"][reads]["seconds"][1:], phase["ours"]["seconds"][1:], strict=True
            )
        ]
        found["peers"][reads] = {
            "total_seconds": total,
            "times": total / ours,
            "limit": LIMITS.get(name, {}).get(reads),
            "later_epochs": spread(later),
        }
    return found | {"phases": phases, "peer_versions": phases[0]["peers"][READS[0]]["versions"]}
