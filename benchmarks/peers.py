"""Prediction beside the documents' way (Keras) and plain torch, measured in turn in one run, on two cores.

    python benchmarks/peers.py throughput BUNDLE [--int8 BUNDLE] [--cells FOLDER] [--num 640] [--add]
    python benchmarks/peers.py start [BUNDLE] [--cells FOLDER] [--rounds 7] [--add]

``throughput``: from 450x450 BMP files to a CSV with the ResNet50 of benchmarks/train_resnet50.py, whose
``weights.safetensors`` both peers load; cells a second from the end of the first batch on, so that no start
counts. ``--int8`` is the same bundle from ``leukoscope export --int8``. ``--add`` adds rounds to those kept.
``start``: one picture, a cold process, the starter beside a small network of each peer; the disk's cache is
warm and Python's modules are compiled.

Without ``--cells`` a synthetic cohort is drawn. Keras needs benchmarks/keras/.venv, which ``make bench``
makes; nothing else should run on the machine. The results lie in benchmarks/results.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from leukoscope.cohort.synth import synthesize
from leukoscope.inference.inputs import resolve
from page import in_words
from prediction import start, throughput
from record import RESULTS, keep


@contextmanager
def cells_of(given: Path | None) -> Iterator[Path]:
    """The folder that was named, or a cohort that is drawn and removed."""
    with tempfile.TemporaryDirectory() as name:
        yield given or synthesize(Path(name) / "cohort", subjects=8, cells_per_subject=40, unlabelled=0)


def kept_rounds(kind: str, name: str, options: argparse.Namespace) -> list[dict[str, float]]:
    """Those of an earlier call, where ``--add`` asks for them."""
    path = RESULTS / f"{kind}-{name}.json"
    return list(json.loads(path.read_text())["rounds"]) if options.add and path.is_file() else []


def measure_throughput(options: argparse.Namespace) -> Path:
    bundles = {"fp32": Path(options.bundle)} | ({"int8": options.int8} if options.int8 else {})
    weights = bundles["fp32"] / "weights.safetensors"
    programs = throughput.commands(bundles, weights, options.backend)
    with cells_of(options.cells) as source, tempfile.TemporaryDirectory() as name:
        folder = throughput.linked(source, Path(name) / "cells", options.num)
        found = throughput.measure(programs, folder, rounds=options.rounds)
    rounds = kept_rounds("throughput", "resnet50", options) + found["rounds"]
    found |= {"rounds": rounds, "ratios": throughput.compared(rounds)}
    return keep("throughput", "resnet50", {"cells": options.num, "drawn": options.cells is None} | found)


def measure_start(options: argparse.Namespace) -> Path:
    name = Path(options.bundle).stem
    with cells_of(options.cells) as source:
        cell = source.absolute() / next(iter(resolve(source))).path
        rounds = start.measure(cell, bundle=options.bundle, rounds=options.rounds)
    found = start.compared(kept_rounds("start", name, options) + rounds)
    return keep("start", name, found | {"drawn": options.cells is None})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("throughput", "start"))
    parser.add_argument("bundle", nargs="?", default="starter")
    parser.add_argument("--int8", type=Path, metavar="BUNDLE")
    parser.add_argument("--cells", type=Path, metavar="FOLDER")
    parser.add_argument("--num", type=int, default=640, help="auto asks for the fastest runtime from 500 on")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--backend", default="auto", help="of leukoscope predict")
    parser.add_argument("--add", action="store_true")
    parser.add_argument("--cores", type=int, default=2, help="that all programs share")
    options = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])
    options.rounds = options.rounds or (5 if options.command == "throughput" else 7)
    path = {"throughput": measure_throughput, "start": measure_start}[options.command](options)
    print(path, in_words(json.loads(path.read_text())), sep="\n")


if __name__ == "__main__":
    main()
