"""The engine ray beside the local one, on two cores, and what a cell weighs in each format.

    python benchmarks/scale.py [BUNDLE] [--cells FOLDER] [--num 20000] [--pairs 3] [--name NAME]

BUNDLE is ``starter`` where not given. Without ``--cells`` a synthetic cohort is drawn; ``--num`` pictures are
predicted, no two alike: its cells, then mirrored ones, up to four of each. Each side is a process of its own,
in turn. Loading the model, starting Ray and its workers is not counted: time runs from when all workers are
ready, until the last row is on disk. Beside the clock stands what the processors spent, on all processes of a
side: of use where others share them. Pairs that a file of the same name, cells and machine holds already are
kept and added to. The result lies in benchmarks/results/scale-NAME.json.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from leukoscope.cells.decode import decode
from leukoscope.inference.inputs import resolve
from record import RESULTS, keep, machine, spread

CORES = 2
FORMATS = {
    "BMP": {"format": "BMP"},
    "PNG": {"format": "PNG"},
    "WebP, lossless": {"format": "WEBP", "lossless": True},
}


MIRRORED = (
    None,
    lambda pixels: pixels[:, ::-1],
    lambda pixels: pixels[::-1],
    lambda pixels: pixels[::-1, ::-1],
)
"""Each gives another picture of a cell: one that comes again costs an engine next to nothing."""


def filled(source: Path, folder: Path, num: int) -> Path:
    """A folder of ``num`` cells, no picture twice: links to those below ``source``, then mirrored copies."""
    folder.mkdir()
    files = [source.absolute() / cell.path for cell in resolve(source)]
    if num > len(files) * len(MIRRORED):
        raise SystemExit(f"{source} holds {len(files):,} cells: enough for {len(files) * len(MIRRORED):,}")
    for place in range(num):
        file, mirror = files[place % len(files)], MIRRORED[place // len(files)]
        if mirror is None:
            (folder / f"{place:06}{file.suffix}").symlink_to(file)
        else:
            Image.fromarray(np.ascontiguousarray(mirror(decode(file)))).save(folder / f"{place:06}.bmp")
    return folder


def family() -> dict[int, float]:
    """This process and all below it that are alive: seconds that the processors spent on each."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has ended
                continue
            found[int(entry.name)] = (int(fields[1]), int(fields[11]) + int(fields[12]))
    ours, size = {os.getpid()}, 0
    while len(ours) > size:
        size = len(ours)
        ours |= {number for number, (parent, _) in found.items() if parent in ours}
    return {number: found[number][1] / os.sysconf("SC_CLK_TCK") for number in ours}


def spent() -> float:
    return sum(family().values())


def wait_for_workers() -> None:
    """Until as many actors as cores have loaded the model: idle ones are called like their class."""
    idle = 0
    while idle < CORES:
        time.sleep(0.2)
        titles = []
        for number in family():
            try:
                titles.append(Path(f"/proc/{number}/cmdline").read_bytes().rstrip(b"\0 "))
            except OSError:
                continue
        idle = titles.count(b"ray::Judge")


def local(bundle: str, cells: Path, out: Path) -> tuple[float, float]:
    from leukoscope.inference.predictor import Predictor
    from leukoscope.inference.sinks import write_predictions

    predictor, inputs = Predictor(bundle), resolve(cells)
    started = time.perf_counter(), spent()
    write_predictions(predictor.rows(inputs), out, predictor.metadata(inputs))
    return time.perf_counter() - started[0], spent() - started[1]


def ray(bundle: str, cells: Path, out: Path) -> tuple[float, float]:
    from leukoscope.inference.predictor import Predictor
    from leukoscope.inference.ray import judge_on_ray
    from leukoscope.inference.rows import schema
    from leukoscope.inference.shards import Job, ShardFolder

    predictor, inputs = Predictor(bundle), resolve(cells)
    metadata = predictor.metadata(inputs)
    options = {"backend": "auto", "views": predictor.views, "batch_size": 64}
    columns = schema(predictor.bundle.info)
    begun: list[tuple[float, float]] = []
    ended: list[tuple[float, float]] = []

    def watched(jobs: Iterator[Job]) -> Iterator[Job]:
        wait_for_workers()
        begun.append((time.perf_counter(), spent()))
        yield from jobs

    folder = ShardFolder(
        out, run=metadata, metadata=metadata, columns=columns, num_cells=inputs.count(), resume=False
    )
    shards = {}
    for number, shard in judge_on_ray(watched(folder.jobs(inputs)), predictor.bundle, options, actors=CORES):
        shards[number] = shard
        ended[:] = [(time.perf_counter(), spent())]  # the workers end with the loop
    folder.close(shards)
    return ended[0][0] - begun[0][0], ended[0][1] - begun[0][1]


def one(side: str, bundle: str, cells: Path) -> tuple[float, float]:
    """Seconds of one run in a process of its own: of the clock, of the processors."""
    with tempfile.TemporaryDirectory() as name:
        words = [sys.executable, __file__, bundle, "--cells", cells, "--one", side, "--out", name]
        ran = subprocess.run([str(word) for word in words], check=True, stdout=subprocess.PIPE, text=True)
    wall, processors = map(float, ran.stdout.split())
    return wall, processors


def weights(source: Path, num: int = 100) -> dict[str, dict[str, float]]:
    """Mean size of a cell in each format, and what reading it costs one core."""
    files = [source.absolute() / cell.path for cell in islice(resolve(source), num)]
    found = {}
    for name, options in FORMATS.items():
        encoded = []
        for file in files:
            stream = io.BytesIO()
            Image.fromarray(decode(file)).save(stream, **options)
            encoded.append(stream.getvalue())
        started = time.process_time()
        for data in encoded:
            decode(data)
        milliseconds = 1000 * (time.process_time() - started) / len(encoded)
        found[name] = {"bytes": sum(map(len, encoded)) / len(encoded), "decode_ms": milliseconds}
    return found


def earlier(path: Path, marks: dict[str, Any]) -> list[dict[str, Any]]:
    """Pairs of an earlier call that measured the same."""
    if not path.is_file():
        return []
    found = json.loads(path.read_text())
    same = found["machine"] == machine() and all(found.get(mark) == value for mark, value in marks.items())
    return list(found["seconds"]) if same else []


def measure(options: argparse.Namespace, source: Path, folder: Path) -> Path:
    cells = filled(source, folder / "cells", options.num)
    marks = {"bundle": options.bundle, "num_cells": options.num, "cells": options.kind}
    path = RESULTS / f"scale-{options.name}.json"
    pairs, formats = earlier(path, marks), weights(source)
    for _ in range(options.pairs):
        sides = ("local", "ray") if len(pairs) % 2 == 0 else ("ray", "local")
        pairs.append({side: one(side, options.bundle, cells) for side in sides})
        print(pairs[-1], file=sys.stderr, flush=True)
        keep("scale", options.name, marks | summary(pairs, options.num) | {"formats": formats})
    return path


def summary(pairs: list[dict[str, Any]], num: int) -> dict[str, Any]:
    """``seconds`` are of the clock and of the processors, for each side of each pair."""
    sides = ("local", "ray")
    return {
        "seconds": pairs,
        "ratio": spread([pair["ray"][0] / pair["local"][0] for pair in pairs]),
        "ratio_of_processors": spread([pair["ray"][1] / pair["local"][1] for pair in pairs]),
        "cells_per_second_per_core": {
            side: spread([num / pair[side][0] / CORES for pair in pairs]) for side in sides
        },
        "cells_per_second_of_a_processor": {
            side: spread([num / pair[side][1] for pair in pairs]) for side in sides
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", nargs="?", default="starter")
    parser.add_argument("--cells", type=Path, help="a folder of cells")
    parser.add_argument("--num", type=int, default=20_000)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--name", default="local-and-ray")
    parser.add_argument("--one", choices=("local", "ray"), help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    if options.one:
        work = local if options.one == "local" else ray
        print(*work(options.bundle, options.cells, options.out / "out.parquet"))
        return
    options.kind = "synthetic" if options.cells is None else "real"
    with tempfile.TemporaryDirectory() as name:
        folder, source = Path(name), options.cells
        if source is None:
            from leukoscope.cohort.synth import synthesize

            source = synthesize(folder / "cohort", subjects=20, cells_per_subject=250, unlabelled=0)
        print(measure(options, source, folder))


if __name__ == "__main__":
    main()
