"""Cells a second of the model alone: each installed runtime against ONNX Runtime, in pairs in turn.

    python benchmarks/backends.py [BUNDLE] [--cells FOLDER] [--batch 1,16,64,256] [--pairs 15] [--threads 0]

BUNDLE is ``starter`` where not given. Without ``--cells`` a synthetic cohort is drawn. Of each runtime the
median is printed and the least and most; of each pair the ratio, and over all pairs its median and quartiles.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from leukoscope.bundle.format import BundleInfo
from leukoscope.bundle.read import open_bundle
from leukoscope.cells.decode import decode
from leukoscope.inference.backends import DEFAULT_BACKEND, Backend, make_backend
from leukoscope.inference.fastest import runtimes
from leukoscope.inference.inputs import resolve

LEAST_CELLS = 256
"""In one timing, however small the batch."""


def rate(backend: Backend, batches: list[np.ndarray]) -> float:
    started = time.perf_counter()
    for batch in batches:
        backend.run(batch)
    return sum(map(len, batches)) / (time.perf_counter() - started)


def pairs(loaded: dict[str, Backend], cells: np.ndarray, num: int) -> dict[str, list[float]]:
    """Rates of each backend, each round in the opposite order of the one before."""
    batches = [cells] * max(1, LEAST_CELLS // len(cells))
    rates: dict[str, list[float]] = {name: [] for name in loaded}
    for backend in loaded.values():
        backend.run(cells)
    for place in range(num):
        for name in list(loaded)[:: 1 if place % 2 else -1]:
            rates[name].append(rate(loaded[name], batches))
    return rates


def show(batch: int, rates: dict[str, list[float]]) -> None:
    for name, found in rates.items():
        line = f"{batch:>6}  {name:<12}{statistics.median(found):8.0f} ({min(found):.0f} to {max(found):.0f})"
        if name != DEFAULT_BACKEND:
            ratios = [a / b for a, b in zip(found, rates[DEFAULT_BACKEND], strict=True)]
            low, middle, high = statistics.quantiles(ratios, n=4)
            line += f"   {middle:.2f} times ({low:.2f} to {high:.2f})"
        print(line, flush=True)


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
    print(f"{'batch':>6}  {'runtime':<12}cells a second, median of {options.pairs} (least to most)")
    for size in sizes:
        show(size, pairs(loaded, cells[:size], options.pairs))


if __name__ == "__main__":
    main()
