"""How fast int8 is beside 32 bits, the model alone, and how far the runtimes agree on it.

    python benchmarks/int8.py BUNDLE INT8_BUNDLE --cells SOURCE [--num 256] [--rounds 7] [--threads 0]

INT8_BUNDLE is what ``leukoscope export --int8`` made of BUNDLE. In each round every model runs once on each
runtime, so that a busy machine is busy for all; the ratio is that of a round. OpenVINO computes in 32 bits
what is left in them: by default it takes bfloat16 where a processor has it, which gives other decisions.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from leukoscope.core.telemetry import no_telemetry

from leukoscope.bundle.read import Bundle, open_bundle
from leukoscope.core.parallel import num_cpus
from leukoscope.inference.backends import make_backend
from leukoscope.inference.inputs import resolve
from leukoscope.inference.predictor import Predictor

STEP = 16
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
        (runtime, bundle.bundle_id): make(bundle, asked.threads or num_cpus())
        for runtime, make in runtimes().items()
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


def runtimes() -> dict[str, Callable[[Bundle, int], Run]]:
    found = {"onnxruntime": on_onnxruntime}
    no_telemetry()
    try:
        import openvino  # noqa: F401
    except ImportError:
        return found
    return found | {"openvino": on_openvino}


def on_onnxruntime(bundle: Bundle, threads: int) -> Run:
    backend = make_backend(bundle, "onnxruntime", threads=threads)
    return lambda cells: backend.run(cells).logits


def on_openvino(bundle: Bundle, threads: int) -> Run:
    import openvino

    settings: dict[str, Any] = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "model.onnx"
        path.write_bytes(bundle.onnx)
        request = openvino.Core().compile_model(path, "CPU", settings).create_infer_request()

    def run(cells: np.ndarray) -> np.ndarray:
        parts = (cells[start : start + STEP] for start in range(0, len(cells), STEP))
        return np.concatenate([request.infer({"cells": part})["logits"].copy() for part in parts])

    return run


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
