"""Images at an address of fsspec: one file, a folder with all below it, a pattern."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from leukoscope.cells.decode import IMAGE_SUFFIXES
from leukoscope.cells.limits import Limits
from leukoscope.core.addresses import file_system, reason
from leukoscope.core.files import printable
from leukoscope.errors import ImageError, ImageFormatError, ImageNotFoundError, ImageTooLargeError, UsageError
from leukoscope.inference.identity import Identity, identify
from leukoscope.inference.parts import CellInput
from leukoscope.inference.walk import order

_MAX_BYTES = Limits().max_bytes


class AddressPart:
    """The images of one address, in natural order; ids and paths start at the folder that holds them.

    Args:
        address: such as ``s3://bucket/cells``, ``memory://cells/*.png`` or ``zip://::s3://bucket/cells.zip``.

    Raises:
        MissingExtraError: without the extra ``scale``.
        UsageError: when there is nothing there, or it cannot be listed.
    """

    def __init__(self, address: str) -> None:
        self._system, self._path = file_system(address)
        with_magic = glob.has_magic(self._path)
        try:
            self._is_folder = not with_magic and self._system.isdir(self._path)
            there = with_magic or self._is_folder or self._system.exists(self._path)
        except Exception as error:  # file systems have no common base of their errors
            raise _unusable(address, error) from None
        if not there and PurePosixPath(self._path).suffix.lower() not in IMAGE_SUFFIXES:
            raise UsageError(f"{address}: no such file or folder", hint="check the address")
        self._base = self._path if self._is_folder else _fixed_folder(self._path)
        self._address = _address_of(self._system, self._base, address)
        self.metadata = {"root": self._address}
        if next(self._names(), None) is None:
            endings = ", ".join(sorted(IMAGE_SUFFIXES))
            raise UsageError(f"{address}: holds no image", hint=f"images end in {endings}")

    def cells(self, *, alone: bool) -> Iterator[CellInput]:
        """The cells; one folder's names are held at a time."""
        for name in self._names():
            inner = printable(name.removeprefix(self._base).lstrip("/"))
            path = inner if alone else f"{self._address.rstrip('/')}/{inner}"
            who = identify(printable(name), dict) or Identity(path)
            read = _reader(self._system, name)
            yield CellInput(who.cell_id, path, read, who.subject_id, who.label, None, who.fold)

    def count(self) -> int:
        """How many images there are."""
        return sum(1 for _ in self._names())

    def _names(self) -> Iterator[str]:
        if self._is_folder:
            yield from _walk(self._system, self._path)
        elif glob.has_magic(self._path):
            found = self._system.glob(self._path)
            yield from sorted(filter(_is_image, found), key=order)
        else:
            yield self._path


def addresses_of(pattern: str, suffix: str) -> list[str]:
    """The addresses of the files with this ending that a pattern matches, in natural order."""
    system, path = file_system(pattern)
    if not glob.has_magic(path):
        return [pattern] if path.lower().endswith(suffix) else []
    found = sorted((name for name in system.glob(path) if name.lower().endswith(suffix)), key=order)
    return [_address_of(system, name, pattern) for name in found]


def _walk(system: Any, folder: str) -> Iterator[str]:
    try:
        entries = system.ls(folder, detail=True)
    except Exception as error:  # as above
        raise _unusable(folder, error) from None
    inner = {entry["name"].rstrip("/"): entry["type"] == "directory" for entry in entries}
    inner.pop(folder.rstrip("/"), None)  # object stores may list a folder in itself
    for name in sorted(inner, key=order):
        if PurePosixPath(name).name.startswith(".") or PurePosixPath(name).name == "__MACOSX":
            continue
        if inner[name]:
            yield from _walk(system, name)
        elif _is_image(name):
            yield name


def _is_image(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def _fixed_folder(path: str) -> str:
    """The folder that a file or all matches of a pattern lie in.

    >>> _fixed_folder("bucket/cells/fold_*/1.bmp"), _fixed_folder("bucket/1.bmp")
    ('bucket/cells', 'bucket')
    """
    folder = PurePosixPath(path).parent
    while glob.has_magic(str(folder)):
        folder = folder.parent
    return "" if str(folder) == "." else str(folder)


def _address_of(system: Any, path: str, address: str) -> str:
    """The address of another path on the same file system, which may lie in a file of a further one."""
    _, chained, outer = address.partition("::")
    if not chained:
        return str(system.unstrip_protocol(path))
    return f"{address.partition('://')[0]}://{path}::{outer}"


def _unusable(place: str, error: Exception) -> UsageError:
    return UsageError(
        f"{place}: cannot be listed: {reason(error)}", hint="check the address and the right to read it"
    )


def _reader(system: Any, name: str) -> Callable[[], bytes]:
    return _MemoryFile(system, name) if system.protocol == "memory" else partial(read_file, system, name)


def read_file(system: Any, name: str) -> bytes:
    """The bytes of one image file.

    Raises:
        ImageError: when it is not there, cannot be read or is larger than an image may be.
    """
    try:
        data = bytes(system.cat_file(name, start=0, end=_MAX_BYTES + 1))
    except FileNotFoundError:
        raise ImageNotFoundError(name, "no such file") from None
    except Exception as error:  # as above
        raise ImageFormatError(name, f"cannot be read: {reason(error)}") from None
    if len(data) > _MAX_BYTES:
        raise ImageTooLargeError(name, f"more than {_MAX_BYTES:,} bytes, which is the limit")
    return data


class _MemoryFile:
    """A file in the memory of this process; sent to another one, it takes its bytes along."""

    def __init__(self, system: Any, name: str, data: bytes | None = None) -> None:
        self._system, self._name, self._data = system, name, data

    def __call__(self) -> bytes:
        return read_file(self._system, self._name) if self._data is None else self._data

    def __reduce__(self) -> tuple[type[_MemoryFile], tuple[Any, str, bytes | None]]:
        try:
            return _MemoryFile, (self._system, self._name, self())
        except ImageError:  # and there it is not, either
            return _MemoryFile, (self._system, self._name, None)
