"""One cell from its file to the model's input: read, hash, decode, examine, preprocess. Made for threads."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np

from leukoscope.bundle.format import BundleInfo
from leukoscope.cells.decode import decode
from leukoscope.cells.measure import Measures
from leukoscope.cells.quality import examine
from leukoscope.core.files import sha256_bytes
from leukoscope.errors import ImageError, UsageError
from leukoscope.inference.parts import CellInput


class Prepared(NamedTuple):
    """A cell ready for the model, or the reason why it cannot be.

    ``pixels`` is uint8 (S, S, 3); it and ``measures`` are ``None`` exactly where ``error`` is not.
    ``sha256`` is that of the file, ``None`` for pixels and where there were no bytes; ``picture`` that of
    ``pixels``, in bytes.
    """

    cell: CellInput
    sha256: str | None = None
    measures: Measures | None = None
    flags: tuple[str, ...] = ()
    pixels: np.ndarray | None = None
    error: str | None = None
    picture: bytes | None = None


def prepare(cell: CellInput, info: BundleInfo) -> Prepared:
    """Read and preprocess one cell; a cell that cannot be read comes back with its reason."""
    digest = None
    try:
        data = cell.read()
        if isinstance(data, bytes):
            digest = sha256_bytes(data)
            image = decode(data, name=cell.path or None)
        else:
            image = data
        measures, quality = examine(image, info.limits)
        pixels = info.preprocess.apply(image, measures)
    except ImageError as error:
        return Prepared(cell, digest, error=error.reason)
    except UsageError as error:  # pixels of another type or shape
        return Prepared(cell, digest, error=error.message)
    picture = hashlib.sha256(pixels.data).digest()
    return Prepared(cell, digest, measures, quality.flags, pixels, picture=picture)
