"""Which runtime is fastest for a bundle on this machine: timed once, on real cells, and remembered."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Iterable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import numpy as np

from leukoscope.bundle.read import Bundle
from leukoscope.core.files import cache_folder, sha256_bytes, write_json
from leukoscope.core.parallel import num_cpus, ordered_map
from leukoscope.errors import BundleError, MissingExtraError
from leukoscope.inference.backends import DEFAULT_BACKEND, Backend, known_backends, make_backend
from leukoscope.inference.parts import CellInput
from leukoscope.inference.prepare import prepare

MANY = 500
"""Inputs from which on it pays to ask."""
NUM_CELLS = 32
ROUNDS = 5
SECONDS = 1.0
"""Of timing, each runtime: no further round is begun after it."""
WORTH_IT = 1.05
"""How many times as fast as the default another runtime must be: below that it is chance."""


def choose(
    name: str, bundle: Bundle, cells: Iterable[CellInput], num_cells: int | None, *, threads: int = 0
) -> str:
    """The backend to take: ``name``, or for ``"auto"`` the fastest where that matters.

    ``"auto"`` is ONNX Runtime below 500 inputs and where their number is not known; else the runtime that
    was fastest on the first of these cells, or on those of an earlier call with this bundle on this machine.

    Args:
        name: ``"auto"`` or a backend.
        bundle: whose model is run.
        cells: the inputs; only the first are read, and they must be there to be read again.
        num_cells: how many they are, ``None`` where that is not known.
        threads: as for :func:`~leukoscope.inference.backends.make_backend`.
    """
    if name != "auto":
        return name
    names = runtimes()
    if num_cells is None or num_cells < MANY or len(names) < 2:
        return DEFAULT_BACKEND
    key = _key(bundle, names, threads)
    if (known := _remembered(key)) in names:
        return known
    pixels = _first(cells, bundle)
    if not len(pixels):
        return DEFAULT_BACKEND
    rates = measure(_loaded(bundle, names, threads), pixels)
    winner = fastest(rates)
    _remember(key, winner, rates)
    return winner


def runtimes() -> list[str]:
    """The backends that run a bundle's graph and are installed."""
    makers = {name: known_backends().get(name) for name in known_backends()}
    return [name for name, maker in makers.items() if maker.runs_graph and find_spec(maker.package)]


def measure(backends: dict[str, Backend], pixels: np.ndarray) -> dict[str, float]:
    """Cells a second of each, the best of a few rounds in turn, so that a busy moment harms all alike."""
    best = dict.fromkeys(backends, 0.0)
    for backend in backends.values():
        backend.run(pixels)
    ends = time.perf_counter() + SECONDS * len(backends)
    for _ in range(ROUNDS):
        for name, backend in backends.items():
            started = time.perf_counter()
            backend.run(pixels)
            best[name] = max(best[name], len(pixels) / (time.perf_counter() - started))
        if time.perf_counter() > ends:
            break
    return best


def fastest(rates: dict[str, float]) -> str:
    """The name of the highest rate; the default unless another is clearly faster.

    >>> fastest({"onnxruntime": 100.0, "openvino": 130.0}), fastest({"onnxruntime": 100.0, "openvino": 101.0})
    ('openvino', 'onnxruntime')
    """
    winner = max(rates, key=lambda name: rates[name])
    return winner if rates[winner] >= WORTH_IT * rates.get(DEFAULT_BACKEND, 0.0) else DEFAULT_BACKEND


def _loaded(bundle: Bundle, names: list[str], threads: int) -> dict[str, Backend]:
    """Those that can run this bundle; the default is always among them, or raises."""
    loaded = {DEFAULT_BACKEND: make_backend(bundle, DEFAULT_BACKEND, threads=threads)}
    for name in names:
        if name not in loaded:
            try:
                loaded[name] = make_backend(bundle, name, threads=threads)
            except (BundleError, MissingExtraError):  # it does not run this graph, or is not whole
                continue
    return loaded


def _first(cells: Iterable[CellInput], bundle: Bundle) -> np.ndarray:
    """The first readable cells (N, S, S, 3), N as it is timed, repeated where there are fewer; or none."""
    ready = ordered_map(partial(prepare, info=bundle.info), islice(cells, 2 * NUM_CELLS))
    found = [cell.pixels for cell in ready if cell.pixels is not None][:NUM_CELLS]
    return np.stack([found[place % len(found)] for place in range(NUM_CELLS)]) if found else np.empty(0)


def _key(bundle: Bundle, names: list[str], threads: int) -> str:
    """What the answer depends on."""
    machine = [_processor(), num_cpus(), threads]
    versions = [_version(known_backends().get(name).package) for name in names]
    return sha256_bytes(json.dumps([bundle.bundle_id, names, versions, machine]).encode())[:24]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # installed under another name, as onnxruntime-gpu
        return str(find_spec(package))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _note(key: str) -> Path:
    return cache_folder() / "backends" / f"{key}.json"


def _remembered(key: str) -> str:
    """The winner; empty where there is no note, or one that cannot be read."""
    try:
        return str(json.loads(_note(key).read_bytes())["fastest"])
    except (OSError, ValueError, KeyError, TypeError, RuntimeError):
        return ""


def _remember(key: str, winner: str, rates: dict[str, float]) -> None:
    rounded = {name: round(rate, 1) for name, rate in rates.items()}
    try:
        write_json(_note(key), {"fastest": winner, "cells_per_second": rounded})
    except (OSError, RuntimeError):  # full, read-only, no home: it costs the time of asking again
        return
