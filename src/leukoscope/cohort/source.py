"""Where the image files of a cohort lie: a folder, or a zip file read in place."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath
from stat import S_ISREG
from typing import Protocol

from leukoscope.cells.decode import IMAGE_SUFFIXES
from leukoscope.cells.limits import Limits
from leukoscope.errors import (
    ImageFormatError,
    ImageNotFoundError,
    ImageTooLargeError,
    LayoutError,
    TruncatedImageError,
)

_MAX_BYTES = Limits().max_bytes


class ImageSource(Protocol):
    """Image files by name. Names are POSIX paths below ``root``; reading is safe from several threads."""

    @property
    def root(self) -> Path:
        """The folder or the zip file."""

    def files(self) -> list[str]:
        """All files (hidden ones and those that macOS adds to a zip left out), in natural order."""

    def names(self) -> list[str]:
        """The image files among :meth:`files`, told by their ending in any case."""

    def read(self, name: str) -> bytes:
        """The bytes of one file.

        Raises:
            ImageError: when there is no such file, it is damaged, or it is larger than an image may be.
        """


def open_source(root: Path | str) -> ImageSource:
    """The image files in a folder or in a zip file.

    Raises:
        LayoutError: when ``root`` is neither.
    """
    path = Path(root).absolute()
    if path.is_dir():
        return FolderSource(path)
    if path.is_file() and zipfile.is_zipfile(path):
        return ZipSource(path)
    found = "a file that is no zip" if path.is_file() else "nothing"
    raise LayoutError(f"{root}: expected a folder or a .zip file, found {found}", hint="check the path")


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sorting key that counts: ``2.bmp`` before ``10.bmp``.

    >>> sorted(["10.bmp", "2.bmp", "a.bmp"], key=natural_key)
    ['2.bmp', '10.bmp', 'a.bmp']
    """
    parts = re.split(r"([0-9]+)", name)
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts if part]


class _Listed:
    """Listing shared by both kinds of source."""

    root: Path

    def _walk(self) -> Iterator[str]:
        raise NotImplementedError

    @cached_property
    def _files(self) -> list[str]:
        return sorted((name for name in self._walk() if not _is_clutter(name)), key=natural_key)

    def files(self) -> list[str]:
        return list(self._files)

    def names(self) -> list[str]:
        return [name for name in self._files if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES]


class FolderSource(_Listed):
    """A folder. Links are followed, but no folder is read twice, whatever it is called on the way."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def _walk(self) -> Iterator[str]:
        seen: set[tuple[int, int]] = set()
        _is_new(self.root, seen)
        for folder, inner, files in os.walk(self.root, followlinks=True):
            inner.sort(key=lambda name: (Path(folder, name).is_symlink(), name))
            inner[:] = [name for name in inner if not _is_clutter(name) and _is_new(Path(folder, name), seen)]
            below = Path(folder).relative_to(self.root)
            yield from ((below / name).as_posix() for name in files)

    def read(self, name: str) -> bytes:
        """The bytes of one file; see :class:`ImageSource`."""
        path = self.root / name
        try:
            status = path.stat()
            if not S_ISREG(status.st_mode):  # to read a pipe would be to wait for somebody to write
                raise ImageFormatError(path, "cannot be read: no regular file")
            if status.st_size > _MAX_BYTES:
                raise ImageTooLargeError(path, f"{status.st_size:,} bytes, the limit is {_MAX_BYTES:,}")
            return path.read_bytes()
        except FileNotFoundError:
            raise ImageNotFoundError(path, "no such file") from None
        except OSError as error:
            raise ImageFormatError(path, f"cannot be read: {error.strerror or error}") from None


class ZipSource(_Listed):
    """A zip file, read in place: nothing is unpacked to disk."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._zip = zipfile.ZipFile(root)
        members = (info for info in self._zip.infolist() if not info.is_dir())
        self._members = {info.filename.replace("\\", "/"): info for info in members}

    def __reduce__(self) -> tuple[type[ZipSource], tuple[Path]]:
        """Sent to another process, it is opened there."""
        return ZipSource, (self.root,)

    def _walk(self) -> Iterator[str]:
        return iter(self._members)

    def read(self, name: str) -> bytes:
        """The bytes of one member; see :class:`ImageSource`."""
        path = self.root / name
        info = self._members.get(name)
        if info is None:
            raise ImageNotFoundError(path, "no such file in the zip")
        if info.file_size > _MAX_BYTES:
            raise ImageTooLargeError(path, f"{info.file_size:,} bytes, the limit is {_MAX_BYTES:,}")
        try:
            return self._zip.read(info)
        except (zipfile.BadZipFile, EOFError, OSError) as error:
            raise TruncatedImageError(path, f"is damaged in the zip: {error}") from None
        except (RuntimeError, NotImplementedError) as error:
            raise ImageFormatError(path, f"cannot be taken out of the zip: {error}") from None


def _is_new(folder: Path, seen: set[tuple[int, int]]) -> bool:
    try:
        status = folder.stat()
    except OSError:
        return False
    if (status.st_dev, status.st_ino) in seen:
        return False
    seen.add((status.st_dev, status.st_ino))
    return True


def _is_clutter(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)
