"""The challenge's submission: a zip of ``isbi_valid.predict``, one 0 or 1 a line for 1.bmp, 2.bmp, ..."""

from __future__ import annotations

import zipfile
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
        path: the zip to write.
        threshold: of ``blast_probability``.

    Returns:
        ``path``.

    Raises:
        TableError: when the names are not the numbers from 1 on, each once, or a cell has no probability.
    """
    rows = rows.select("path", "blast_probability", number=_numbers(rows["path"]))
    rows = rows.sort("number", nulls_last=True)
    expected = list(range(1, rows.height + 1))
    if rows["number"].to_list() != expected:
        raise TableError(
            f"expected the files 1 to {rows.height}, each once; found {_first_odd(rows, expected)}",
            hint="predict the folder C-NMC_test_prelim_phase_data or C-NMC_test_final_phase_data alone",
        )
    unread = rows.filter(pl.col("blast_probability").is_null())
    if unread.height:
        raise TableError(f"{unread['path'][0]} has no probability", hint="every cell must be answered")
    lines = "".join(f"{int(p >= threshold)}\n" for p in rows["blast_probability"])
    with atomic(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(MEMBER), lines)
    return Path(path)


def _numbers(paths: pl.Series) -> pl.Series:
    stems = [PurePosixPath(path).stem for path in paths]
    return pl.Series([int(stem) if stem.isdecimal() else None for stem in stems], dtype=pl.Int64)


def _first_odd(rows: pl.DataFrame, expected: list[int]) -> str:
    pairs = zip(rows["number"], rows["path"], expected, strict=True)
    return next(f"'{path}' where {want} should be" for number, path, want in pairs if number != want)
