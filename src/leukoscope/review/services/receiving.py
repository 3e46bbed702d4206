"""An uploaded file is an image, or a zip of images."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import IO

from leukoscope.review.services.uploads import (
    Received,
    UploadError,
    UploadLimits,
    is_zip,
    members,
    plain_name,
    receive,
)
from leukoscope.review.store.images import ImageStore


def received(name: str, stream: IO[bytes], store: ImageStore, limits: UploadLimits) -> Iterator[Received]:
    """What came of an uploaded file: itself, or each image of a zip.

    A zip that cannot be taken is one file with its reason; what it gave before is kept.
    """
    start = stream.read(4)
    stream.seek(0)
    if not is_zip(start):
        data = stream.read(limits.max_bytes + 1)
        yield receive(name, data, store, limits)
        return
    try:
        for member, data in members(stream, limits):
            yield receive(member, data, store, limits)
    except UploadError as error:
        size = stream.seek(0, 2)
        stream.seek(0)
        digest = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
        yield Received(plain_name(name, limits), size, digest, None, error.message)
