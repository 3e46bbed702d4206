"""How fast and how small prediction is: cells a second beside those of its stages alone, time to the first
answer, memory.

    python benchmarks/predict.py [BUNDLE] [--cells FOLDER] [--backend NAME] [--rounds 5] [--many NUM ...]

BUNDLE is ``starter`` where not given. Without ``--cells`` a synthetic cohort of 1,000 cells is drawn. All of
it is one view of plain BMP files that lie in the disk's cache, no picture twice, from a folder to a CSV on
disk with quality flags. With ``--many`` nothing is timed: so many links to the cells are predicted instead,
and the peaks of memory read. What is measured goes to ``benchmarks/results``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from leukoscope.bundle.read import Bundle, open_bundle
from leukoscope.cells.decode import decode
from leukoscope.cells.quality import examine
from leukoscope.core.files import sha256_bytes
from leukoscope.core.inner_threads import no_inner_threads
from leukoscope.core.parallel import num_cpus
from leukoscope.inference.copies import Copies, answer
from leukoscope.inference.inputs import resolve
from leukoscope.inference.predict import predict
from leukoscope.inference.predictor import Predictor
from leukoscope.inference.rows import make_rows
from leukoscope.inference.sinks import write_predictions
from record import keep, spread

FIRST_ANSWER = """
import sys, time
import leukoscope
leukoscope.load(sys.argv[1]).predict(sys.argv[2])
"""

PEAK = """
import sys
from leukoscope.inference.predict import predict
predict(sys.argv[1], sys.argv[2], out=sys.argv[3])
print(int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 1024)
"""

BATCH = 64
LIMITS = {"cells_a_second": 600, "efficiency": 0.8, "first_answer_seconds": 1.0}
MOST_MB = 600


class Pace(NamedTuple):
    """Milliseconds a cell: by the clock, and of all processors together."""

    wall: float
    processor: float


def pace(work: Callable[[], int]) -> Pace:
    """Time some work that gives back how many cells it did."""
    wall, processor = time.perf_counter(), time.process_time()
    num = work()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return Pace(1000 * wall / num, 1000 * processor / num)


def on_all(work: Callable[[Any], object], items: Iterable[Any]) -> int:
    """Do the items on as many threads as there are processors; how many they were."""
    with ThreadPoolExecutor(num_cpus()) as pool:
        return sum(1 for _ in pool.map(work, items))


def read(file: Path) -> np.ndarray:
    data = file.read_bytes()
    sha256_bytes(data)
    return decode(data)


def stages(predictor: Predictor, files: list[Path], folder: Path) -> dict[str, Callable[[], int]]:
    """Each stage by itself on all processors, for cells that the one before has made ready."""
    info, some = predictor.bundle.info, files[: 4 * BATCH]
    images = [decode(file) for file in some]
    measures = [examine(image, info.limits)[0] for image in images]
    batches = list(predictor.batches(resolve([str(file) for file in some])))
    pixels = [np.stack([cell.pixels for cell in batch if cell.pixels is not None]) for batch in batches]
    asked = map(Copies().ask, batches)
    answers = [answer(batch, predictor.backend.run, predictor.novelty).answers() for batch in asked]

    def model() -> int:
        return sum(len(predictor.novelty(predictor.backend.run(batch).embedding)) for batch in pixels)

    def write() -> int:
        def one(number: int) -> None:
            rows = make_rows(batches[number % len(batches)], answers[number % len(batches)], predictor.bundle)
            write_predictions([rows], folder / f"part-{number}.csv", {})

        return BATCH * on_all(one, range(4 * len(batches)))

    def apply(place: int) -> None:
        info.preprocess.apply(images[place], measures[place])

    return {
        "read, hash, decode": lambda: on_all(read, some),
        "examine": lambda: on_all(partial(examine, limits=info.limits), images),
        "preprocess": lambda: on_all(apply, range(len(images))),
        "model": model,
        "rows, write": write,
    }


def throughput(
    bundle: Bundle, source: Path, files: list[Path], folder: Path, options: argparse.Namespace
) -> dict[str, Any]:
    """Rounds of all stages and the whole, in turn, so that a busy moment harms all alike."""
    predictor = Predictor(bundle, backend=options.backend, batch_size=BATCH)
    alone, out = stages(predictor, files, folder), folder / "cells.csv"

    def whole() -> int:
        return predict(bundle, source, out=out, backend=options.backend, batch_size=BATCH).num_cells

    whole()
    rounds: list[dict[str, Pace]] = []
    for _ in range(options.rounds):
        with no_inner_threads():
            rounds.append({name: pace(work) for name, work in alone.items()})
        rounds[-1]["whole"] = pace(whole)
    parts = list(alone)
    return {
        "cells": len(files),
        "backend": predictor.backend.name,
        "cells_a_second": {
            name: spread([1000 / one[name].wall for one in rounds]) for name in (*parts, "whole")
        },
        "processor_ms_a_cell": {
            name: spread([one[name].processor for one in rounds]) for name in (*parts, "whole")
        },
        "efficiency": spread([sum(one[part].wall for part in parts) / one["whole"].wall for one in rounds]),
        "limits": LIMITS | ({"cells_a_second": 1000} if bundle.info.quantisation else {}),
    }


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, capture_output=True, check=True)
    return time.perf_counter() - started


def first_answer(bundle: str, file: Path, rounds: int) -> dict[str, Any]:
    """From the start of a process to its end with one answer."""
    ways = {
        "python": [sys.executable, "-c", FIRST_ANSWER, bundle, str(file)],
        "command": [sys.executable, "-m", "leukoscope", "predict", bundle, str(file)],
    }
    for command in ways.values():
        seconds(command)  # fills the disk's cache and compiles modules
    taken = [{way: seconds(command) for way, command in ways.items()} for _ in range(rounds)]
    return {way: spread([one[way] for one in taken]) for way in ways}


def memory(bundle: str, files: list[Path], folder: Path, num: int) -> float:
    """Peak of the resident set in MB, over so many links in one folder."""
    links = folder / str(num)
    links.mkdir()
    for place, file in enumerate(islice(cycle(files), num)):
        (links / f"{place}.bmp").symlink_to(file)
    command = [sys.executable, "-c", PEAK, bundle, str(links), str(folder / f"{num}.csv")]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def show(found: dict[str, Any]) -> None:
    for name, rate in found["cells_a_second"].items():
        spent = found["processor_ms_a_cell"][name]["median"]
        print(f"{name:<20}{rate['median']:8.0f} cells/s {spent:8.2f} ms of processor a cell")
    print(f"{'efficiency':<20}{found['efficiency']['median']:8.2f}")
    for way, taken in found["first_answer_seconds"].items():
        print(f"{'first answer':<20}{taken['median']:8.2f} s  by {way}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", nargs="?", default="starter")
    parser.add_argument("--cells", type=Path, help="a folder of cells")
    parser.add_argument("--backend", default="onnxruntime")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--many", type=int, nargs="*", default=[], metavar="NUM")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = options.cells
        if source is None:
            from leukoscope.cohort.synth import synthesize

            source = synthesize(folder / "cohort", subjects=20, cells_per_subject=50, unlabelled=0)
        files = [source.absolute() / cell.path for cell in resolve(source)]
        bundle = open_bundle(options.bundle)
        title = bundle.info.name.replace(" ", "-")
        if options.many:
            peaks = {str(num): memory(options.bundle, files, folder, num) for num in sorted(options.many)}
            print(*(f"{peak:8.0f} MB  {int(num):,} cells" for num, peak in peaks.items()), sep="\n")
            keep("many", title, {"memory_mb": peaks, "limit_mb": MOST_MB})
            return
        found = throughput(bundle, source, files, folder, options)
        found["first_answer_seconds"] = first_answer(options.bundle, files[0], options.rounds)
    show(found)
    keep("predict", f"{title}-{options.backend}", found)


if __name__ == "__main__":
    main()
