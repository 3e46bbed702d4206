"""A table of cells: a CSV or Parquet file with one row an image.

Columns: ``path`` (or ``file``, ``image``), relative to the folder of the table; and, where known, ``label``,
``subject_id`` (or ``subject``), ``cell_id``, ``source``, ``fold``, ``photograph_id``, ``duplicate_group``. An
empty ``label`` means unknown. Other columns are left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from leukoscope.cohort.classes import Classes
from leukoscope.cohort.layouts.folder import normal_subject
from leukoscope.cohort.layouts.listing import Entry, Listing, Options
from leukoscope.errors import LayoutError

SUFFIXES = frozenset({".csv", ".parquet"})

_PATH_NAMES = ("path", "file", "image")
_SUBJECT_NAMES = ("subject_id", "subject")
_HINT = "columns: path, label, subject_id; see the documentation of the table layout"


def read_table(path: Path, options: Options) -> Listing:
    """List the cells that a table names.

    Raises:
        LayoutError: when it cannot be read, has no column of paths, or a row without a path or with one
            outside the table's folder.
        UnknownClassError: for labels without a known meaning.
    """
    frame = _read(path)
    where = _first(frame, _PATH_NAMES)
    if where is None:
        raise LayoutError(f"{path}: expected a column path, found {', '.join(frame.columns)}", hint=_HINT)
    root = path.absolute().parent
    rows = list(frame.iter_rows(named=True))
    labels = {row["label"] for row in rows if row.get("label")}
    classes = Classes(labels, positive=options.positive, rename=options.rename)
    subject = _first(frame, _SUBJECT_NAMES) or ""
    return Listing(
        layout="table",
        root=root,
        cells=[
            _entry(row, _below(path, row[where], root), row.get(subject), classes, path.stem) for row in rows
        ],
        classes=classes.names,
        positive_classes=classes.positive,
        metadata={"source_name": path.stem},
    )


def _entry(row: Mapping[str, Any], path: str, subject: str | None, classes: Classes, source: str) -> Entry:
    return Entry(
        cell_id=row.get("cell_id") or path,
        path=path,
        subject_id=normal_subject(subject),
        label=classes.label(row["label"]) if row.get("label") else None,
        source=row.get("source") or source,
        fold=_whole_number(row.get("fold"), path),
        photograph_id=row.get("photograph_id") or None,
        duplicate_group=row.get("duplicate_group") or None,
    )


def _read(path: Path) -> pl.DataFrame:
    try:
        if path.suffix.lower() == ".csv":
            return pl.read_csv(path, infer_schema=False)
        return pl.read_parquet(path).cast(pl.String)
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0]
        raise LayoutError(f"{path}: expected a CSV or Parquet table: {reason}", hint=_HINT) from None


def _first(frame: pl.DataFrame, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in frame.columns), None)


def _below(table: Path, value: str | None, root: Path) -> str:
    if not value:
        raise LayoutError(f"{table}: a row has no path", hint=_HINT)
    path = Path(value)
    if path.is_absolute() and path.is_relative_to(root):
        path = path.relative_to(root)
    if path.is_absolute() or ".." in path.parts:
        raise LayoutError(
            f"{table}: '{value}' lies outside the folder of the table", hint="move the table up"
        )
    return path.as_posix()


def _whole_number(value: str | None, path: str) -> int | None:
    if not value:
        return None
    if not value.isdecimal():
        raise LayoutError(f"{path}: expected a whole number as fold, got '{value}'", hint=_HINT)
    return int(value)
