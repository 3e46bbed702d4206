"""An image file becomes ``uint8 (H, W, 3)`` RGB, or an error that names the file.

Formats: BMP, PNG, JPEG, TIFF (first page), WebP (first frame), of any colour mode. Palettes are looked up,
grey is repeated on three channels, transparency is laid over black, of 16-bit samples the high byte is kept,
CMYK is converted, EXIF orientation is applied. Limits are checked on the header, before any pixel is decoded.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from leukoscope.cells.bitmap import decode_plain_bitmap
from leukoscope.cells.formats import FORMATS, check_complete, sniff
from leukoscope.cells.limits import Limits, check_bytes
from leukoscope.cells.pictures import decode_picture
from leukoscope.errors import EmptyImageError, ImageError, ImageFormatError, ImageNotFoundError

__all__ = ["IMAGE_SUFFIXES", "Limits", "decode"]

IMAGE_SUFFIXES: frozenset[str] = frozenset(suffix for form in FORMATS for suffix in form.suffixes)
"""Endings of the files read here, lower case with the dot."""


def decode(source: Path | str | bytes, *, name: str | None = None, limits: Limits = Limits()) -> np.ndarray:  # noqa: B008
    """Read one image.

    Args:
        source: a path, or the bytes of a file.
        name: what to call it in messages, and whose ending must fit the content; the path where not given.
        limits: what is refused before decoding.

    Returns:
        uint8 ``(H, W, 3)``, RGB, contiguous, writable.

    Raises:
        ImageNotFoundError: no such file.
        EmptyImageError: a file of zero bytes.
        ImageFormatError: no image, another format than the name says, or samples that are not 1 to 16 bits.
        TruncatedImageError: the file ends before its pixels do, or is damaged.
        ImageTooLargeError: more bytes or pixels than ``limits`` allow.
        ImageError: the file cannot be opened.
    """
    title = name if name is not None else "<bytes>" if isinstance(source, bytes) else str(source)
    data = source if isinstance(source, bytes) else _read(Path(source), title, limits)
    if not data:
        raise EmptyImageError(
            title, "expected an image, found a file of zero bytes", hint="copy the file again"
        )
    check_bytes(title, len(data), limits)
    form = sniff(data, title)
    check_complete(form, data, title)
    plain = decode_plain_bitmap(data, title, limits) if form.name == "BMP" else None
    return plain if plain is not None else decode_picture(form, data, title, limits)


def _read(path: Path, title: str, limits: Limits) -> bytes:
    try:
        if not path.is_file():
            if path.exists():
                raise ImageFormatError(title, "expected an image file, found a folder or a device")
            raise ImageNotFoundError(title, "no such file", hint="check the path; is the disk there?")
        check_bytes(title, path.stat().st_size, limits)
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise ImageError(
            title, f"cannot be opened: {error}", hint="check the permissions of the file"
        ) from None
