"""Small pictures of cells for a report: the same bytes for the same cell, every time."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from leukoscope.cells.measure import find_body, is_segmented
from leukoscope.errors import ImageError
from leukoscope.review.store.images import ImageStore

Draw = Callable[[str], bytes | None]
"""The JPEG of an image by its hash, ``None`` where there is none."""

SIDE = 132
"""Pixels of a picture's side: 22 mm at 150 dots an inch."""

FIELD = 260
"""Pixels of the image that a picture shows, unless a cell is larger: so large cells look larger."""


def picture(images: ImageStore, sha256: str) -> bytes | None:
    """A square JPEG of a kept image, on black; ``None`` where it is not there or not what it was."""
    try:
        pixels = images.pixels(sha256)
    except ImageError:
        return None
    small = cv2.resize(_window(pixels), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return bytes(cv2.imencode(".jpg", small[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1])


def _window(pixels: np.ndarray) -> np.ndarray:
    """A square of the image: around the cell where one lies on black, else all of it."""
    body = find_body(pixels)
    height, width = pixels.shape[:2]
    box, least = (0, 0, width, height), 0
    if body is not None and is_segmented(pixels, body):
        box, least = body.box, FIELD
    side = max(*box[2:], least)
    left, top = box[0] + (box[2] - side) // 2, box[1] + (box[3] - side) // 2
    square = np.zeros((side, side, 3), np.uint8)
    rows, columns = (slice(max(0, at), at + side) for at in (top, left))
    part = pixels[rows, columns]
    y, x = max(0, -top), max(0, -left)
    square[y : y + part.shape[0], x : x + part.shape[1]] = part
    return square
