"""How long maps of 100 cells take, from the command to the page, with all checks, on two cores.

    python benchmarks/explain.py [BUNDLE] [--cells FOLDER] [--num 100] [--method cam] [--times 3]

BUNDLE is ``starter`` where not given. Without ``--cells`` a synthetic cohort is drawn. Each time is a process
of its own. The result lies in benchmarks/results/explain-METHOD.json.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

from leukoscope.cohort.synth import synthesize
from leukoscope.inference.inputs import resolve
from page import in_words
from record import keep

CORES = 2


def linked(source: Path, folder: Path, num: int) -> Path:
    """A folder of ``num`` links to the cells below ``source``."""
    folder.mkdir()
    files = [source.absolute() / cell.path for cell in resolve(source)]
    for place, file in enumerate(islice(cycle(files), num)):
        (folder / f"{place:05}{file.suffix}").symlink_to(file)
    return folder


def timed(*words: object) -> tuple[float, float]:
    """Wall time and time of the processors, in seconds, of one run of the program."""
    command = [sys.executable, "-m", "leukoscope", *map(str, words)]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", nargs="?", default="starter")
    parser.add_argument("--cells", type=Path, help="a folder of cells")
    parser.add_argument("--num", type=int, default=100)
    parser.add_argument("--method", default="cam")
    parser.add_argument("--times", type=int, default=3)
    options = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = options.cells
        if source is None:
            source = synthesize(folder / "cohort", subjects=10, cells_per_subject=10, unlabelled=0)
        cells = linked(source, folder / "cells", options.num)
        words = ("explain", options.bundle, cells, "-o", folder / "maps", "--method", options.method)
        times = [timed(*words) for _ in range(options.times)]
    found = {
        "bundle": options.bundle,
        "method": options.method,
        "cells": options.num,
        "drawn": options.cells is None,
        "seconds": [wall for wall, _ in times],
        "processor_seconds": [spent for _, spent in times],
        "limit_seconds": 20,
    }
    keep("explain", options.method, found)
    print(in_words({"kind": "explain", **found}))


if __name__ == "__main__":
    main()
