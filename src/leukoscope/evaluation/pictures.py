"""Small pictures of cells for a report, all at one scale, so that size can be seen."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from leukoscope.cells.decode import decode
from leukoscope.cells.preprocess import Preprocess
from leukoscope.cohort.source import ImageSource, open_source
from leukoscope.core.files import sha256_bytes
from leukoscope.errors import ImageError, LayoutError

WINDOW = Preprocess(field=384, size=160)
JPEG_QUALITY = 88


class Judged(Protocol):
    """What a picture is found by: where the file lies, and the SHA-256 of what was judged."""

    @property
    def path(self) -> str | None: ...  # noqa: D102
    @property
    def sha256(self) -> str | None: ...  # noqa: D102


class Picture(NamedTuple):
    """A picture as a data URI, or why there is none."""

    uri: str | None
    reason: str | None = None


def read_pictures(root: Path | None, cells: Sequence[Judged]) -> list[Picture]:
    """One picture for every cell, in order, or the reason why there is none.

    Args:
        root: the folder or zip that the cells' ``path`` starts from; ``None`` where unknown.
        cells: a file that is not the one that was judged, by SHA-256, is not shown.
    """
    if root is None:
        return [Picture(None, "where the images are is not known")] * len(cells)
    try:
        source = open_source(root)
    except LayoutError as error:
        return [Picture(None, error.message)] * len(cells)
    return [_picture(source, cell) for cell in cells]


def _picture(source: ImageSource, cell: Judged) -> Picture:
    if not cell.path:
        return Picture(None, "the path of the image is not known")
    try:
        data = source.read(cell.path)
        if cell.sha256 and sha256_bytes(data) != cell.sha256:
            return Picture(None, "the file is no longer the one that was judged")
        return Picture(data_uri(WINDOW.apply(decode(data, name=cell.path))))
    except ImageError as error:
        return Picture(None, error.reason)


def data_uri(image: np.ndarray) -> str:
    """uint8 (H, W, 3) RGB as a JPEG for a page.

    >>> data_uri(np.zeros((8, 8, 3), np.uint8))[:28]
    'data:image/jpeg;base64,/9j/4'
    """
    bgr = np.ascontiguousarray(image[..., ::-1])
    encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()
