"""Decode once: preprocessed cells in one memory-mapped array, shared between runs.

A cache is ``KEY.npy``, uint8 (N, S, S, 3), and beside it ``KEY.json`` with the SHA-256 of every source file
in the order of the rows and the SHA-256 of the array. KEY is made from the source files and the
preprocessing, so a changed file or setting makes a new cache and nothing is ever stale.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from leukoscope.cells.decode import decode
from leukoscope.cells.preprocess import IMPLEMENTATION, Preprocess
from leukoscope.cohort.manifest import Manifest
from leukoscope.core.files import atomic, cache_folder, sha256_bytes, sha256_file, write_json
from leukoscope.core.parallel import ordered_map
from leukoscope.core.progress import track
from leukoscope.errors import TrainingError

Cells = NDArray[np.uint8]
BATCH_PIXELS = 1 << 19
"""Of the cells that a network reads at once where nothing is learnt: 32 of 128 pixels."""
MOST_CELLS = 256


def in_batches(positions: NDArray[np.int64], cells: Cells) -> list[NDArray[np.int64]]:
    """Positions in order, in parts that a network can read at once without taking much memory."""
    each = max(8, min(MOST_CELLS, BATCH_PIXELS // cells[0, ..., 0].size))
    return np.array_split(positions, -(-len(positions) // each)) if len(positions) else []


def cached_cells(manifest: Manifest, preprocess: Preprocess, *, folder: Path | None = None) -> Cells:
    """Preprocessed cells of every row of ``manifest``, in order; read-only and memory-mapped, (N, S, S, 3)
    uint8.

    Made on the first call, on all processors, with a progress bar; verified and reused afterwards.

    Args:
        manifest: every row must be readable; leave unreadable rows out before.
        preprocess: how a cell becomes the model's input.
        folder: where the cache is kept; default :func:`~leukoscope.core.files.cache_folder`.

    Raises:
        TrainingError: when a source file is not the one that was indexed.
        ImageError: when a source file cannot be decoded.
    """
    fingerprints = manifest.frame["sha256"].to_list()
    key = sha256_bytes(json.dumps([IMPLEMENTATION, preprocess.model_dump(), fingerprints]).encode())[:24]
    path = (folder or cache_folder()) / "cells" / f"{key}.npy"
    if not _is_whole(path):
        _build(path, manifest, preprocess, fingerprints)
    return cast(Cells, np.load(path, mmap_mode="r", allow_pickle=False))


def _is_whole(path: Path) -> bool:
    record = path.with_suffix(".json")
    if not (path.is_file() and record.is_file()):
        return False
    try:
        return bool(json.loads(record.read_text())["array_sha256"] == sha256_file(path))
    except (ValueError, KeyError):
        return False


def _build(path: Path, manifest: Manifest, preprocess: Preprocess, fingerprints: Sequence[str]) -> None:
    read = _reader(manifest, preprocess)
    rows = list(zip(manifest.frame["path"].to_list(), fingerprints, strict=True))
    shape = (len(rows), preprocess.size, preprocess.size, 3)
    with atomic(path) as temporary:
        array = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
        for index, cell in enumerate(track(ordered_map(read, rows), "preparing cells", len(rows))):
            array[index] = cell
        array.flush()
        del array
        digest = sha256_file(temporary)
    write_json(path.with_suffix(".json"), {"array_sha256": digest, "sources": list(fingerprints)})


def _reader(manifest: Manifest, preprocess: Preprocess) -> Callable[[tuple[str, str]], Cells]:
    def read(row: tuple[str, str]) -> Cells:
        name, expected = row
        data = manifest.read_bytes(name)
        if sha256_bytes(data) != expected:
            raise TrainingError(
                f"{name} is not the file that was indexed (its SHA-256 differs)",
                hint="index the folder again with 'leukoscope data index'",
            )
        return preprocess.apply(decode(data, name=name))

    return read
