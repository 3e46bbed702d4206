"""A cohort from anything a user may name."""

from __future__ import annotations

from pathlib import Path

from leukoscope.cohort.index import index
from leukoscope.cohort.manifest import Manifest
from leukoscope.errors import LayoutError


def open_cohort(source: Path | str, *, workers: int = 0) -> Manifest:
    """The cohort in any SOURCE: a folder or its zip (indexed now), a manifest or a split (read).

    Raises:
        LayoutError: when nothing is there, or it is in no known layout.
        ManifestError: when a ``.parquet`` file is no manifest.
    """
    path = Path(source)
    if not path.exists():
        raise LayoutError(
            f"{source}: expected a folder, a .zip file or a manifest, found nothing", hint="check the path"
        )
    return Manifest.read(path) if path.suffix.lower() == ".parquet" else index(path, workers=workers)
