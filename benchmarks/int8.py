"""How fast int8 is beside 32 bits, the model alone, and how far the runtimes agree on it.

    python benchmarks/int8.py BUNDLE INT8_BUNDLE --cells SOURCE [--num 256] [--rounds 7] [--threads 0]

INT8_BUNDLE is what ``leukoscope export --int8`` made of BUNDLE. In each round every model runs once on each
runtime, so that a busy machine is busy for all; the ratio is that of a round.
The result lies in benchmarks/results/int8-BUNDLE.json.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np

from leukoscope.bundle.read import Bundle, open_bundle
from leukoscope.inference.backends import make_backend
from leukoscope.inference.fastest import runtimes
from leukoscope.inference.inputs import resolve
from leukoscope.inference.predictor import Predictor
from record import keep
from record import spread as ratios

Run = Callable[[np.ndarray], np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("bundles", nargs=2, metavar="BUNDLE")
    parser.add_argument("--cells", type=Path, required=True)
    parser.add_argument("--num", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=0)
    asked = parser.parse_args()
    exact, int8 = map(open_bundle, asked.bundles)
    cells = pixels(exact, asked.cells, asked.num)
    runs = {
        (runtime, bundle.bundle_id): run_of(runtime, bundle, asked.threads)
        for runtime in runtimes()
        for bundle in (exact, int8)
    }
    logits = {key: run(cells) for key, run in runs.items()}  # also warms up
    times = {key: [] for key in runs}
    for _ in range(asked.rounds):
        for key, run in runs.items():
            start = time.perf_counter()
            run(cells)
            times[key].append(time.perf_counter() - start)
    show(times, exact, int8, len(cells))
    agree(logits, int8, len(cells))
    rates = {
        name: {
            word: [len(cells) / each for each in times[name, bundle.bundle_id]]
            for word, bundle in (("fp32", exact), ("int8", int8))
        }
        for name in dict.fromkeys(name for name, _ in times)
    }
    faster = {
        name: ratios([b / a for a, b in zip(both["fp32"], both["int8"], strict=True)])
        for name, both in rates.items()
    }
    info = exact.info  # a recipe that takes any network is called by its network
    name = info.architecture.name if info.name == "timm" else info.name
    keep("int8", name, {"bundle": name, "rates": rates, "times": faster})


def run_of(name: str, bundle: Bundle, threads: int) -> Run:
    backend = make_backend(bundle, name, threads=threads)
    return lambda cells: backend.run(cells).logits


def pixels(bundle: Bundle, source: Path, num: int) -> np.ndarray:
    batches = Predictor(bundle).batches(resolve(source))
    readable = (cell.pixels for batch in batches for cell in batch if cell.pixels is not None)
    return np.stack(list(islice(readable, num)))


def show(times: dict[tuple[str, str], list[float]], exact: Bundle, int8: Bundle, num: int) -> None:
    for runtime in dict.fromkeys(name for name, _ in times):
        slow, fast = (np.array(times[runtime, bundle.bundle_id]) for bundle in (exact, int8))
        for words, taken in (("32 bits", slow), ("int8", fast)):
            print(f"{runtime:<12} {words:<8} {spread(num / taken, '.0f')} cells/s")
        print(f"{runtime:<12} int8 is {spread(slow / fast, '.2f')} times as fast")


def spread(values: np.ndarray, form: str) -> str:
    return f"{np.median(values):{form}} ({values.min():{form}} to {values.max():{form}})"


def agree(logits: dict[tuple[str, str], np.ndarray], int8: Bundle, num: int) -> None:
    apply, point = int8.info.calibration.apply, int8.info.operating_points[0]
    p = [apply(found)[:, -1] for (_, bundle_id), found in logits.items() if bundle_id == int8.bundle_id]
    for other in p[1:]:
        apart, changed = np.abs(p[0] - other), point.decide(p[0]) != point.decide(other)
        print(
            f"int8 on both runtimes, {num} cells: probabilities differ by {apart.max():.5f} at most, "
            f"{apart.mean():.5f} on average; {changed.sum()} decisions are others"
        )


if __name__ == "__main__":
    main()
