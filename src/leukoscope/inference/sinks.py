"""Write predictions while they are made: CSV, Parquet, JSON lines; the name appears when the file is whole.

What an interrupted run had finished stays beside it, under a name that ends in ``.partial``: a file for CSV
and JSON lines, a folder of Parquet files for Parquet. With a :class:`~leukoscope.inference.journal.Journal` a
later run goes on from there.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from os import SEEK_END
from pathlib import Path
from typing import IO

import polars as pl

from leukoscope.errors import UsageError
from leukoscope.evaluation.table import SUFFIXES, safe_texts, stamps, true_texts
from leukoscope.inference.journal import Journal, partial_path

ROWS_PER_PART = 16_384
ROWS_PER_GROUP = 65_536


def write_predictions(
    chunks: Iterable[pl.DataFrame],
    path: Path | str,
    metadata: Mapping[str, str],
    journal: Journal | None = None,
) -> Path:
    """Write a prediction table as its rows come; memory does not grow with their number.

    Args:
        chunks: the rows, at least one chunk, all with the same columns.
        path: ends in ``.csv``, ``.parquet`` or ``.jsonl``.
        metadata: kept in Parquet; the others get a column ``stamp`` where the rows are leaky or synthetic.
        journal: of this output; ``chunks`` are then the rows after those that it says are finished.

    Returns:
        ``path``.

    Raises:
        UsageError: for another ending, or a folder in the way.
    """
    target = Path(path)
    check_target(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    if journal is None or not journal.finished.num_rows:
        _discard(partial_path(target))
    try:
        if target.suffix == ".parquet":
            _write_parquet(chunks, target, metadata, journal)
        else:
            _write_lines(chunks, target, stamps(metadata), journal)
    except BaseException:  # also an interruption by hand
        if journal is not None:
            journal.save()
        raise
    return target


def kept_rows(
    path: Path, journal: Journal, schema: Mapping[str, type[pl.DataType]]
) -> Iterator[pl.DataFrame]:
    """The finished rows of an interrupted run, in chunks, with columns of these types."""
    num, place = journal.finished.num_rows, journal.finished.place
    if not num:
        return
    if path.suffix == ".parquet":
        for number in range(place):
            yield pl.read_parquet(_part(partial_path(path), number))
        return
    with partial_path(path).open("r+b") as stream:
        stream.truncate(place)
    if path.suffix == ".csv":
        rows = pl.scan_csv(partial_path(path), schema_overrides=dict(schema))
        yield true_texts(rows.select(list(schema)).collect())
    else:
        yield pl.read_ndjson(partial_path(path), schema=dict(schema))


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


def _write_lines(chunks: Iterable[pl.DataFrame], target: Path, stamp: str, journal: Journal | None) -> None:
    unfinished = partial_path(target)
    write: Callable[[pl.DataFrame, IO[bytes], bool], None] = _csv if target.suffix == ".csv" else _jsonl
    begun = journal is not None and journal.finished.num_rows > 0
    with unfinished.open("r+b" if begun else "wb") as stream:
        if journal is not None and begun:
            stream.truncate(journal.finished.place)
            stream.seek(0, SEEK_END)
        for place, chunk in enumerate(chunks):
            stamped = chunk.with_columns(pl.lit(stamp).alias("stamp")) if stamp else chunk
            write(stamped, stream, place == 0 and not begun)
            stream.flush()
            if journal is not None:
                journal.add(chunk, stream.tell())
    unfinished.replace(target)
    if journal is not None:
        journal.close()


def _csv(chunk: pl.DataFrame, stream: IO[bytes], first: bool) -> None:
    safe_texts(chunk).write_csv(stream, include_header=first)


def _jsonl(chunk: pl.DataFrame, stream: IO[bytes], _first: bool) -> None:
    chunk.write_ndjson(stream)


def _write_parquet(
    chunks: Iterable[pl.DataFrame], target: Path, metadata: Mapping[str, str], journal: Journal | None
) -> None:
    """Parts first, then one file of them: a Parquet file can be read only when it is closed."""
    folder = partial_path(target)
    folder.mkdir(exist_ok=True)
    number = journal.finished.place if journal is not None else 0
    waiting: list[pl.DataFrame] = []

    def write() -> None:
        nonlocal waiting, number
        rows = pl.concat(waiting)
        rows.write_parquet(_part(folder, number))
        waiting, number = [], number + 1
        if journal is not None:
            journal.add(rows, number)

    try:
        for chunk in chunks:
            waiting.append(chunk)
            if sum(map(len, waiting)) >= ROWS_PER_PART:
                write()
    finally:
        if waiting:
            write()
    joined = folder / "joined"
    rows = pl.scan_parquet([_part(folder, place) for place in range(number)])
    rows.sink_parquet(joined, metadata=dict(metadata), row_group_size=ROWS_PER_GROUP)
    joined.replace(target)
    if journal is not None:
        journal.close()
    shutil.rmtree(folder)


def _part(folder: Path, number: int) -> Path:
    return folder / f"part-{number:06}.parquet"
