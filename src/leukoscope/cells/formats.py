"""The image formats read here: how to tell them by their first bytes, and whether a file is whole."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import PurePath
from typing import NamedTuple

from leukoscope.errors import ImageFormatError, TruncatedImageError


class Format(NamedTuple):
    """A format, the endings its files carry (lower case) and the bytes they begin with."""

    name: str
    suffixes: tuple[str, ...]
    beginnings: tuple[bytes, ...]


FORMATS = (
    Format("BMP", (".bmp",), (b"BM",)),
    Format("PNG", (".png",), (b"\x89PNG\r\n\x1a\n",)),
    Format("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), (b"\xff\xd8\xff",)),
    Format("TIFF", (".tif", ".tiff"), (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    Format("WebP", (".webp",), (b"RIFF",)),
)
_BY_SUFFIX = {suffix: form for form in FORMATS for suffix in form.suffixes}


def sniff(data: bytes, title: str) -> Format:
    """The format of ``data`` by its first bytes; the ending of ``title`` must not say another one.

    Raises:
        ImageFormatError: for no known format, or a name that promises another.
    """
    promised = _BY_SUFFIX.get(PurePath(title).suffix.lower())
    found = next((form for form in FORMATS if data.startswith(form.beginnings)), None)
    if found is not None and found.name == "WebP" and data[8:12] != b"WEBP":
        found = None
    if found is None:
        names = ", ".join(form.name for form in FORMATS)
        raise ImageFormatError(
            title,
            f"expected {promised.name if promised else f'an image ({names})'}, found {_describe(data)}",
            hint="convert it to one of these formats, or leave it out",
        )
    if promised is not None and promised is not found:
        reason = f"the name says {promised.name}, the content is {found.name}"
        raise ImageFormatError(title, reason, hint=f"rename it to end in {found.suffixes[0]}")
    return found


def _describe(data: bytes) -> str:
    start = data[:16]
    if all(32 <= byte < 127 or byte in b"\t\r\n" for byte in start):
        return f"text beginning {start.decode('ascii')!r}"
    return f"bytes beginning {start[:8].hex(' ')}"


def check_complete(form: Format, data: bytes, title: str) -> None:
    """Raise :class:`TruncatedImageError` if the file itself says that a part of it is lost.

    Decoders go on with what they have: a JPEG without its last half comes out half grey, a PNG with one
    altered byte in wrong colours. TIFF and BMP carry no such sign; their decoders miss the pixels themselves.
    """
    is_whole = _IS_WHOLE.get(form.name)
    if is_whole is not None and not is_whole(data):
        reason = f"the {form.name} file ends too early or is damaged"
        raise TruncatedImageError(title, reason, hint="copy the file again")


def _png_is_whole(data: bytes) -> bool:
    """Whether every chunk (length, type, content, checksum) is sound up to the last one."""
    start = 8
    while len(data) >= start + 12:
        end = start + 8 + int.from_bytes(data[start : start + 4], "big")
        if zlib.crc32(data[start + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            return False
        if data[start + 4 : start + 8] == b"IEND":
            return True
        start = end + 4
    return False


def _jpeg_is_whole(data: bytes) -> bool:
    """Whether the end marker stands behind the last scan; a preview in the header has its own."""
    return data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda")


def _webp_is_whole(data: bytes) -> bool:
    return len(data) >= 8 + int.from_bytes(data[4:8], "little")


_IS_WHOLE: dict[str, Callable[[bytes], bool]] = {
    "PNG": _png_is_whole,
    "JPEG": _jpeg_is_whole,
    "WebP": _webp_is_whole,
}
