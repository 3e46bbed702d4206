"""``leukoscope predict`` beside Keras and plain torch with the same ResNet50: cells a second, in turn."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from leukoscope.inference.inputs import resolve
from record import BENCHMARKS, spread

KERAS = BENCHMARKS / "keras" / ".venv" / "bin" / "python"
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "-1"}
PEERS = ("Keras", "torch")
LIMITS = {"fp32": 1.4, "int8": 4.0}
"""How many times as fast as either peer."""
Round = dict[str, float]


def linked(source: Path, folder: Path, num: int) -> Path:
    """A folder of ``num`` links to the cells below ``source``, taken evenly from all of them."""
    folder.mkdir()
    files = sorted((source.absolute() / cell.path for cell in resolve(source)), key=lambda file: file.name)
    files = files[:: max(1, len(files) // num)]
    for place, file in enumerate(islice(cycle(files), num)):
        (folder / f"{place:05}{file.suffix}").symlink_to(file)
    return folder


def commands(bundles: dict[str, Path], weights: Path, backend: str) -> dict[str, list[str]]:
    """The programs that are compared, by their names; each takes a folder and a CSV besides."""
    ours = [sys.executable, str(BENCHMARKS / "prediction" / "ours.py")]
    torch = [sys.executable, str(BENCHMARKS / "plain_torch" / "predict.py"), str(weights)]
    keras = [str(KERAS), str(BENCHMARKS / "keras" / "predict.py"), str(weights)]
    return {"Keras": keras, "torch": torch} | {
        word: [*ours, "--backend", backend, str(bundle)] for word, bundle in bundles.items()
    }


def run(command: Sequence[str], folder: Path, out: Path) -> dict[str, Any]:
    """What the program prints when all cells of the folder are in the CSV."""
    done = subprocess.run(
        [*command, str(folder), str(out)], capture_output=True, text=True, env=os.environ | QUIET, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    with out.open(newline="") as table:
        rows = sum(1 for _ in csv.reader(table)) - 1
    reply: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if rows != sum(size for size, _ in reply["batches"]):
        raise SystemExit(f"{' '.join(command)} wrote {rows} rows")
    return reply


def rate(reply: dict[str, Any]) -> float:
    """Cells a second from the end of the first batch to the file: how long a program starts does not count.

    >>> rate({"batches": [[32, 10.0], [32, 12.0], [16, 13.0]], "written": 13.0})
    16.0
    """
    (_, begun), *later = reply["batches"]
    return float(sum(size for size, _ in later) / (reply["written"] - begun))


def measure(programs: dict[str, list[str]], folder: Path, *, rounds: int) -> dict[str, Any]:
    """Cells a second of every program, in turn, round after round; the versions they name, and which backend
    ran each of our bundles."""
    found, versions, backends = list[Round](), dict[str, str](), dict[str, str]()
    out = folder.with_suffix(".csv")
    for number in range(rounds):
        row = {}
        for name, command in programs.items():
            out.unlink(missing_ok=True)
            reply = run(command, folder, out)
            row[name] = rate(reply)
            versions |= reply["versions"]
            backends |= {name: reply["backend"]} if "backend" in reply else {}
            print(f"round {number + 1}, {name}: {row[name]:.1f} cells a second", flush=True)
        found.append(row)
    return {"rounds": found, "peer_versions": versions, "backends": backends}


def compared(rounds: list[Round]) -> list[dict[str, Any]]:
    """How many times as fast ours is, of the rounds that have both, for every precision and peer.

    >>> compared([{"Keras": 10.0, "fp32": 15.0}])[0]["times"]["median"]
    1.5
    """
    ratios = []
    for precision, limit in LIMITS.items():
        for peer in PEERS:
            both = [row for row in rounds if peer in row and precision in row]
            if both:
                times = spread([row[precision] / row[peer] for row in both])
                ratios.append({"precision": precision, "peer": peer, "limit": limit, "times": times})
    return ratios
