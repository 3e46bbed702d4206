"""Train the starter bundle from real C-NMC 2019 cells and put it into the package.

    python scripts/train_starter.py C-NMC_FOLDER SQUEEZENET.safetensors WORK_FOLDER

It indexes the folder and splits its training cells by subject and duplicate group into eight folds, in
three ways that no choice was made by (docs/results.md). It trains `leukoscope-s` from ImageNet weights in
every fold of each for the figures of the card, then once on all subjects, and copies that model to
src/leukoscope/bundle/starter.leuko. Run it again to go on after an interruption: what is finished is not
trained again. Partitions may be trained side by side, by calls with --seed, each in its own process; the
last call is without. About two minutes a fold on one idle core: fifty minutes, or half an hour with two
processes.

With --readings nothing but the folds is trained (with --seed those of one partition): what their people read
at the starter's operating points, and how large its training cells are, is added to the starter as it is.
Its weights stay; its card, bundle.json and id change.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import polars as pl

from leukoscope.bundle.export import restate_bundle
from leukoscope.bundle.format import AssumedScale
from leukoscope.bundle.read import open_bundle, verify_bundle
from leukoscope.cohort.index import index
from leukoscope.cohort.manifest import Manifest
from leukoscope.cohort.splits import split
from leukoscope.evaluation.partitions import read_partitions
from leukoscope.evaluation.people import read_people
from leukoscope.evaluation.sizes import median_sizes
from leukoscope.recipes import load_recipe
from leukoscope.studies.folds import Partition, ship, train_partition
from leukoscope.training.fit import Hardware

NUM_FOLDS = 8
SEEDS = (11, 12, 13)
"""Of the partitions. Everything was chosen with seeds 0, 1 and 2; 101 was looked at once on the way."""
LARGEST = ("H10", "H24", "H14", "H22")
"""Healthy people who have 70 % of the healthy cells; the card says how it reads without each of them."""
SAME_AUROC = 0.005
"""How far folds trained again may be from the figures that the starter came with."""
STARTER = Path(__file__).resolve().parents[1] / "src" / "leukoscope" / "bundle" / "starter.leuko"
HARDWARE = Hardware("cpu")


def main() -> None:
    """Index, split, train, copy."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("data", type=Path, help="folder that holds C-NMC_Leukemia")
    ask.add_argument("weights", type=Path, help="SqueezeNet 1.1, ImageNet, features.*, safetensors")
    ask.add_argument("work", type=Path, help="gets the manifest, the splits and the runs")
    ask.add_argument("--seed", type=int, choices=SEEDS, help="train the folds of this partition, and no more")
    ask.add_argument("--readings", action="store_true", help="add what people read to the starter as it is")
    given = ask.parse_args()
    recipe = load_recipe("leukoscope-s", [f"model.weights={given.weights}"])
    manifest_path = given.work / "cells.parquet"
    if not manifest_path.is_file():
        index(given.data).write(manifest_path)
    manifest = Manifest.read(manifest_path)

    def partition(seed: int) -> Partition:
        parts = split(manifest, protocol="grouped-kfold", folds=NUM_FOLDS, seed=seed)
        return train_partition(recipe, parts, given.work / f"seed-{seed}", resume=True, hardware=HARDWARE)

    if given.readings:
        seeds = SEEDS if given.seed is None else (given.seed,)
        add_readings({seed: partition(seed) for seed in seeds}, manifest)
        return
    if given.seed is not None:
        partition(given.seed)
        return
    run = ship(
        recipe,
        [partition(seed) for seed in SEEDS],
        given.work / "starter",
        resume=True,
        hardware=HARDWARE,
        without=LARGEST,
        demonstration=True,
    )
    shutil.rmtree(STARTER, ignore_errors=True)
    shutil.copytree(run.bundle, STARTER)
    verify_bundle(STARTER)
    print(f"{STARTER}: {', '.join(f'{name} {metric.estimate}' for name, metric in run.metrics.items())}")


def add_readings(partitions: dict[int, Partition], manifest: Manifest) -> None:
    """Add what people read, and how large cells are, to the starter, and leave everything else as it is."""
    starter, pools = open_bundle(STARTER), [partition.pool for partition in partitions.values()]
    said = starter.info.evidence.estimates["auroc"] if starter.info.evidence else []
    said = [said[SEEDS.index(seed)] for seed in partitions]
    found = read_partitions(pools, None, draws=0)[1].estimates["auroc"]
    print(f"AUROC of each partition: the starter says {said}, these folds read {found}")
    if max(abs(a - b) for a, b in zip(said, found, strict=True)) > SAME_AUROC:
        raise SystemExit("these are not the folds that the starter's figures are of: nothing was written")
    readings = read_people(pools, starter.info.operating_points)
    sizes = median_sizes(manifest.frame.filter(pl.col("source") == "training"))
    facts = {
        "reference_readings": readings,
        "median_sizes": sizes,
        "assumed_scale": AssumedScale.of(manifest),
    }
    restate_bundle(starter, STARTER, **facts)
    print(f"{STARTER}: {verify_bundle(STARTER).bundle_id}")


if __name__ == "__main__":
    main()
