"""An uploaded file is an image, or a zip of images: of cells, or photographs of smears."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from typing import IO

from leukoscope.review.services.uploads import (
    CELL,
    PHOTOGRAPH,
    Received,
    UploadError,
    UploadLimits,
    is_zip,
    members,
    plain_name,
    receive,
    receive_photograph,
)
from leukoscope.review.store.images import ImageStore


def received(
    name: str, stream: IO[bytes], store: ImageStore, limits: UploadLimits, kind: str = CELL
) -> Iterator[Received]:
    """What came of an uploaded file: itself, or each image of a zip; all of one kind.

    A zip that cannot be taken is one file with its reason; what it gave before is kept.
    """
    limits = limits.of(kind)
    start = stream.read(4)
    stream.seek(0)
    if not is_zip(start):
        yield _taken(name, stream, store, limits, kind)
        return
    try:
        for member, data in members(stream, limits):
            yield _taken(member, io.BytesIO(data), store, limits, kind)
    except UploadError as error:
        size = stream.seek(0, 2)
        stream.seek(0)
        digest = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
        yield Received(plain_name(name, limits), size, digest, None, error.message, kind)


def _taken(name: str, stream: IO[bytes], store: ImageStore, limits: UploadLimits, kind: str) -> Received:
    if kind == PHOTOGRAPH:
        return receive_photograph(name, stream, store, limits)
    return receive(name, stream.read(limits.max_bytes + 1), store, limits)
