"""How fast and how small prediction is: cells a second, the parts of it, time to the first answer, memory.

    python benchmarks/predict.py [BUNDLE] [--cells FOLDER] [--num 2000] [--many]

BUNDLE is ``starter`` where not given. Without ``--cells`` a synthetic cohort is drawn. ``--many`` also
predicts 100,000 links to the cells and prints the peak of memory beside that of 2,000.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from leukoscope.bundle.read import open_bundle
from leukoscope.cells.decode import decode
from leukoscope.cells.measure import measure
from leukoscope.cells.quality import examine
from leukoscope.core.files import sha256_bytes
from leukoscope.inference.backends import make_backend
from leukoscope.inference.inputs import resolve
from leukoscope.inference.predictor import Predictor

FIRST_ANSWER = """
import sys, time
started = time.perf_counter()
import leukoscope
leukoscope.load(sys.argv[1]).predict(sys.argv[2])
print(time.perf_counter() - started)
"""

PEAK = """
import sys
from leukoscope.inference.predict import predict
predict(sys.argv[1], sys.argv[2], out=sys.argv[3])
print(int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 1024)
"""


def python(script: str, *arguments: object) -> float:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def show(name: str, work: Callable[[], int]) -> None:
    """Time some work that gives back how many cells it did; also what the processors spent on it."""
    wall, processors = time.perf_counter(), time.process_time()
    num = work()
    wall, processors = time.perf_counter() - wall, time.process_time() - processors
    each = f"{1000 * wall / num:6.2f} ms a cell, {1000 * processors / num:6.2f} of processor"
    print(f"{name:<20}{num / wall:8.0f} cells/s  {each}")


def each(work: Callable[[Path], object], files: list[Path]) -> Callable[[], int]:
    return lambda: len([work(file) for file in files])


def parts(bundle_path: str, files: list[Path]) -> None:
    """Each part alone, on one thread; the model on all."""
    bundle = open_bundle(bundle_path)
    info, files = bundle.info, files[:300]
    images = {file: decode(file) for file in files}
    measures = {file: measure(image) for file, image in images.items()}
    show("read, hash, decode", each(lambda file: decode(bytes_of(file)), files))
    show("examine", each(lambda file: examine(images[file], info.limits), files))
    show("preprocess", each(lambda file: info.preprocess.apply(images[file], measures[file]), files))
    batch = np.stack([info.preprocess.apply(images[file]) for file in files[:64]])
    backend = make_backend(bundle)
    backend.run(batch)
    show("model", lambda: sum(len(backend.run(batch).logits) for _ in range(10)))


def bytes_of(file: Path) -> bytes:
    data = file.read_bytes()
    sha256_bytes(data)
    return data


def whole(bundle_path: str, files: list[Path], num: int) -> None:
    predictor = Predictor(bundle_path)
    cells = resolve(iter(islice(cycle(files), num)))
    show("predict, all of it", lambda: sum(chunk.height for chunk in predictor.rows(cells)))


def first_answer(bundle_path: str, file: Path) -> None:
    python(FIRST_ANSWER, bundle_path, file)  # fills the disk's cache and compiles modules
    seconds = [python(FIRST_ANSWER, bundle_path, file) for _ in range(5)]
    print(f"{'first answer':<20}{min(seconds):8.2f} s  (best of 5; median {sorted(seconds)[2]:.2f})")


def memory(bundle_path: str, files: list[Path], folder: Path) -> None:
    for num in (2_000, 100_000):
        links = folder / str(num)
        links.mkdir()
        for place, file in enumerate(islice(cycle(files), num)):
            (links / f"{place}.bmp").symlink_to(file)
        peak = python(PEAK, bundle_path, links, folder / "out.parquet")
        print(f"{'peak of memory':<20}{peak:8.0f} MB  {num:,} cells")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", nargs="?", default="starter")
    parser.add_argument("--cells", type=Path, help="a folder of cells")
    parser.add_argument("--num", type=int, default=2_000)
    parser.add_argument("--many", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = options.cells
        if source is None:
            from leukoscope.cohort.synth import synthesize

            source = synthesize(folder / "cohort", subjects=8, cells_per_subject=40, unlabelled=0)
        files = [source.absolute() / cell.path for cell in resolve(source)]
        parts(options.bundle, files)
        whole(options.bundle, files, options.num)
        first_answer(options.bundle, files[0])
        if options.many:
            memory(options.bundle, files, folder)


if __name__ == "__main__":
    main()
