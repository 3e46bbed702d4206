"""Cells a second of the model alone: each installed runtime against ONNX Runtime, in pairs in turn.

    python benchmarks/backends.py [BUNDLE] [--cells FOLDER] [--batch 1,16,64,256] [--pairs 15] [--threads 0]

BUNDLE is ``starter`` where not given. Without ``--cells`` a synthetic cohort is drawn. Of each runtime the
median is printed and the least and most, in cells a second and in milliseconds of processor a cell (these
hardly change when the machine has other work); of each pair the ratios, over all pairs median and quartiles.
The result lies in benchmarks/results/backends-BUNDLE.json.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import record
from leukoscope.bundle.format import BundleInfo
from leukoscope.bundle.read import open_bundle
from leukoscope.cells.decode import decode
from leukoscope.inference.backends import DEFAULT_BACKEND, Backend, make_backend
from leukoscope.inference.fastest import runtimes
from leukoscope.inference.inputs import resolve
from record import keep

LEAST_CELLS = 256
"""In one timing, however small the batch."""


class Took(NamedTuple):
    """Of one timing: cells a second, and milliseconds of processor a cell, all threads together."""

    rate: float
    spent: float


def time_one(backend: Backend, batches: list[np.ndarray]) -> Took:
    wall, processors = time.perf_counter(), time.process_time()
    for batch in batches:
        backend.run(batch)
    wall, processors = time.perf_counter() - wall, time.process_time() - processors
    num = sum(map(len, batches))
    return Took(num / wall, 1000 * processors / num)


def pairs(loaded: dict[str, Backend], cells: np.ndarray, num: int) -> dict[str, list[Took]]:
    """Timings of each backend, each round in the opposite order of the one before."""
    batches = [cells] * max(1, LEAST_CELLS // len(cells))
    found: dict[str, list[Took]] = {name: [] for name in loaded}
    for backend in loaded.values():
        backend.run(cells)
    for place in range(num):
        for name in list(loaded)[:: 1 if place % 2 else -1]:
            found[name].append(time_one(loaded[name], batches))
    return found


def show(batch: int, found: dict[str, list[Took]]) -> None:
    for name, took in found.items():
        rates, spent = zip(*took, strict=True)
        line = f"{batch:>6}  {name:<12}{spread(rates, 0)} cells/s  {spread(spent, 2)} ms"
        if name != DEFAULT_BACKEND:
            both = list(zip(took, found[DEFAULT_BACKEND], strict=True))
            line += f"  rate {quartiles([a.rate / b.rate for a, b in both])}"
            line += f", processor {quartiles([a.spent / b.spent for a, b in both])}"
        print(line, flush=True)


def spread(values: Sequence[float], digits: int) -> str:
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def quartiles(ratios: list[float]) -> str:
    low, middle, high = statistics.quantiles(ratios, n=4)
    return f"{middle:.2f} times ({low:.2f} to {high:.2f})"


def kept(found: dict[str, dict[str, list[Took]]]) -> dict[str, Any]:
    """By batch size and backend: cells a second, and how many times the default's, pair by pair."""
    return {
        "rates": {
            size: {name: [one.rate for one in took] for name, took in each.items()}
            for size, each in found.items()
        },
        "times": {
            size: {
                name: record.spread(
                    [a.rate / b.rate for a, b in zip(took, each[DEFAULT_BACKEND], strict=True)]
                )
                for name, took in each.items()
                if name != DEFAULT_BACKEND
            }
            for size, each in found.items()
        },
    }


def first(folder: Path, info: BundleInfo, num: int) -> np.ndarray:
    """So many cells as the model sees them, of the first files of the folder, over and over."""
    files = islice(resolve(folder), 256)
    pixels = [info.preprocess.apply(decode(folder.absolute() / cell.path)) for cell in files]
    return np.stack(list(islice(cycle(pixels), num)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", nargs="?", default="starter")
    parser.add_argument("--cells", type=Path, help="a folder of cells")
    parser.add_argument("--batch", default="1,16,64,256")
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    sizes = [int(size) for size in options.batch.split(",")]
    bundle = open_bundle(options.bundle)
    with tempfile.TemporaryDirectory() as name:
        source = options.cells
        if source is None:
            from leukoscope.cohort.synth import synthesize

            source = synthesize(Path(name) / "cohort", subjects=8, cells_per_subject=32, unlabelled=0)
        cells = first(source, bundle.info, max(sizes))
    loaded = {name: make_backend(bundle, name, threads=options.threads) for name in runtimes()}
    print(", ".join(f"{name} {backend.version} on {backend.device}" for name, backend in loaded.items()))
    print(f"{'batch':>6}  {'runtime':<12}median of {options.pairs} (least to most)")
    found = {}
    for size in sizes:
        found[str(size)] = pairs(loaded, cells[:size], options.pairs)
        show(size, found[str(size)])
    keep("backends", bundle.info.name, {"bundle": bundle.info.name, **kept(found)})


if __name__ == "__main__":
    main()
