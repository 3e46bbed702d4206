"""Places that may lie on another file system: a path, or an address of fsspec such as ``s3://bucket/cells``."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any, TypeGuard

from leukoscope.core.files import write_bytes as write_file
from leukoscope.errors import MissingExtraError, UsageError

Place = Path | str


def is_address(place: object) -> TypeGuard[str]:
    """Whether this is an address of another file system, not a path.

    >>> is_address("s3://bucket/cells"), is_address("zip://::cells.zip"), is_address("cells/1.bmp")
    (True, True, False)
    """
    return isinstance(place, str) and "://" in place


def file_system(address: str) -> tuple[Any, str]:
    """The file system behind an address (of fsspec), and the path in it.

    Raises:
        MissingExtraError: without the extra ``scale``.
        UsageError: for an unknown protocol, one whose package is missing, or a place that cannot be opened.
    """
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise MissingExtraError(f"the address {address}", "scale") from None
    try:
        system, path = url_to_fs(address)
    except Exception as error:  # file systems have no common base of their errors
        raise UsageError(f"{address}: cannot be opened: {reason(error)}", hint="check the address") from None
    return system, path


def reason(error: Exception) -> str:
    """The first line of what a file system says, its type where it says nothing."""
    text = getattr(error, "strerror", None) or str(error)
    return text.splitlines()[0] if text.strip() else type(error).__name__


def below(folder: Place, name: str) -> Place:
    """The place of a file in a folder.

    >>> below("s3://bucket/cells/", "1.bmp")
    's3://bucket/cells/1.bmp'
    """
    return f"{folder.rstrip('/')}/{name}" if isinstance(folder, str) else folder / name


def place_of(name: Place) -> Place:
    """An address as it is, anything else as a path."""
    return name if is_address(name) else Path(name)


def read_bytes(place: Place) -> bytes:
    """The bytes of a file.

    Raises:
        FileNotFoundError: when it is not there.
    """
    if isinstance(place, Path):
        return place.read_bytes()
    system, path = file_system(place)
    return bytes(system.cat_file(path))


def write_bytes(place: Place, data: bytes) -> None:
    """Write a file: on a path whole or not at all, at an address as its file system does it.

    Object stores show an object when all of it is there.
    """
    if isinstance(place, Path):
        write_file(place, data)
        return
    system, path = file_system(place)
    system.makedirs(str(PurePosixPath(path).parent), exist_ok=True)
    system.pipe_file(path, data)


def names_in(folder: Place) -> set[str]:
    """Names of what lies in a folder; none where there is no such folder."""
    try:
        if isinstance(folder, Path):
            return {entry.name for entry in folder.iterdir()}
        system, path = file_system(folder)
        return {PurePosixPath(name).name for name in system.ls(path, detail=False)}
    except FileNotFoundError:
        return set()
