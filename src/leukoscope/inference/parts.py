"""The cells of one INPUT: of a folder or zip, of a manifest, of single files and pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from leukoscope.cohort.layouts.cnmc2019 import SYNTHETIC_MARK, PreliminaryRow, preliminary_labels
from leukoscope.cohort.manifest import Manifest
from leukoscope.cohort.source import FolderSource, ImageSource
from leukoscope.core.files import printable
from leukoscope.errors import ImageNotFoundError
from leukoscope.inference.identity import Identity, identify
from leukoscope.inference.walk import walk

Image = np.ndarray | bytes


class CellInput(NamedTuple):
    """One cell to be judged.

    ``read`` gives the bytes of its file, or its pixels; it may be called on any thread and raises
    :class:`~leukoscope.errors.ImageError`. What is not known is ``None``.
    """

    cell_id: str
    path: str
    read: Callable[[], Image]
    subject_id: str | None = None
    label: str | None = None
    split: str | None = None
    fold: int | None = None


class Part(Protocol):
    """The cells of one input."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the input says of itself: ``root``, ``leaky``, ``synthetic``."""

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
    nearby = (root, *root.parents, *(entry for entry in root.iterdir() if entry.is_dir()))
    return any((folder / SYNTHETIC_MARK).is_file() for folder in nearby)


class ManifestPart:
    """A manifest or split: its rows, with what it says of them."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        stamps = {name: manifest.metadata.get(name, "false") for name in ("leaky", "synthetic")}
        self.metadata = {"root": str(manifest.root), **stamps}

    def cells(self, *, alone: bool) -> Iterator[CellInput]:
        """The rows in their order."""
        read, before = self._manifest.images().read, "" if alone else f"{self._manifest.root.as_posix()}/"
        names = ("cell_id", "path", "subject_id", "label", "fold", "split")
        frame = self._manifest.frame
        for row in frame.select(name for name in names if name in frame.columns).iter_rows(named=True):
            path = row.pop("path")
            yield CellInput(path=before + path, read=partial(read, path), **row)

    def count(self) -> int:
        """How many rows there are."""
        return len(self._manifest)


class Series:
    """Single files (paths) and pixels in memory, from any iterable."""

    def __init__(self, items: Iterable[Any], *, first: int = 0) -> None:
        self._items, self._first = items, first
        self.metadata = {"root": str(Path.cwd())}

    def cells(self, *, alone: bool) -> Iterator[CellInput]:
        """One cell an item; pixels are called ``image_0`` and so on."""
        for place, item in enumerate(self._items, self._first):
            if isinstance(item, str | Path):
                yield _file(Path(item))
            else:
                yield CellInput(f"image_{place}", "", partial(_as_it_is, item))

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


def _as_it_is(item: Any) -> Image:
    return item if isinstance(item, bytes) else np.asarray(item)
