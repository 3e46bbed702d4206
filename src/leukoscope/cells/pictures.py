"""Every image but the plain BMP: Pillow reads the header, Pillow or OpenCV the pixels."""

from __future__ import annotations

import io

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

# The plugins are called by themselves: Image.open would try all that are installed, and warns about large images
# by a limit of its own.
_READERS: dict[str, type[ImageFile.ImageFile]] = {
    "BMP": BmpImagePlugin.BmpImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
}
_ORIENTATION = 0x0112


def decode_picture(form: Format, data: bytes, title: str, limits: Limits) -> np.ndarray:
    """RGB of an image of any format and colour mode.

    Raises:
        ImageFormatError: samples that are not 1 to 16 bits.
        TruncatedImageError: damaged.
        ImageTooLargeError: more pixels than ``limits`` allow.
    """
    try:
        with _READERS[form.name](io.BytesIO(data)) as picture:
            check_pixels(title, picture.width, picture.height, limits)
            return _pixels(picture, form, data, title)
    except ImageError:
        raise
    except (
        Exception
    ) as error:  # whatever a decoder raises on damaged bytes: SyntaxError, struct.error, zlib.error, ...
        reason = f"damaged or not a {form.name} this can read: {error}"
        raise TruncatedImageError(title, reason, hint="copy the file again, or convert it to PNG") from None


def _pixels(picture: ImageFile.ImageFile, form: Format, data: bytes, title: str) -> np.ndarray:
    plain = picture.mode == "RGB" and not picture.has_transparency_data and _orientation(picture) == 1
    if plain and form.name == "WebP":  # twice as fast, and silent on damaged files
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
        if pixels is not None:
            return np.asarray(pixels)
    picture.load()
    upright = ImageOps.exif_transpose(picture) if _orientation(picture) != 1 else picture
    return _rgb(upright, title)


def _orientation(picture: Image.Image) -> int:
    try:
        return int(picture.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged metadata beside sound pixels
        return 1


def _rgb(picture: Image.Image, title: str) -> np.ndarray:
    if picture.mode.startswith(("I", "F")):
        samples = np.asarray(picture)
        if picture.mode == "F" or samples.min() < 0 or samples.max() > 0xFFFF:
            reason = "expected samples of 1 to 16 bits, found 32"
            raise ImageFormatError(title, reason, hint="convert it to 8 or 16 bits")
        return cv2.cvtColor((samples >> 8).astype(np.uint8), cv2.COLOR_GRAY2RGB)  # type: ignore[no-any-return]
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        ground = Image.new("RGB", layer.size)
        ground.paste(layer, mask=layer.getchannel("A"))
        return np.array(ground)
    return np.array(picture.convert("RGB"))
