"""How fast decode reads, beside OpenCV's imread: at least 60 % of its rate on 450 x 450 BMPs.

    python benchmarks/decode.py [FOLDER] [--num 100] [--repeats 9]

Without FOLDER it draws cells into a temporary one. The two readers take turns on each file, and the fastest
of the repeats counts, so that other work on the machine disturbs both alike. Exit code 1 below 60 %.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from leukoscope.cells.decode import IMAGE_SUFFIXES, decode

GOAL = 0.6


def draw_cells(folder: Path, num: int) -> list[Path]:
    """Textured discs on black as 24-bit BMP, 450 x 450 as in C-NMC."""
    rng = np.random.default_rng(0)
    paths = [folder / f"{number}.bmp" for number in range(num)]
    for path in paths:
        texture = cv2.GaussianBlur(rng.integers(30, 120, (450, 450, 3)).astype(np.uint8), (0, 0), 2)
        radius = int(rng.integers(70, 140))
        inside = cv2.circle(np.zeros((450, 450), np.uint8), (225, 225), radius, 1, -1)
        cv2.imwrite(str(path), texture * inside[:, :, None])
    return paths


def milliseconds(
    readers: Sequence[Callable[[str], np.ndarray]], paths: Sequence[Path], repeats: int
) -> list[float]:
    """Mean over the files of the fastest repeat, for each reader."""
    best = np.full((len(readers), len(paths)), np.inf)
    for _ in range(repeats):
        for column, path in enumerate(paths):
            for row, read in enumerate(readers):
                started = time.perf_counter()
                read(str(path))
                best[row, column] = min(best[row, column], time.perf_counter() - started)
    return [float(value) for value in best.mean(axis=1) * 1e3]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--num", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        if options.folder:
            found = (
                path for path in sorted(options.folder.rglob("*")) if path.suffix.lower() in IMAGE_SUFFIXES
            )
            paths = list(found)[: options.num]
        else:
            paths = draw_cells(Path(scratch), options.num)
        ours, theirs = milliseconds([decode, cv2.imread], paths, options.repeats)
    print(f"{len(paths)} files: decode {ours:.3f} ms, cv2.imread {theirs:.3f} ms a file")
    print(f"decode reads at {theirs / ours:.0%} of the rate of cv2.imread (goal: {GOAL:.0%})")
    return 0 if theirs / ours >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
