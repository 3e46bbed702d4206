"""Small pictures of cells for a report: the same bytes for the same cell, every time."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from leukoscope.errors import ImageError
from leukoscope.review.store.images import ImageStore

Draw = Callable[[str], bytes | None]
"""The JPEG of an image by its hash, ``None`` where there is none."""

SIDE = 132
"""Pixels of a picture's side: 15 mm at 220 dots an inch."""


def picture(images: ImageStore, sha256: str) -> bytes | None:
    """A square JPEG of a kept image, on black; ``None`` where it is not there or not what it was."""
    try:
        pixels = images.pixels(sha256)
    except ImageError:
        return None
    height, width = pixels.shape[:2]
    scale = SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    square = np.zeros((SIDE, SIDE, 3), np.uint8)
    top, left = (SIDE - size[1]) // 2, (SIDE - size[0]) // 2
    square[top : top + size[1], left : left + size[0]] = small
    return bytes(cv2.imencode(".jpg", square[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1])
