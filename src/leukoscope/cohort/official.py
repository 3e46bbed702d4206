"""The official index of C-NMC 2019: every file of the complete data set, as published.

The index travels in the package as ``cnmc2019.parquet``; ``scripts/make_official_index.py`` makes it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from io import BytesIO

import cv2
import numpy as np
import numpy.typing as npt
import polars as pl

from leukoscope.cohort.source import natural_key

NUM_CELLS = {"training": 10_661, "preliminary": 1_867, "final": 2_586}
"""Cells in each part of the complete set; 15,114 in all."""


@cache
def official_index() -> pl.DataFrame:
    """Every file of the complete data set, one row each, 15,114 in all.

    Columns:
        split: ``training``, ``preliminary`` or ``final`` (the ``source`` of a manifest).
        fold: official fold 0, 1, 2 of a training cell, else null.
        file: the published file name.
        uid_name: the original name with its ending; null in the final test.
        subject, label: as in a manifest (``H3`` upper-cased, ``blast`` or ``normal``); null in the final
            test.
        sha256: of the published BMP, in hexadecimal.
        cell_width, cell_height: the bounding box in pixels, counted; training cells only.
        duplicate_group: of subjects that share pictures (``20+21``) or cells photographed twice
            (``H14+H24``), or of final cells that are the same picture.
    """
    packed = pl.read_parquet(BytesIO(files("leukoscope.cohort").joinpath("cnmc2019.parquet").read_bytes()))
    return packed.with_columns(pl.col("sha256").bin.encode("hex"))


@cache
def _groups() -> tuple[tuple[str, str], ...]:
    known = official_index().filter(pl.col("subject").is_not_null() & pl.col("duplicate_group").is_not_null())
    rows = known.select("subject", "duplicate_group").unique().rows()
    return tuple(sorted(rows, key=lambda row: natural_key(row[0])))


def subject_groups() -> dict[str, str]:
    """The duplicate group of each subject that shares pictures, or cells photographed twice, with another.

    >>> subject_groups()["H3"], sorted(set(subject_groups().values()))
    ('H3+H10', ['1+15', '20+21', '51+75+78', 'H14+H24', 'H2+H4+H5+H6', 'H3+H10'])
    """
    return dict(_groups())


# What follows the first 54 bytes in the preliminary files: the rest of a version 5 header, with colour masks
# and what else the program that wrote it had left in memory.
_V5_TAIL = bytes.fromhex(
    "0000ff0000ff0000ff000000000000ff42475273000000000000000054b81efc00000000000000006666"
    "66fc0000000000000000c4f528ff00000000000000000000000004000000000000000000000000000000"
)


def official_bmps(image: npt.NDArray[np.uint8]) -> Iterator[bytes]:
    """The files that C-NMC 2019 could hold of this picture: 24-bit BMP, rows from below, BGR, padded.

    Args:
        image: uint8 ``(H, W, 3)``, RGB.

    Yields:
        First as in the training set (54 bytes of header, 3,779 pixels a metre), then as in the preliminary
        one (138 bytes of header), then as in the final one (54 bytes, no resolution).
    """
    height, width = image.shape[:2]
    padded = np.zeros((height, (3 * width + 3) // 4 * 4), np.uint8)
    padded[:, : 3 * width] = cv2.cvtColor(image[::-1], cv2.COLOR_RGB2BGR).reshape(height, 3 * width)
    pixels = padded.tobytes()
    for resolution, tail in ((3779, b""), (3779, _V5_TAIL), (0, b"")):
        start = 54 + len(tail)
        head = struct.pack("<2sIHHI", b"BM", start + len(pixels), 0, 0, start)
        size = (width, height, 1, 24, 0, len(pixels), resolution, resolution, 0, 0)
        yield head + struct.pack("<IiiHHIIiiII", 40 + len(tail), *size) + tail + pixels
