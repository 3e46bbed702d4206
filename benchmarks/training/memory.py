"""The peak of memory of a whole training, less the cache of cells."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from training.cohort import cohort, scratch

LIMIT_GB = 1.5


def measure(name: str, *, cells: int, epochs: int, drawn: Path | None = None) -> dict[str, Any]:
    """Train a recipe by the command line in a process of its own and see how much memory that took.

    The peak is the largest resident set, which counts pages of the memory-mapped cache as well.

    Args:
        name: of the recipe, whose weights are random.
        cells: of the cohort, shared out as the command does by itself.
        epochs: of training.
        drawn: see :func:`training.cohort.cohort`.
    """
    with scratch() as folder:
        source = cohort(folder / "cohort", cells, drawn=drawn)
        command = [sys.executable, "-m", "leukoscope", "train", "--recipe", name, "--device", "cpu"]
        command += ["--data", str(source), "--out", str(folder / "run")]
        command += ["--set", f"training.epochs={epochs}", "--set", "model.weights=none"]
        environment = os.environ | {"LEUKOSCOPE_CACHE": str(folder / "cache")}
        log = (folder / "log").open("w")
        child = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise SystemExit((folder / "log").read_text()[-2000:])
        peak = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        cache = sum(path.stat().st_size for path in (folder / "cache").rglob("*.npy"))
    return {
        "recipe": name,
        "cells": cells,
        "epochs": epochs,
        "peak_gb": peak / 1e9,
        "cache_gb": cache / 1e9,
        "beyond_cache_gb": (peak - cache) / 1e9,
        "limit_gb": LIMIT_GB,
    }
