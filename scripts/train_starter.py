"""Train the starter bundle from real C-NMC 2019 cells and put it into the package.

    python scripts/train_starter.py C-NMC_FOLDER SQUEEZENET.safetensors WORK_FOLDER

It indexes the folder, splits its training cells into eight folds by subject and duplicate group, trains
`leukoscope-s` from ImageNet weights in every fold for the out-of-fold figures, then once on all subjects, and
copies that model to src/leukoscope/bundle/starter.leuko. Run it again to go on after an interruption. About
half an hour on two idle cores. What it read is in docs/results.md.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from leukoscope.bundle.read import verify_bundle
from leukoscope.cohort.index import index
from leukoscope.cohort.manifest import Manifest
from leukoscope.cohort.splits import split
from leukoscope.studies.run import train

NUM_FOLDS = 8
STARTER = Path(__file__).resolve().parents[1] / "src" / "leukoscope" / "bundle" / "starter.leuko"


def main() -> None:
    """Index, split, train, copy."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("data", type=Path, help="folder that holds C-NMC_Leukemia")
    ask.add_argument("weights", type=Path, help="SqueezeNet 1.1, ImageNet, features.*, safetensors")
    ask.add_argument("work", type=Path, help="gets the manifest, the split and the run")
    given = ask.parse_args()
    manifest_path, split_path = given.work / "cells.parquet", given.work / "folds.parquet"
    if not manifest_path.is_file():
        index(given.data).write(manifest_path)
    manifest = Manifest.read(manifest_path)
    split(manifest, protocol="grouped-kfold", folds=NUM_FOLDS, seed=0).write(split_path)
    run = train(
        "leukoscope-s",
        split_path,
        given.work / "run",
        fold="all",
        settings=[f"model.weights={given.weights}"],
        resume=True,
    )
    shutil.rmtree(STARTER, ignore_errors=True)
    shutil.copytree(run.bundle, STARTER)
    verify_bundle(STARTER)
    print(f"{STARTER}: {', '.join(f'{name} {metric.estimate}' for name, metric in run.metrics.items())}")


if __name__ == "__main__":
    main()
