"""Images on disk under the hash of their content: written once, never changed, shared by cases.

A file is on the disk for good before :meth:`ImageStore.put` returns, so that no row of the database ever
names one that a power cut took.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from leukoscope.cells.decode import decode
from leukoscope.core.files import sha256_bytes, write_durably
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
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

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

    def path(self, sha256: str) -> Path:
        """Where the file of this hash lies, or would."""
        return self._folder / sha256[:2] / sha256[2:4] / f"{sha256}.png"

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
        return decode(self.data(sha256), name=f"{sha256}.png")
