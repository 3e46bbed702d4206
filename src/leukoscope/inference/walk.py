"""Image files below a folder, in natural order, found as they are asked for."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from leukoscope.cells.decode import IMAGE_SUFFIXES
from leukoscope.errors import UsageError


def walk(root: Path) -> Iterator[str]:
    """POSIX paths below ``root`` of all image files, told by their ending.

    Only one folder's names are held at a time, so that a million files cost next to nothing. Hidden files are
    left out; links are followed, but no folder is entered twice.

    Raises:
        UsageError: when a folder cannot be listed.
    """
    seen: set[tuple[int, int]] = set()
    if root.is_dir():
        _is_new(root, seen)
    yield from _walk(root, "", seen)


def _walk(folder: Path, below: str, seen: set[tuple[int, int]]) -> Iterator[str]:
    files, folders = _listed(folder)
    for name in sorted([*files, *folders], key=order):
        if name not in folders:
            yield below + name
        elif _is_new(folder / name, seen):
            yield from _walk(folder / name, below + name, seen)


def _listed(folder: Path) -> tuple[list[str], set[str]]:
    """Names of the image files and, with a slash behind, of the folders."""
    files, folders = [], set()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name == "__MACOSX":
                    continue
                if entry.is_dir():
                    folders.add(entry.name + "/")
                elif _suffix(entry.name) in IMAGE_SUFFIXES:
                    files.append(entry.name)
    except OSError as error:
        raise UsageError(
            f"{folder}: cannot be listed: {error.strerror}", hint="check its permissions"
        ) from None
    return files, folders


def _suffix(name: str) -> str:
    _, dot, ending = name.rpartition(".")
    return dot + ending.lower()


def _is_new(folder: Path, seen: set[tuple[int, int]]) -> bool:
    status = folder.stat()
    identity = (status.st_dev, status.st_ino)
    if identity in seen:
        return False
    seen.add(identity)
    return True


def order(name: str) -> str:
    """Sorting key that counts, ``2.bmp`` before ``10.bmp``, in one short text for each name.

    The order is that of :func:`leukoscope.cohort.source.natural_key`, in a tenth of its memory.

    >>> sorted(["10.bmp", "2.bmp", "a.bmp"], key=order)
    ['2.bmp', '10.bmp', 'a.bmp']
    """
    return re.sub("[0-9]+", _counted, name)


def _counted(digits: re.Match[str]) -> str:
    number = digits[0].lstrip("0")
    return f"\0{len(number):03}{number}{digits[0]}\0"  # numbers come before any text, and end before it
