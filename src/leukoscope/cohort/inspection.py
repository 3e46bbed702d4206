"""A look at every picture of a manifest, keeping of each only what copies are found by."""

from __future__ import annotations

from typing import NamedTuple

from leukoscope.cells.decode import decode
from leukoscope.cells.measure import find_body
from leukoscope.cohort.index import pixel_fingerprint
from leukoscope.cohort.manifest import Manifest
from leukoscope.cohort.near import Print, take_print
from leukoscope.core.files import sha256_bytes
from leukoscope.core.parallel import ordered_map
from leukoscope.core.progress import track
from leukoscope.errors import ImageError, LayoutError


class Inspected(NamedTuple):
    """What is kept of one picture.

    Attributes:
        pixels: fingerprint of its pixels without the black around; ``None`` where all is black.
        print: what near copies are found by; ``None`` where there is no inside to compare.
        altered: the file is not the one that was indexed.
        reason: why it could not be read; empty where it could.
    """

    pixels: str | None = None
    print: Print | None = None
    altered: bool = False
    reason: str = ""


def inspect_pictures(manifest: Manifest, workers: int = 0) -> list[Inspected]:
    """One for every row, in order; 15 kilobytes each.

    Args:
        manifest: whose pictures to read; where its folder is not there, each says so.
        workers: threads; 0 means one for each processor.
    """
    try:
        images = manifest.images()
    except LayoutError as error:
        return [Inspected(reason=error.message)] * len(manifest)

    def look(row: tuple[str, str]) -> Inspected:
        path, sha256 = row
        try:
            data = images.read(path)
            image = decode(data, name=path)
        except ImageError as error:
            return Inspected(reason=error.reason)
        body = find_body(image)
        pixels = None if body is None else pixel_fingerprint(body.pixels)
        return Inspected(pixels, take_print(image), altered=sha256 not in ("", sha256_bytes(data)))

    work = ordered_map(look, manifest.frame.select("path", "sha256").iter_rows(), workers=workers)
    return list(track(work, "looking at cells", len(manifest)))
