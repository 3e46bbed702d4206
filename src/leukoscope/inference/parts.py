"""The cells of one INPUT: of a folder or zip, of a manifest, of single files and pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from PIL import Image as Pillow

from leukoscope.cells.pictures import picture_pixels
from leukoscope.cohort.layouts.cnmc2019 import SYNTHETIC_MARK, PreliminaryRow, preliminary_labels
from leukoscope.cohort.manifest import Manifest
from leukoscope.cohort.smears import ORIGIN_COLUMNS, Origin
from leukoscope.cohort.source import FolderSource, ImageSource, open_source
from leukoscope.core.files import printable
from leukoscope.errors import ImageNotFoundError, UsageError
from leukoscope.inference.identity import Identity, identify
from leukoscope.inference.walk import walk

Image = np.ndarray | bytes


class CellInput(NamedTuple):
    """One cell to be judged.

    ``read`` gives the bytes of its file, or its pixels; it may be called on any thread and raises
    :class:`~leukoscope.errors.ImageError`. ``origin`` is known of a cell that was found in a photograph. What
    is not known is ``None``.
    """

    cell_id: str
    path: str
    read: Callable[[], Image]
    subject_id: str | None = None
    label: str | None = None
    split: str | None = None
    fold: int | None = None
    origin: Origin | None = None


class Part(Protocol):
    """The cells of one input."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the input says of itself: ``root``, ``leaky``, ``synthetic``, and ``photographs``: whether its
        cells have an origin."""

    def cells(self, *, alone: bool) -> Iterator[CellInput]:
        """The cells in order; ids and paths start below the input where it is ``alone``."""

    def count(self) -> int | None:
        """How many there are, ``None`` where that would have to be tried out."""


class SourcePart:
    """A folder or a zip: every image in it; C-NMC names and places are understood."""

    def __init__(self, source: ImageSource, title: Path) -> None:
        self.title, self._source = title, source
        self.metadata = {"root": str(source.root), "synthetic": str(_is_synthetic(source)).lower()}

    def cells(self, *, alone: bool) -> Iterator[CellInput]:
        """The cells; their names are found as they are asked for."""
        root, before = self._source.root.as_posix(), "" if alone else f"{self.title.as_posix()}/"
        for name in self._names():
            path = printable(before + name)
            who = identify(printable(f"{root}/{name}"), self._preliminary) or Identity(path)
            read = partial(self._source.read, name)
            yield CellInput(who.cell_id, path, read, who.subject_id, who.label, None, who.fold)

    def count(self) -> int:
        """How many images there are."""
        return sum(1 for _ in self._names())

    def _names(self) -> Iterable[str]:
        if isinstance(self._source, FolderSource):
            return walk(self._source.root)
        return self._source.names()

    def _preliminary(self) -> Mapping[int, PreliminaryRow]:
        return self._labels

    @cached_property
    def _labels(self) -> Mapping[int, PreliminaryRow]:
        return preliminary_labels(self._source) or {}


def _is_synthetic(source: ImageSource) -> bool:
    """Whether the mark of a drawn cohort lies in the folder, just below or above it, or in the zip."""
    root = source.root
    if root.is_file():
        return any(Path(name).name == SYNTHETIC_MARK for name in source.files())
    try:
        nearby = (root, *root.parents, *(entry for entry in root.iterdir() if entry.is_dir()))
        return any((folder / SYNTHETIC_MARK).is_file() for folder in nearby)
    except PermissionError:  # a folder that cannot be entered is said by the walk, under its own name
        return False


class ManifestPart:
    """A manifest or split: its rows, with what it says of them."""

    def __init__(self, manifest: Manifest) -> None:
        self._root = manifest.root
        names = ("cell_id", "path", "subject_id", "label", "fold", "split")
        # of a million rows the rest is most of the memory
        columns = manifest.frame.columns
        self._of_photographs = set(ORIGIN_COLUMNS) <= set(columns)
        wanted = (*names, *(ORIGIN_COLUMNS if self._of_photographs else ()))
        self._rows = manifest.frame.select(name for name in wanted if name in columns)
        stamps = {name: manifest.metadata.get(name, "false") for name in ("leaky", "synthetic")}
        photographs = str(self._of_photographs).lower()
        self.metadata = {"root": str(manifest.root), "photographs": photographs, **stamps}

    def cells(self, *, alone: bool) -> Iterator[CellInput]:
        """The rows in their order."""
        read, before = open_source(self._root).read, "" if alone else f"{self._root.as_posix()}/"
        for row in self._rows.iter_rows(named=True):
            path = row.pop("path")
            if self._of_photographs:
                row["origin"] = Origin.taken_from(row)
            yield CellInput(path=before + path, read=partial(read, path), **row)

    def count(self) -> int:
        """How many rows there are."""
        return self._rows.height


class Files:
    """Single files by their paths; they need not be there."""

    def __init__(self, paths: list[str]) -> None:
        self.paths = paths
        self.metadata = {"root": str(Path.cwd())}

    def cells(self, *, alone: bool) -> Iterator[CellInput]:
        """One cell a path."""
        return (_file(Path(path)) for path in self.paths)

    def count(self) -> int:
        """How many paths there are."""
        return len(self.paths)


class Series:
    """Single files (paths), and pixels, pictures and bytes in memory, from any iterable."""

    def __init__(self, items: Iterable[Any], *, first: int = 0) -> None:
        self._items, self._first = items, first
        self.metadata = {"root": str(Path.cwd())}

    def cells(self, *, alone: bool) -> Iterator[CellInput]:
        """One cell an item; pixels are called ``image_0`` and so on."""
        for place, item in enumerate(self._items, self._first):
            if isinstance(item, str | Path):
                yield _file(Path(item))
            else:
                yield CellInput(f"image_{place}", "", partial(_in_memory, item))

    def count(self) -> int | None:
        """How many items there are, where that is known."""
        return len(self._items) if isinstance(self._items, Sequence) else None


def _file(path: Path) -> CellInput:
    name = printable(path.as_posix())
    who = identify(printable(path.absolute().as_posix()), dict) or Identity(name)
    read = partial(_read_file, path.absolute())  # another process may stand in another folder
    return CellInput(who.cell_id, name, read, who.subject_id, who.label, None, who.fold)


def _read_file(path: Path) -> bytes:
    if not path.exists():
        raise ImageNotFoundError(path, "no such file")
    return FolderSource(path.parent).read(path.name)


def _in_memory(item: Any) -> Image:
    if isinstance(item, bytes | bytearray | memoryview):
        return bytes(item)
    if isinstance(item, Pillow.Image):
        return picture_pixels(item, "<picture>")
    try:
        return np.asarray(item)
    except Exception:  # whatever it raises: it is no image, and other items are
        found = type(item).__name__
        raise UsageError(f"expected an image as uint8 (H, W, 3). Received: {found}") from None
