"""Images on disk under the hash of their content: written once, never changed, shared by cases.

A file is on the disk for good before :meth:`ImageStore.put` returns, so that no row of the database ever
names one that a power cut took.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from leukoscope.cells.decode import decode
from leukoscope.cells.photograph import LARGEST, read_photograph
from leukoscope.core.files import durable, sha256_bytes, sha256_file, write_durably
from leukoscope.errors import ImageError

QUICKLY = [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
"""OpenCV's own level and filter. A level that is named makes it try every filter on every row, in twice the
time, for a larger file."""


class StoredImage(NamedTuple):
    """An image that is kept: ``sha256`` of the file that is kept, size in pixels."""

    sha256: str
    width: int
    height: int


class ImageStore:
    """PNG files below a folder, two levels deep by the first digits of their hash.

    Args:
        folder: made where it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._desk = folder, folder / "incoming"
        folder.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def desk(self, suffix: str = "") -> Iterator[Path]:
        """A place for a file that is too large for memory, until the block ends."""
        self._desk.mkdir(exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self._desk, suffix=suffix)
        os.close(handle)
        try:
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)

    def clear_desk(self) -> None:
        """Throw away what a server that was killed left there; only for the one server, as it begins."""
        shutil.rmtree(self._desk, ignore_errors=True)

    def put(self, pixels: np.ndarray) -> StoredImage:
        """Keep pixels uint8 (H, W, 3) RGB, without loss and without anything but the pixels."""
        done, png = cv2.imencode(".png", pixels[:, :, ::-1], QUICKLY)
        if not done:
            raise ImageError("<pixels>", f"cannot be kept: {pixels.shape}")
        data = png.tobytes()
        digest = sha256_bytes(data)
        path = self.path(digest)
        if not path.exists():
            write_durably(path, data)
        return StoredImage(digest, pixels.shape[1], pixels.shape[0])

    def put_photograph(self, pixels: np.ndarray) -> StoredImage:
        """As :meth:`put`, with no second copy of a large image in memory; ``pixels`` are used up by it."""
        for start in range(0, len(pixels), 256):
            rows = pixels[start : start + 256]
            rows[:] = rows[:, :, ::-1].copy()
        with self.desk(".png") as written:
            if not cv2.imwrite(str(written), pixels, QUICKLY):
                raise ImageError("<pixels>", f"cannot be kept: {pixels.shape}")
            digest = sha256_file(written)
            path = self.path(digest)
            if not path.exists():
                with durable(path) as temporary:
                    written.replace(temporary)
        return StoredImage(digest, pixels.shape[1], pixels.shape[0])

    def photograph(self, sha256: str) -> np.ndarray:
        """The pixels of a large image, as :meth:`pixels`, with nothing else of it in memory.

        Raises:
            ImageError: as :meth:`pixels`.
        """
        path = self.path(sha256)
        try:
            is_whole = sha256_file(path) == sha256
        except OSError as error:
            raise ImageError(path.name, f"cannot be read: {error.strerror}") from None
        if not is_whole:
            raise ImageError(path.name, "is not the image that was received: its hash differs")
        return read_photograph(path)

    def path(self, sha256: str) -> Path:
        """Where the file of this hash lies, or would."""
        return self._folder / sha256[:2] / sha256[2:4] / f"{sha256}.png"

    def file(self, sha256: str) -> Path:
        """The same, of one that is there.

        Raises:
            ImageError: when it is missing.
        """
        path = self.path(sha256)
        if not path.is_file():
            raise ImageError(path.name, "is no longer among the stored images")
        return path

    def data(self, sha256: str) -> bytes:
        """The file of this hash, PNG.

        Raises:
            ImageError: when it is missing, or not the one of this hash.
        """
        path = self.path(sha256)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ImageError(path.name, f"cannot be read: {error.strerror}") from None
        if sha256_bytes(data) != sha256:
            raise ImageError(path.name, "is not the image that was received: its hash differs")
        return data

    def pixels(self, sha256: str) -> np.ndarray:
        """Its pixels again, uint8 (H, W, 3) RGB.

        Raises:
            ImageError: as :meth:`data`, and when it is damaged.
        """
        return decode(self.data(sha256), name=f"{sha256}.png", limits=LARGEST)
