"""The files of a bundle, in a folder or in a zip, read under limits."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from leukoscope.bundle.format import INFO
from leukoscope.errors import BundleError, BundleIntegrityError

MAX_ZIP_ENTRIES = 64
MAX_ZIP_BYTES = 64 << 30
"""What a zip may unpack to, all files together."""


class BundleFiles(Protocol):
    """Files by plain name."""

    path: Path

    def names(self) -> list[str]:
        """All files that are there, sorted; a folder inside counts as one strange name."""

    def open(self, name: str) -> IO[bytes]:
        """Open one file.

        Raises:
            BundleIntegrityError: when it is not there.
        """

    def take(self, stream: IO[bytes], num_bytes: int, name: str) -> bytes:
        """Read on; an unreadable place is a :class:`BundleIntegrityError`."""

    def read(self, name: str, limit: int | None = None) -> bytes:
        """All bytes of one file.

        Raises:
            BundleIntegrityError: when it is not there, cannot be read or holds more than ``limit`` bytes.
        """


class _Files:
    path: Path

    def open(self, name: str) -> IO[bytes]:
        raise NotImplementedError

    def take(self, stream: IO[bytes], num_bytes: int, name: str) -> bytes:
        try:
            return stream.read(num_bytes)
        except (OSError, zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise BundleIntegrityError(f"{self.path}: {name} cannot be read: {error}") from None

    def read(self, name: str, limit: int | None = None) -> bytes:
        with self.open(name) as stream:
            data = self.take(stream, -1 if limit is None else limit + 1, name)
        if limit is not None and len(data) > limit:
            raise BundleIntegrityError(f"{self.path}: {name} is larger than {limit:,} bytes")
        return data

    def missing(self, name: str) -> BundleIntegrityError:
        return BundleIntegrityError(
            f"{self.path}: {name} is missing", hint="get the bundle anew; it is not complete"
        )


class FolderFiles(_Files):
    """A bundle's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        """All files; see :class:`BundleFiles`."""
        return sorted(entry.name + ("/" if entry.is_dir() else "") for entry in self.path.iterdir())

    def open(self, name: str) -> IO[bytes]:
        """Open one; see :class:`BundleFiles`."""
        try:
            return (self.path / name).open("rb")
        except FileNotFoundError:
            raise self.missing(name) from None
        except OSError as error:
            raise BundleIntegrityError(f"{self.path}: {name} cannot be read: {error.strerror}") from None


class ZipFiles(_Files):
    """A zip of a bundle's files, as they are or inside one folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._archive = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise BundleIntegrityError(
                f"{path}: is neither a bundle's folder nor a zip of one: {error}"
            ) from None
        entries = [entry for entry in self._archive.infolist() if not entry.is_dir()]
        self._refuse(entries)
        self._prefix = _common_folder([entry.filename for entry in entries])
        self._names = sorted(entry.filename.removeprefix(self._prefix) for entry in entries)

    def _refuse(self, entries: list[zipfile.ZipInfo]) -> None:
        if len(entries) > MAX_ZIP_ENTRIES or sum(entry.file_size for entry in entries) > MAX_ZIP_BYTES:
            raise BundleIntegrityError(f"{self.path}: holds more files or bytes than a bundle has")
        for entry in entries:
            path = PurePosixPath(entry.filename)
            if path.is_absolute() or ".." in path.parts or "\\" in entry.filename or ":" in entry.filename:
                raise BundleIntegrityError(
                    f"{self.path}: the name '{entry.filename}' leads out of the bundle"
                )
        names = [entry.filename for entry in entries]
        if len(set(names)) != len(names):
            raise BundleIntegrityError(f"{self.path}: holds one name twice")

    def names(self) -> list[str]:
        """All files; see :class:`BundleFiles`."""
        return self._names

    def open(self, name: str) -> IO[bytes]:
        """Open one; see :class:`BundleFiles`."""
        try:
            return self._archive.open(self._prefix + name)
        except KeyError:
            raise self.missing(name) from None
        except (OSError, RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:
            raise BundleIntegrityError(f"{self.path}: {name} cannot be read: {error}") from None


def _common_folder(names: list[str]) -> str:
    """``"NAME.leuko/"`` where the files are inside one folder, else nothing."""
    folders = [name.removesuffix(INFO) for name in names if PurePosixPath(name).name == INFO]
    folder = min(folders, key=len, default="")
    return folder if all(name.startswith(folder) for name in names) else ""


def open_files(path: Path) -> BundleFiles:
    """The files of the bundle at ``path``.

    Raises:
        BundleError: when nothing is there, or a folder without ``bundle.json``.
        BundleIntegrityError: when a file there is no zip, or one with names or sizes that no bundle has.
    """
    if not path.exists():
        raise BundleError(
            f"{path}: no such bundle", hint="name a .leuko folder, a zip of one, or the word starter"
        )
    files: FolderFiles | ZipFiles = FolderFiles(path) if path.is_dir() else ZipFiles(path)
    if INFO not in files.names():
        raise BundleError(
            f"{path}: holds no {INFO}, so it is no bundle", hint="name a .leuko folder or a zip of one"
        )
    return files
