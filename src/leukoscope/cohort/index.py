"""From image files to a manifest: every file read, decoded, measured once, on all processors."""

from __future__ import annotations

import json
import warnings
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from leukoscope.cells.decode import decode
from leukoscope.cells.quality import examine
from leukoscope.cohort.groups import duplicate_groups
from leukoscope.cohort.layouts.cnmc2019 import Cnmc2019
from leukoscope.cohort.layouts.folder import Folder
from leukoscope.cohort.layouts.listing import Entry, Layout, Listing, Options
from leukoscope.cohort.layouts.table import SUFFIXES as TABLE_SUFFIXES
from leukoscope.cohort.layouts.table import read_table
from leukoscope.cohort.manifest import COLUMNS, UNREADABLE, Manifest
from leukoscope.cohort.source import ImageSource, open_source
from leukoscope.core.files import sha256_bytes
from leukoscope.core.parallel import ordered_map
from leukoscope.core.progress import track
from leukoscope.core.registry import Registry
from leukoscope.errors import DuplicateCellError, ImageError, LayoutError, LeukoscopeWarning, UsageError

LAYOUTS: Registry[Layout] = Registry("layout")
LAYOUTS.add("cnmc2019")(Cnmc2019())
LAYOUTS.add("folder")(Folder())

LAYOUT_NAMES = ("auto", *LAYOUTS.names(), "table")


def index(
    source: Path | str,
    *,
    layout: str = "auto",
    subject_pattern: str | None = None,
    positive: Sequence[str] = (),
    rename: Mapping[str, str] | None = None,
    subjects_csv: Path | None = None,
    workers: int = 0,
) -> Manifest:
    """Make the manifest of a cohort: who each cell is, what it measures, whether it can be read.

    Args:
        source: a folder, a zip file, or a table of paths (CSV, Parquet).
        layout: ``auto``, ``cnmc2019``, ``folder`` or ``table``.
        subject_pattern: regular expression that finds the subject in a path (``folder``).
        positive: class names that count as blast (``folder``, ``table``).
        rename: new class names by old (``folder``, ``table``).
        subjects_csv: table of ``path`` and ``subject_id`` (``folder``).
        workers: threads; 0 means one for each processor.

    Returns:
        One row for each image file; one that cannot be read keeps its row, with the reason in ``quality``.

    Raises:
        LayoutError: when the source is in no known layout.
        DuplicateCellError: when two files have one ``cell_id``.
        UnknownClassError: for class names without a known meaning.
        UsageError: for options that the layout does not take.
    """
    options = Options(subject_pattern, tuple(positive), dict(rename or {}), subjects_csv)
    listing, images = list_cells(Path(source), layout, options)
    _refuse_twins(listing.cells)
    for note in listing.notes:
        warnings.warn(note, LeukoscopeWarning, stacklevel=2)
    measured = ordered_map(lambda cell: _measured(images, cell), listing.cells, workers=workers)
    rows = list(track(measured, "measuring cells", len(listing.cells)))
    return _manifest(listing, rows)


def list_cells(source: Path, layout: str, options: Options) -> tuple[Listing, ImageSource]:
    """The cells of a source by their names alone, and where their images are; see :func:`index`."""
    is_table = source.suffix.lower() in TABLE_SUFFIXES and source.is_file()
    if layout == "table" or (layout == "auto" and is_table):
        _refuse_options("table", options)
        listing = read_table(source, options)
        return listing, open_source(listing.root)
    images = open_source(source)
    if layout == "auto":
        layout = _recognised(images)
    _refuse_options(layout, options)
    return LAYOUTS.get(layout).read(images, options), images


def _recognised(images: ImageSource) -> str:
    if not images.names():
        raise LayoutError(f"{images.root}: expected cell images, found none", hint="check the path")
    found = next((name for name in LAYOUTS if LAYOUTS.get(name).matches(images)), None)
    if found is None:
        raise LayoutError(
            f"{images.root}: {len(images.names()):,} images in no known layout",
            hint="put the cells into folders named after their classes, or name them in a table",
        )
    return found


def _refuse_options(layout: str, options: Options) -> None:
    if layout == "table" and (options.subject_pattern is not None or options.subjects_csv is not None):
        raise UsageError(
            "the table layout takes subjects from its column subject_id; a pattern or a CSV does not apply",
            hint="add the column to the table",
        )
    if layout == "cnmc2019" and options != Options():
        raise UsageError(
            "the C-NMC 2019 layout knows its classes and subjects; options about them do not apply",
            hint='leave them out, or say "--layout folder"',
        )


def _refuse_twins(cells: Iterable[Entry]) -> None:
    seen: dict[str, str] = {}
    for cell in cells:
        # A disk that ignores case shows one file under two spellings, so spelling does not tell ids apart.
        other = seen.setdefault(cell.cell_id.lower(), cell.path)
        if other != cell.path:
            raise DuplicateCellError(
                f"one cell, two files: '{cell.cell_id}' is {other} and {cell.path}",
                hint="remove one of them; is the same folder there twice (ALL and all)?",
            )


def _measured(images: ImageSource, cell: Entry) -> dict[str, Any]:
    row: dict[str, Any] = {**cell._asdict(), "sha256": "", "pixels": None}
    try:
        data = images.read(cell.path)
        row["sha256"] = sha256_bytes(data)
        image = decode(data, name=cell.path)
    except ImageError as error:
        return {**row, "quality": UNREADABLE + error.reason}
    measures, quality = examine(image)
    row["pixels"] = pixel_fingerprint(image)
    return {**row, **{name: getattr(measures, name) for name in _MEASURED}, "quality": quality.text}


def pixel_fingerprint(image: npt.NDArray[np.uint8]) -> str:
    """Short text that two images share when their pixels are equal, and by chance once in 2^64 when not.

    Two checksums instead of a SHA-256, which would take half as long again as decoding.

    >>> pixel_fingerprint(np.zeros((2, 2, 3), np.uint8))
    '2x2:7bd5c66f:000c0001'
    """
    height, width = image.shape[:2]
    pixels = np.ascontiguousarray(image).data
    return f"{width}x{height}:{zlib.crc32(pixels):08x}:{zlib.adler32(pixels):08x}"


_MEASURED = ("width", "height", "cell_width", "cell_height", "cell_area", "brightness", "stain")


def _manifest(listing: Listing, rows: list[dict[str, Any]]) -> Manifest:
    owners = [row["subject_id"] or row["cell_id"] for row in rows]
    groups = duplicate_groups(owners, [row["pixels"] for row in rows], known=listing.duplicate_groups)
    for row, group in zip(rows, groups, strict=True):
        row["duplicate_group"] = row["duplicate_group"] or group
    frame = pl.DataFrame(rows, schema={**COLUMNS, "pixels": pl.String}).select(*COLUMNS)
    leaky = frame.filter(pl.col("label").is_not_null() & pl.col("subject_id").is_null()).height > 0
    metadata = {
        "kind": "manifest",
        "layout": listing.layout,
        "classes": json.dumps(listing.classes),
        "positive_classes": json.dumps(listing.positive_classes),
        "synthetic": "false",
        "licence": "",
        "citation": "",
        **listing.metadata,
        "leaky": json.dumps(leaky),
    }
    return Manifest(frame, listing.root, metadata)
