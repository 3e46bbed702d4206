"""Files that appear whole or not at all, their fingerprints, and where caches live."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Give a temporary path beside ``path``; what is written there replaces ``path`` when the block ends
    well.

    The parent folder is made. When the block raises, ``path`` keeps what it had and the temporary file is
    removed.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=target.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def write_text(path: Path | str, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write bytes atomically."""
    with atomic(path) as temporary:
        temporary.write_bytes(data)


def write_durably(path: Path | str, data: bytes) -> None:
    """Write bytes atomically; when this returns, a power cut takes them no more."""
    with durable(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def durable(path: Path | str) -> Iterator[Path]:
    """As :func:`atomic`; when the block has ended well, a power cut takes the file no more."""
    target = Path(path)
    named_in = {target.parent, *(folder.parent for folder in target.parents if not folder.exists())}
    with atomic(target) as temporary:
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
    if os.name != "nt":  # there a folder cannot be opened
        for folder in named_in:
            _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path | str, data: Any) -> None:
    """Write JSON atomically: two spaces, keys in their order, NaN refused."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def cache_folder() -> Path:
    """Where caches live: ``LEUKOSCOPE_CACHE``, else ``XDG_CACHE_HOME/leukoscope``, else
    ``~/.cache/leukoscope``."""
    if chosen := os.environ.get("LEUKOSCOPE_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "leukoscope"


def data_folder() -> Path:
    """Where what must be kept lives where nothing else is said: ``XDG_DATA_HOME/leukoscope``, else
    ``~/.local/share/leukoscope``."""
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "leukoscope"


def printable(name: str) -> str:
    r"""The name of a file as text that every format can hold; bytes that are no UTF-8 are written out.

    >>> printable("cell_1.bmp"), printable("na\udcffme.bmp")
    ('cell_1.bmp', 'na\\xffme.bmp')
    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def sha256_file(path: Path | str) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_bytes(data: bytes) -> str:
    """SHA-256 of bytes, in hexadecimal.

    >>> sha256_bytes(b"")[:8]
    'e3b0c442'
    """
    return hashlib.sha256(data).hexdigest()
