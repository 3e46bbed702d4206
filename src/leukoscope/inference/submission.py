"""The challenge's submission: a zip of ``isbi_valid.predict``, one 0 or 1 a line for 1.bmp, 2.bmp, ..."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import polars as pl

from leukoscope.core.files import atomic
from leukoscope.errors import TableError

MEMBER = "isbi_valid.predict"


def submission(rows: pl.DataFrame, path: Path | str, *, threshold: float = 0.5) -> Path:
    """Write the submission for numbered cells, 1 for a blast.

    Args:
        rows: of a prediction table, ``path`` and ``blast_probability``: 1.bmp, 2.bmp, ... in any order; the
            number is that of the file's name.
        path: the zip to write; there is none unless every cell has its line.
        threshold: of ``blast_probability``.

    Returns:
        ``path``.

    Raises:
        TableError: when the names are not the numbers from 1 on, each once, or a cell has no probability.
    """
    check_numbered(rows["path"])
    rows = rows.sort(pl.Series([_number(name) for name in rows["path"]], dtype=pl.Int64))
    unread = rows.filter(pl.col("blast_probability").is_null())
    if unread.height:
        raise TableError(
            f"{unread['path'][0]} has no probability ({unread.height:,} of {rows.height:,} cells have none)",
            hint="every line is 0 or 1: mend what could not be read; the column error says why",
        )
    lines = "".join(f"{int(p >= threshold)}\n" for p in rows["blast_probability"])
    entry = zipfile.ZipInfo(MEMBER)  # of no date: the same answers are the same file
    entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
    with atomic(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        archive.writestr(entry, lines)
    return Path(path)


def check_numbered(paths: Iterable[str | None]) -> None:
    """Raise :class:`TableError` unless the files' names are the numbers from 1 on, each once."""
    named = sorted(
        ((_number(path), path) for path in paths), key=lambda name: (name[0] is None, name[0] or 0)
    )
    for expected, (number, path) in enumerate(named, start=1):
        if number != expected:
            raise TableError(
                f"expected the files 1 to {len(named):,}, each once; found '{path or 'pixels'}' "
                f"where {expected} should be",
                hint="predict the folder C-NMC_test_prelim_phase_data or C-NMC_test_final_phase_data alone",
            )


def _number(path: str | None) -> int | None:
    stem = PurePosixPath(path or "").stem
    return int(stem) if stem.isascii() and stem.isdecimal() else None
