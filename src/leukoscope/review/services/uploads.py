"""What is taken in: cells, photographs and zips of them, under limits, each file with its outcome."""

from __future__ import annotations

import hashlib
import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from threading import Semaphore
from typing import IO, NamedTuple, Self, cast

import cv2
import numpy as np

from leukoscope.cells.decode import IMAGE_SUFFIXES, decode
from leukoscope.cells.formats import sniff
from leukoscope.cells.limits import Limits, check_bytes, check_pixels
from leukoscope.cells.measure import find_body, is_segmented
from leukoscope.cells.photograph import read_photograph
from leukoscope.cells.pictures import header_size
from leukoscope.core.config import Config
from leukoscope.core.files import sha256_bytes
from leukoscope.errors import ImageError, LeukoscopeError
from leukoscope.review.store.images import ImageStore, StoredImage

BYTES_PER_MEMBER = 400
"""Of a zip's list for one file: 46, its name, and what packers add."""

PLAIN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""How members may be packed: what others ask for in memory is written in the file."""

DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    NotImplementedError,
    RuntimeError,
)
"""What :mod:`zipfile` raises for files that are none, or no longer whole."""


CELL, PHOTOGRAPH = "cell", "photograph"
"""What a file is, by the word of who sends it."""

LARGEST_CELL = 1_000_000
"""Pixels from which on a picture without a cell on black is no cell: C-NMC's have a third of it at most."""

_ONE_AT_A_TIME = Semaphore(1)
"""A photograph takes three bytes of memory for each of its pixels."""


class UploadLimits(Config):
    """How much is taken in.

    Attributes:
        max_bytes: of one image file.
        max_pixels: of one image.
        max_photograph_bytes: of one photograph of a smear.
        max_photograph_pixels: the same in pixels.
        max_files: of one zip.
        max_loose: files of one upload that are in no zip.
        max_upload_bytes: of one upload, all its files together.
        max_zip_bytes: of a zip.
        max_unpacked_bytes: of all members of a zip together.
        max_ratio: of these to the zip's own.
        max_depth: folders in a member's name.
        max_name: characters of a name.
    """

    max_bytes: int = 64 * 2**20
    max_pixels: int = 25_000_000
    max_photograph_bytes: int = 2 * 2**30
    max_photograph_pixels: int = 400_000_000
    max_files: int = 20_000
    max_loose: int = 256
    max_upload_bytes: int = 4 * 2**30
    max_zip_bytes: int = 4 * 2**30
    max_unpacked_bytes: int = 16 * 2**30
    max_ratio: float = 200.0
    max_depth: int = 8
    max_name: int = 255

    @property
    def image(self) -> Limits:
        """Those of one image, as the decoder takes them."""
        return Limits(max_bytes=self.max_bytes, max_pixels=self.max_pixels)

    def of(self, kind: str) -> Self:
        """The same, where one image is of this kind."""
        if kind != PHOTOGRAPH:
            return self
        most = {"max_bytes": self.max_photograph_bytes, "max_pixels": self.max_photograph_pixels}
        return self.model_copy(update=most)


class Received(NamedTuple):
    """One file that came.

    Attributes:
        name: as it was called, cut to what can be shown.
        num_bytes: of the file as it came.
        sha256: of the same.
        image: the copy that is kept, ``None`` where ``reason`` says why there is none.
        reason: why it was not taken.
        kind: :data:`CELL` or :data:`PHOTOGRAPH`.
    """

    name: str
    num_bytes: int
    sha256: str
    image: StoredImage | None
    reason: str | None
    kind: str = CELL


class UploadError(LeukoscopeError):
    """A whole upload that is not taken: a zip that is none, or that is made to do harm."""


def receive(name: str, data: bytes, store: ImageStore, limits: UploadLimits) -> Received:
    """Take one image of a cell: decode it under limits, and keep its pixels."""
    shown, digest = plain_name(name, limits), sha256_bytes(data)
    try:
        pixels = decode(data, name=shown, limits=limits.image)
        if pixels.shape[0] * pixels.shape[1] > LARGEST_CELL and not is_cut_out(pixels):
            raise ImageError(
                shown, "is no single cell on black; if it is a photograph of a smear, send it as one"
            )
        image = store.put(pixels)
    except ImageError as error:
        return Received(shown, len(data), digest, None, error.reason)
    return Received(shown, len(data), digest, image, None)


def receive_photograph(name: str, stream: IO[bytes], store: ImageStore, limits: UploadLimits) -> Received:
    """Take one photograph of a smear, of any size that the limits allow: its pixels are kept.

    Args:
        name: as it was called.
        stream: the file from its beginning.
        store: where its pixels go.
        limits: :meth:`UploadLimits.of` photographs.
    """
    shown = plain_name(name, limits)
    digest = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
    num_bytes = stream.seek(0, 2)
    stream.seek(0)
    try:
        check_bytes(shown, num_bytes, limits.image)
        with _ONE_AT_A_TIME, store.desk(_suffix(shown)) as path:
            with path.open("wb") as copy:
                shutil.copyfileobj(stream, copy, 2**20)
            image = store.put_photograph(_photograph(path, shown, limits))
    except ImageError as error:
        return Received(shown, num_bytes, digest, None, error.reason, PHOTOGRAPH)
    return Received(shown, num_bytes, digest, image, None, PHOTOGRAPH)


def _photograph(path: Path, shown: str, limits: UploadLimits) -> np.ndarray:
    """Its pixels, if it is one."""
    with path.open("rb") as stream:
        start = stream.read(2**16)
    if not start:
        raise ImageError(shown, "expected an image, found a file of zero bytes")
    check_pixels(shown, *header_size(sniff(start, shown), path), limits.image)
    pixels = read_photograph(path)
    if is_cut_out(pixels):
        raise ImageError(shown, "is a single cell on black, no photograph of a smear: send it as a cell")
    return pixels


def _suffix(name: str) -> str:
    found = PurePosixPath(name).suffix.lower()
    return found if found in IMAGE_SUFFIXES else ""


def is_cut_out(pixels: np.ndarray, *, side: int = 1000) -> bool:
    """Whether an image is a cell on black; a large one is looked at with fewer pixels."""
    factor = side / max(pixels.shape[:2])
    if factor < 1:
        pixels = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST)
    body = find_body(pixels)
    return body is not None and is_segmented(pixels, body)


def plain_name(name: str, limits: UploadLimits) -> str:
    r"""The last part of a name, without what a screen or a file system could stumble over.

    >>> plain_name("C:\\cells\\a\x00b.bmp", UploadLimits()), plain_name("../../x.png", UploadLimits())
    ('ab.bmp', 'x.png')
    """
    last = PurePosixPath(name.replace("\\", "/")).name
    shown = "".join(letter for letter in last if letter.isprintable())[-limits.max_name :].strip()
    return shown if shown.strip(".") else "unnamed"


def is_zip(start: bytes) -> bool:
    """Whether an upload is a zip, by its first bytes; names are not believed."""
    return start.startswith((b"PK\x03\x04", b"PK\x05\x06"))


class _Zip:
    """A zip's stream as :mod:`zipfile` reads it, with a limit on its list of members while that is read.

    The list is taken into memory whole, whatever its size, and every member of it becomes an object.
    """

    def __init__(self, stream: IO[bytes], limits: UploadLimits) -> None:
        self._stream, self._most = stream, limits.max_files * BYTES_PER_MEMBER
        self.is_open = False

    def read(self, size: int = -1) -> bytes:
        """As of any stream; more than the limit is refused until the list is read."""
        if self.is_open:
            return self._stream.read(size)
        data = self._stream.read(size if 0 <= size <= self._most else self._most + 1)
        if len(data) > self._most:
            raise UploadError("the zip lists more members than are taken")
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """As of any stream."""
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        """As of any stream."""
        return self._stream.tell()

    def seekable(self) -> bool:
        """It is."""
        return True


def members(stream: IO[bytes], limits: UploadLimits) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of every image in a zip, one at a time.

    Sizes in a zip's directory are claims: what is unpacked is counted while it is unpacked.

    Raises:
        UploadError: when it is damaged, encrypted, too large, packed in an unusual way, or names a place
            outside.
    """
    watched = _Zip(stream, limits)
    try:
        with zipfile.ZipFile(cast(IO[bytes], watched)) as archive:
            watched.is_open = True
            wanted = _checked(archive, limits)
            left = _allowance(stream, limits)
            for entry in wanted:
                data = _unpacked(archive, entry, min(limits.max_bytes, left))
                left -= len(data)
                yield entry.filename, data
    except DAMAGED as error:
        raise UploadError(f"the zip cannot be read: {error}") from None


def _checked(archive: zipfile.ZipFile, limits: UploadLimits) -> list[zipfile.ZipInfo]:
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    for entry in entries:
        path = PurePosixPath(entry.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or "\0" in entry.filename:
            raise UploadError(f"the zip names a place outside of it: {entry.filename!r}")
        if len(path.parts) > limits.max_depth or len(entry.filename) > limits.max_name * limits.max_depth:
            raise UploadError(f"a name in the zip is too long or too deep: {entry.filename[:80]!r}")
        if entry.flag_bits & 1:
            raise UploadError("the zip is encrypted: unpack it first")
        if entry.compress_type not in PLAIN:
            raise UploadError(f"{entry.filename[:80]!r} is packed in an unusual way: make a plain zip")
    wanted = [entry for entry in entries if _is_image(entry.filename)]
    if len(wanted) > limits.max_files:
        raise UploadError(f"the zip holds {len(wanted):,} images, at most {limits.max_files:,} are taken")
    return wanted


def _is_image(name: str) -> bool:
    path = PurePosixPath(name)
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return not hidden and path.suffix.lower() in IMAGE_SUFFIXES


def _allowance(stream: IO[bytes], limits: UploadLimits) -> int:
    size = stream.seek(0, 2)
    if size > limits.max_zip_bytes:
        raise UploadError(f"the zip has {size:,} bytes, at most {limits.max_zip_bytes:,} are taken")
    return int(min(limits.max_unpacked_bytes, size * limits.max_ratio))


def _unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, most: int) -> bytes:
    with archive.open(entry) as stream:
        data = stream.read(most + 1)
    if len(data) > most:
        raise UploadError(f"the zip unpacks to more than is taken, at {entry.filename!r}")
    return data
