"""Every image but the plain BMP: Pillow reads the header, Pillow or OpenCV the pixels.

Pictures that a program holds in Pillow already become RGB in the same way.
"""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import cv2
import numpy as np
from PIL import (
    BmpImagePlugin,
    Image,
    ImageFile,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from leukoscope.cells.formats import Format
from leukoscope.cells.limits import Limits, check_pixels
from leukoscope.errors import ImageError, ImageFormatError, TruncatedImageError

# Pillow's readers are called by themselves: Image.open would try every one installed, and has a limit of its
# own for large images.
_READERS: dict[str, type[ImageFile.ImageFile]] = {
    "BMP": BmpImagePlugin.BmpImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
}
_ORIENTATION = 0x0112
_ONE_AT_A_TIME = threading.Lock()  # catch_warnings changes the whole process
_LOADING = (
    threading.Lock()
)  # Pillow reads a lazily opened picture at its first use, whoever else does so, too


def decode_picture(form: Format, data: bytes, title: str, limits: Limits) -> np.ndarray:
    """RGB of an image of any format and colour mode.

    Raises:
        ImageFormatError: samples that are not 1 to 16 bits.
        TruncatedImageError: damaged.
        ImageTooLargeError: more pixels than ``limits`` allow.
    """
    try:
        picture = _opened(form, data)
        check_pixels(title, picture.width, picture.height, limits)
        return _pixels(picture, form, data, title)
    except ImageError:
        raise
    except Exception as error:  # on damaged bytes decoders raise anything, from SyntaxError to struct.error
        what = str(error) or type(error).__name__
        reason = f"damaged, or a kind of {form.name} that is not read here: {what}"
        raise TruncatedImageError(title, reason, hint="copy the file again, or convert it to PNG") from None


def _opened(form: Format, data: bytes) -> ImageFile.ImageFile:
    """The header; no pixel is decoded."""
    with _quiet() if form.name in ("TIFF", "JPEG") else nullcontext():  # they look at EXIF tags here
        return _READERS[form.name](io.BytesIO(data))


def header_size(form: Format, path: Path) -> tuple[int, int]:
    """Width and height that the header of a file says; nothing else of it is read.

    Raises:
        TruncatedImageError: damaged.
    """
    try:
        with _quiet(), path.open("rb") as stream:
            picture = _READERS[form.name](stream)
            return picture.width, picture.height
    except Exception as error:  # as above
        what = str(error) or type(error).__name__
        raise TruncatedImageError(
            path, f"the header is damaged: {what}", hint="copy the file again"
        ) from None


def picture_pixels(picture: Image.Image, title: str, limits: Limits = Limits()) -> np.ndarray:  # noqa: B008
    """RGB of a picture in Pillow, of any mode: what :func:`~leukoscope.cells.decode.decode` gives for a file
    of it. The picture stays as it is; any number of threads may ask for the same one.

    Raises:
        ImageFormatError: samples that are not 1 to 16 bits.
        TruncatedImageError: it cannot be loaded, or has no RGB.
        ImageTooLargeError: more pixels than ``limits`` allow.
    """
    try:
        check_pixels(title, picture.width, picture.height, limits)
        with _LOADING:
            _load(picture)
            orientation = _orientation(picture)
        return _upright_rgb(picture, orientation, title)
    except ImageError:
        raise
    except Exception as error:  # as above; a closed file, a mode without a way to RGB
        what = str(error) or type(error).__name__
        raise TruncatedImageError(title, f"Pillow cannot give its pixels as RGB: {what}") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Pillow's warnings of damaged tags: what comes of the damage is an error of ours, or nothing."""
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _orientation(picture: Image.Image) -> int:
    if picture.format != "TIFF" and "exif" not in picture.info:
        return 1
    try:
        with _quiet():
            return int(picture.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged metadata beside sound pixels
        return 1


def _pixels(picture: ImageFile.ImageFile, form: Format, data: bytes, title: str) -> np.ndarray:
    plain = picture.mode == "RGB" and not picture.has_transparency_data and _orientation(picture) == 1
    if plain and form.name == "WebP":  # twice as fast as Pillow, and silent on damaged files
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
        if pixels is not None:
            return np.asarray(pixels)
    _load(picture)
    return _upright_rgb(picture, _orientation(picture), title)


def _load(picture: Image.Image) -> None:
    with _quiet() if picture.format == "TIFF" else nullcontext():
        picture.load()


def _upright_rgb(picture: Image.Image, orientation: int, title: str) -> np.ndarray:
    return _rgb(ImageOps.exif_transpose(picture) if orientation != 1 else picture, title)


def _rgb(picture: Image.Image, title: str) -> np.ndarray:
    if picture.mode.startswith(("I", "F")):
        return cv2.cvtColor(_high_bytes(np.asarray(picture), title), cv2.COLOR_GRAY2RGB)  # type: ignore[no-any-return]
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        ground = Image.new("RGB", layer.size)
        ground.paste(layer, mask=layer.getchannel("A"))
        return np.array(ground)
    return np.array(picture if picture.mode == "RGB" else picture.convert("RGB"))


def _high_bytes(samples: np.ndarray, title: str) -> np.ndarray:
    """The upper 8 of 16 bits: 65535 becomes 255, and 8-bit values widened by 257 come back as they were."""
    if samples.dtype.kind == "f" or samples.min() < 0 or samples.max() > 0xFFFF:
        reason = f"expected samples of 1 to 16 bits, found {samples.dtype.name}"
        raise ImageFormatError(title, reason, hint="convert it to 8 or 16 bits")
    return (samples >> 8).astype(np.uint8)
