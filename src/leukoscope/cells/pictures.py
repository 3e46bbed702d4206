"""Every image but the plain BMP: Pillow reads the header, Pillow or OpenCV the pixels."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

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
    with _quiet() if form.name == "TIFF" else nullcontext():
        picture.load()
    upright = ImageOps.exif_transpose(picture) if _orientation(picture) != 1 else picture
    return _rgb(upright, title)


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
