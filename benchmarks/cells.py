"""Milliseconds a cell for each step before the model: decode, examine, preprocess.

    python benchmarks/cells.py [FOLDER] [--num 60] [--repeats 15]

Without FOLDER it draws 450 x 450 cells. Every step works on the image that was just decoded, as it does in
use; the fastest of the repeats counts for each cell. The goal for examine (measures and quality at once) is
0.3 ms on an idle core; cv2.imread stands beside it as a yardstick for the machine.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from decode import draw_cells
from leukoscope.cells.decode import IMAGE_SUFFIXES, decode
from leukoscope.cells.measure import measure
from leukoscope.cells.preprocess import Preprocess
from leukoscope.cells.quality import examine

PREPROCESS = Preprocess()


def steps(path: Path) -> dict[str, Callable[[], object]]:
    image = decode(path)
    measures = measure(image)
    return {
        "cv2.imread": lambda: cv2.imread(str(path)),
        "decode": lambda: decode(path),
        "measure": lambda: measure(image),
        "examine": lambda: examine(image),
        "preprocess": lambda: PREPROCESS.apply(image),
        "preprocess, measures known": lambda: PREPROCESS.apply(image, measures),
    }


def fastest(step: Callable[[], object], repeats: int) -> float:
    """Milliseconds of the fastest run."""
    best = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        step()
        best = min(best, time.perf_counter() - started)
    return best * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--num", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    cv2.setNumThreads(1)  # a cell is too small to share between cores
    with tempfile.TemporaryDirectory() as scratch:
        if options.folder:
            found = (
                path for path in sorted(options.folder.rglob("*")) if path.suffix.lower() in IMAGE_SUFFIXES
            )
            paths = list(found)[: options.num]
        else:
            paths = draw_cells(Path(scratch), options.num)
        rows = [
            {name: fastest(step, options.repeats) for name, step in steps(path).items()} for path in paths
        ]
    print(f"{len(rows)} cells, milliseconds a cell")
    for name in rows[0]:
        print(f"{name:28}{np.mean([row[name] for row in rows]):8.3f}")


if __name__ == "__main__":
    main()
