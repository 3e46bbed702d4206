"""Write predictions while they are made: CSV, Parquet, JSON lines; the name appears when the file is whole.

What an interrupted run had finished stays beside it, under a name that ends in ``.partial``: a file for CSV
and JSON lines, a folder of Parquet files for Parquet.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO

import polars as pl

from leukoscope.errors import UsageError
from leukoscope.evaluation.table import SUFFIXES, stamps

ROWS_PER_PART = 16_384
ROWS_PER_GROUP = 65_536


def partial_path(path: Path | str) -> Path:
    """Where rows lie until the table is whole.

    >>> partial_path("cells.csv").name
    'cells.csv.partial'
    """
    target = Path(path)
    return target.with_name(f"{target.name}.partial")


def write_predictions(chunks: Iterable[pl.DataFrame], path: Path | str, metadata: Mapping[str, str]) -> Path:
    """Write a prediction table as its rows come; memory does not grow with their number.

    Args:
        chunks: the rows, at least one chunk, all with the same columns.
        path: ends in ``.csv``, ``.parquet`` or ``.jsonl``.
        metadata: kept in Parquet; the others get a column ``stamp`` where the rows are leaky or synthetic.

    Returns:
        ``path``.

    Raises:
        UsageError: for another ending, or a folder in the way.
    """
    target = Path(path)
    check_target(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    _discard(partial_path(target))
    if target.suffix == ".parquet":
        _write_parquet(chunks, target, metadata)
    else:
        _write_lines(chunks, target, stamps(metadata))
    return target


def check_target(path: Path) -> None:
    """Raise :class:`UsageError` for a name that no table can be written to."""
    if path.suffix not in SUFFIXES:
        raise UsageError(
            f"{path}: expected a name ending in {', '.join(SUFFIXES)}", hint="for example cells.csv"
        )
    if path.is_dir():
        raise UsageError(f"{path}: is a folder", hint="name a file")


def _discard(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def _write_lines(chunks: Iterable[pl.DataFrame], target: Path, stamp: str) -> None:
    unfinished = partial_path(target)
    write: Callable[[pl.DataFrame, IO[bytes], bool], None] = _csv if target.suffix == ".csv" else _jsonl
    with unfinished.open("wb") as stream:
        for place, chunk in enumerate(chunks):
            stamped = chunk.with_columns(pl.lit(stamp).alias("stamp")) if stamp else chunk
            write(stamped, stream, place == 0)
            stream.flush()
    unfinished.replace(target)


def _csv(chunk: pl.DataFrame, stream: IO[bytes], first: bool) -> None:
    chunk.write_csv(stream, include_header=first)


def _jsonl(chunk: pl.DataFrame, stream: IO[bytes], _first: bool) -> None:
    chunk.write_ndjson(stream)


def _write_parquet(chunks: Iterable[pl.DataFrame], target: Path, metadata: Mapping[str, str]) -> None:
    """Parts first, then one file of them: a Parquet file can be read only when it is closed."""
    folder = partial_path(target)
    folder.mkdir()
    waiting: list[pl.DataFrame] = []
    num_parts = 0
    try:
        for chunk in chunks:
            waiting.append(chunk)
            if sum(map(len, waiting)) >= ROWS_PER_PART:
                _write_part(waiting, folder, num_parts)
                waiting, num_parts = [], num_parts + 1
    finally:
        if waiting:
            _write_part(waiting, folder, num_parts)
    joined = folder / "joined"
    rows = pl.scan_parquet(sorted(folder.glob("part-*.parquet")))
    rows.sink_parquet(joined, metadata=dict(metadata), row_group_size=ROWS_PER_GROUP)
    joined.replace(target)
    shutil.rmtree(folder)


def _write_part(chunks: list[pl.DataFrame], folder: Path, number: int) -> None:
    pl.concat(chunks).write_parquet(folder / f"part-{number:06}.parquet")
