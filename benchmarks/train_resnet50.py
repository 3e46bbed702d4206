"""Train the ResNet50 at 224 that prediction is measured with, for a few epochs on real cells.

    LEUKOSCOPE_REAL_DATA=FOLDER python benchmarks/train_resnet50.py WORK [--cells 1000] [--epochs 3]

FOLDER holds C-NMC_Leukemia. From random weights, split by subject (60/10/10/20), so many cells drawn in each
epoch: what counts is how fast it answers and what becomes of its answers in int8, not how good they are. The
bundle is WORK/run/model.leuko; about ten minutes on two cores. Run again, it goes on;
what is finished stays.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path


def leukoscope(*words: object) -> None:
    command = [sys.executable, "-m", "leukoscope", *map(str, words)]
    print("leukoscope", *words, flush=True)
    subprocess.run(command, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", type=Path, help="gets the manifest, the split and the run")
    parser.add_argument("--cells", type=int, default=1_000, help="drawn in each epoch")
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    data = os.environ.get("LEUKOSCOPE_REAL_DATA")
    if not data:
        parser.error("LEUKOSCOPE_REAL_DATA names no folder of real cells")
    work = options.work
    cells, parts, run = work / "cells.parquet", work / "split.parquet", work / "run"
    if not parts.is_file():
        leukoscope("data", "index", data, "-o", cells)
        leukoscope("data", "split", cells, "--protocol", "grouped-holdout", "-o", parts)
    settings = {
        "model.name": "resnet50",
        "model.weights": "none",
        "training.epochs": options.epochs,
        "training.cells_per_epoch": options.cells,
        "training.warmup_steps": 20,
    }
    changes = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    if (run / "model.leuko").is_dir():
        return
    again = ["--resume"] if run.is_dir() else []
    leukoscope("train", "--recipe", "timm", "--data", parts, "--out", run, *changes, *again)


if __name__ == "__main__":
    main()
