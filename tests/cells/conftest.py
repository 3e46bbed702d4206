"""Pictures for the tests of this room: cells drawn on black, and one file of every kind that is read."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache

import cv2
import numpy as np
import pytest
from PIL import Image

PURPLE = (68, 28, 78)  # the median colour of C-NMC


@cache
def _texture(side: int) -> np.ndarray:
    noise = np.random.default_rng(side).normal(0, 1, (side, side)).astype(np.float32)
    return 1 + sum(cv2.GaussianBlur(noise, (0, 0), sigma) * sigma for sigma in (1, 2, 5))[:, :, None] * 0.08


def draw_cell(
    *,
    side: int = 450,
    centre: tuple[int, int] = (225, 225),
    radius: int = 100,
    colour: tuple[float, ...] = PURPLE,
) -> np.ndarray:
    """A disc with chromatin-like texture on black, uint8 ``(side, side, 3)``; inside, no pixel is black."""
    inside = cv2.circle(np.zeros((side, side), np.uint8), centre, radius, 1, -1) > 0
    pixels = _texture(side)[inside] * np.asarray(colour, np.float32)
    image = np.zeros((side, side, 3), np.uint8)
    image[inside] = np.clip(pixels, 8, 240)
    return image


@pytest.fixture(scope="session")
def cell() -> Callable[..., np.ndarray]:
    return draw_cell


def small_picture() -> np.ndarray:
    """A smooth picture (41, 37, 3), odd in both sides, that no flip or turn leaves as it was."""
    noise = np.random.default_rng(0).integers(0, 255, (41, 37, 3), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (5, 5), 1)


@pytest.fixture(scope="session")
def picture() -> np.ndarray:
    return small_picture()


def _saved(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def file_kinds() -> dict[str, bytes]:
    """One file of every format and colour mode, made from :func:`small_picture`."""
    pixels = small_picture()
    image = Image.fromarray(pixels)
    wide = pixels.astype(np.uint16) * 257
    turned = Image.Exif()
    turned[0x0112] = 6
    palette = image.quantize(16)
    kinds = {
        "bmp": _saved(image, "BMP"),
        "bmp-palette": _saved(palette, "BMP"),
        "bmp-1-bit": _saved(image.convert("1"), "BMP"),
        "bmp-32-bit": _saved(image.convert("RGBA"), "BMP"),
        "png": _saved(image, "PNG"),
        "png-palette": _saved(palette, "PNG"),
        "png-alpha": _saved(image.convert("RGBA"), "PNG"),
        "png-16-bit-grey": _saved(Image.fromarray(wide[:, :, 0]), "PNG"),
        "png-16-bit": cv2.imencode(".png", wide)[1].tobytes(),
        "png-exif": _saved(image, "PNG", exif=turned),
        "jpeg": _saved(image, "JPEG"),
        "jpeg-progressive": _saved(image, "JPEG", progressive=True),
        "jpeg-grey": _saved(image.convert("L"), "JPEG"),
        "jpeg-cmyk": _saved(image.convert("CMYK"), "JPEG"),
        "jpeg-exif": _saved(image, "JPEG", exif=turned),
        "webp": _saved(image, "WEBP"),
        "webp-lossless": _saved(image, "WEBP", lossless=True),
        "webp-alpha": _saved(image.convert("RGBA"), "WEBP", lossless=True),
        "webp-exif": _saved(image, "WEBP", exif=turned),
        "tiff": _saved(image, "TIFF"),
        "tiff-lzw": _saved(image, "TIFF", compression="tiff_lzw"),
        "tiff-deflate": _saved(image, "TIFF", compression="tiff_adobe_deflate"),
        "tiff-jpeg": _saved(image, "TIFF", compression="jpeg"),
        "tiff-palette": _saved(palette, "TIFF"),
        "tiff-alpha": _saved(image.convert("RGBA"), "TIFF"),
        "tiff-cmyk": _saved(image.convert("CMYK"), "TIFF"),
        "tiff-16-bit-grey": _saved(Image.fromarray(wide[:, :, 0]), "TIFF"),
        "tiff-16-bit": cv2.imencode(".tif", wide)[1].tobytes(),
    }
    return kinds


class Files(dict[str, bytes]):
    """Files by name; a failing test shows the names, not all the bytes."""

    def __repr__(self) -> str:
        return f"Files({', '.join(self)})"


@pytest.fixture(scope="session")
def kinds() -> Files:
    return Files(file_kinds())
