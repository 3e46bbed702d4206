"""What a user names (files, folders, globs, zips, manifests, arrays) becomes cells, one by one."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from PIL import Image

from leukoscope.cells.decode import IMAGE_SUFFIXES
from leukoscope.cohort.manifest import Manifest
from leukoscope.cohort.source import FolderSource, open_source
from leukoscope.core.addresses import is_address
from leukoscope.errors import UsageError
from leukoscope.inference.byte_tables import NEEDED, ByteTablePart
from leukoscope.inference.parts import CellInput, Files, ManifestPart, Part, Series, SourcePart
from leukoscope.inference.remote import AddressPart, addresses_of
from leukoscope.inference.walk import order

STAMPS = ("leaky", "synthetic", "photographs")
"""What holds of all inputs together where it holds of one."""

InputLike = str | Path | Manifest | np.ndarray | Image.Image | bytes | bytearray | memoryview


@dataclass(frozen=True)
class Inputs:
    """All cells of all inputs, in order, each with an id of its own.

    Iterating holds one cell at a time; it may be done again where the inputs can be read again.

    Attributes:
        parts: one for each input.
        metadata: what the inputs say of themselves: ``root``, ``leaky``, ``synthetic``, ``photographs``.
        subject_id: whose cells they all are, where the user said so.
    """

    parts: tuple[Part, ...]
    metadata: Mapping[str, str]
    subject_id: str | None = None

    def __iter__(self) -> Iterator[CellInput]:
        alone = len(self.parts) == 1
        cells = (cell for part in self.parts for cell in part.cells(alone=alone))
        for cell in _distinct(cells, names_differ=alone and isinstance(self.parts[0], SourcePart)):
            yield cell if self.subject_id is None else cell._replace(subject_id=self.subject_id)

    @property
    def of_photographs(self) -> bool:
        """Whether cells say where in a photograph they lie."""
        return self.metadata.get("photographs") == "true"

    def count(self) -> int | None:
        """How many cells there are, for a progress bar; ``None`` where it is not known beforehand."""
        counts = [part.count() for part in self.parts]
        return None if None in counts else sum(count or 0 for count in counts)


def resolve(inputs: InputLike | Iterable[InputLike], *, subject_id: str | None = None) -> Inputs:
    """The cells behind what a user names.

    A file that does not exist but is called like an image is a row that says so. A cell's id is its C-NMC
    name where it has one, the manifest's, the path below the input where that is the only one, else its
    path as given; a second cell of the same id gets its path, or a number behind.

    Args:
        inputs: one or several of: an image file, a folder (read recursively), a pattern such as
            ``cells/*.bmp``, a zip, a manifest or split (``.parquet`` or loaded), a Parquet file of images
            (columns ``path`` and ``bytes``), an address of another file system, such as
            ``s3://bucket/cells`` (file, folder, pattern, zip, Parquet file of images), pixels as uint8
            (H, W, 3), many of them as (N, H, W, 3), a picture in Pillow, the bytes of an image file. An
            iterator of single files and pixels is read as cells are asked for.
        subject_id: whose cells they all are, whatever names and manifests say.

    Raises:
        UsageError: when there is nothing there, or no image in it.
        ManifestError: for a Parquet file that is neither.
        MissingExtraError: for an address or images in Parquet without the extra ``scale``.
    """
    parts = _resolved(inputs)
    if not parts:
        raise UsageError("nothing to predict: no input was given", hint="name files, folders or a manifest")
    root = parts[0].metadata.get("root", "") if len(parts) == 1 else str(Path.cwd())
    metadata = {"root": root, **{stamp: _any(parts, stamp) for stamp in STAMPS}}
    return Inputs(tuple(parts), metadata, subject_id)


def _any(parts: list[Part], stamp: str) -> str:
    return "true" if any(part.metadata.get(stamp) == "true" for part in parts) else "false"


def _resolved(inputs: Any) -> list[Part]:
    if isinstance(inputs, InputLike):
        return _parts(inputs, 0)
    if isinstance(inputs, Iterator):
        return [Series(inputs)]
    if not isinstance(inputs, Iterable):
        kinds = "paths, pixels as uint8 (H, W, 3), pictures, bytes"
        raise UsageError(f"expected one or several of: {kinds}. Received: {type(inputs).__name__}")
    return _joined(part for place, item in enumerate(inputs) for part in _parts(item, place))


def _joined(parts: Iterable[Part]) -> list[Part]:
    """Single files that follow each other become one part: a million parts would take a gigabyte."""
    joined: list[Part] = []
    for part in parts:
        if isinstance(part, Files) and joined and isinstance(joined[-1], Files):
            joined[-1].paths.extend(part.paths)
        else:
            joined.append(part)
    return joined


def _parts(item: Any, place: int) -> list[Part]:
    if isinstance(item, Manifest):
        return [ManifestPart(item)]
    if not isinstance(item, str | Path):
        many = isinstance(item, np.ndarray) and item.ndim == 4
        return [Series(list(item) if many else [item], first=place)]
    if is_address(item):
        return _at_address(item)
    if Path(item).exists() or not glob.has_magic(str(item)):
        return [_part(Path(item))]
    found = glob.glob(str(item), recursive=True)  # noqa: PTH207 - absolute ones too
    if not found:
        raise UsageError(f"no file matches {item}", hint="check the pattern")
    found.sort(key=order)
    return _joined(_part(Path(name)) for name in found)


def _at_address(address: str) -> list[Part]:
    if tables := addresses_of(address, ".parquet"):
        return [ByteTablePart(table) for table in tables]
    is_zip = address.lower().endswith(".zip") and "::" not in address
    return [AddressPart(f"zip://::{address}" if is_zip else address)]


def _part(path: Path) -> Part:
    suffix = path.suffix.lower()
    if path.is_dir():
        return _with_images(SourcePart(FolderSource(path.absolute()), path))
    if path.is_file() and suffix == ".zip":
        return _with_images(SourcePart(open_source(path), path))
    if path.is_file() and suffix == ".parquet":
        return (
            ByteTablePart(str(path.absolute())) if _holds_images(path) else ManifestPart(Manifest.read(path))
        )
    if not path.exists() and suffix not in IMAGE_SUFFIXES:
        raise UsageError(f"{path}: no such file or folder", hint="check the path")
    return Files([str(path)])


def _holds_images(path: Path) -> bool:
    """Whether a Parquet file has images in it, not the names of some."""
    try:
        return set(pl.read_parquet_schema(path)) >= NEEDED
    except (OSError, pl.exceptions.PolarsError):
        return False


def _with_images(part: SourcePart) -> SourcePart:
    if next(part.cells(alone=True), None) is None:
        endings = ", ".join(sorted(IMAGE_SUFFIXES))
        raise UsageError(f"{part.title}: holds no image", hint=f"images end in {endings}")
    return part


def _distinct(cells: Iterable[CellInput], *, names_differ: bool) -> Iterator[CellInput]:
    """Give every cell an id of its own.

    Paths below one folder differ anyhow; of other ids the hashes are kept, a few bytes each.
    """
    seen: set[int] = set()
    for cell in cells:
        if names_differ and cell.cell_id == cell.path:
            yield cell
            continue
        chosen = next(name for name in _names(cell) if hash(name) not in seen)
        seen.add(hash(chosen))
        yield cell._replace(cell_id=chosen)


def _names(cell: CellInput) -> Iterator[str]:
    yield cell.cell_id
    if cell.path:
        yield cell.path
    number = 2
    while True:
        yield f"{cell.path or cell.cell_id}#{number}"
        number += 1
