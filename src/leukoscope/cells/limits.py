"""How large one image may be."""

from __future__ import annotations

from leukoscope.core.config import Config
from leukoscope.errors import ImageTooLargeError


class Limits(Config):
    """What is too large to be one image: bytes of the file, pixels of the image."""

    max_bytes: int = 64 * 2**20
    max_pixels: int = 100_000_000


def check_bytes(title: str, num_bytes: int, limits: Limits) -> None:
    """Raise :class:`ImageTooLargeError` for a file of more than ``limits.max_bytes``."""
    if num_bytes > limits.max_bytes:
        reason = f"expected at most {limits.max_bytes:,} bytes, found {num_bytes:,}"
        raise ImageTooLargeError(
            title, reason, hint="cut single cells out of it first, or raise Limits.max_bytes"
        )


def check_pixels(title: str, width: int, height: int, limits: Limits) -> None:
    """Raise :class:`ImageTooLargeError` for an image of more than ``limits.max_pixels``."""
    if width * height > limits.max_pixels:
        reason = f"expected at most {limits.max_pixels:,} pixels, the header says {width} x {height}"
        raise ImageTooLargeError(
            title, reason, hint="cut single cells out of it first, or raise Limits.max_pixels"
        )
