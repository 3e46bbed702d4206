"""Plain 24-bit BMP, the format of C-NMC: a short header before rows of blue, green, red bytes.

A view of the file's own bytes and one pass to RGB is as fast as reading gets. The header is checked by hand;
every other kind of BMP is left to the general decoder.
"""

from __future__ import annotations

import struct

import cv2
import numpy as np

from leukoscope.cells.limits import Limits, check_pixels
from leukoscope.errors import TruncatedImageError

_HEADER = struct.Struct(
    "<2s8xI IiiHHI"
)  # signature, pixel offset, header size, width, height, planes, bits, compression


def decode_plain_bitmap(data: bytes, title: str, limits: Limits) -> np.ndarray | None:
    """RGB of an uncompressed 24-bit BMP, ``None`` for any other BMP.

    Raises:
        TruncatedImageError: fewer rows than the header says.
        ImageTooLargeError: more pixels than ``limits`` allow.
    """
    if len(data) < _HEADER.size:
        raise TruncatedImageError(title, f"a BMP header needs {_HEADER.size} bytes, found {len(data)}")
    _, offset, header_size, width, height, planes, bits, compression = _HEADER.unpack_from(data)
    if (planes, bits, compression) != (1, 24, 0) or header_size < 40 or width <= 0 or height == 0:
        return None
    num_rows, stride = abs(height), (3 * width + 3) // 4 * 4
    check_pixels(title, width, num_rows, limits)
    if len(data) < offset + num_rows * stride:
        needed = offset + num_rows * stride
        reason = f"expected {needed:,} bytes for {width} x {num_rows} pixels, found {len(data):,}"
        raise TruncatedImageError(title, reason, hint="copy the file again")
    rows = np.frombuffer(data, np.uint8, num_rows * stride, offset).reshape(num_rows, stride)
    pixels = cv2.cvtColor(rows[:, : 3 * width].reshape(num_rows, width, 3), cv2.COLOR_BGR2RGB)
    if height > 0:  # rows count from the bottom
        cv2.flip(pixels, 0, dst=pixels)  # in place: fresh memory would cost more than the flip
    return np.asarray(pixels)
