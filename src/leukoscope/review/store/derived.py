"""What can be made again from what is kept: thumbnails, heat maps. Without it only time is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from leukoscope.core.files import write_bytes


class Derived:
    """Files below a folder, each made when it is first asked for.

    Args:
        folder: made where it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, kind: str, sha256: str, make: Callable[[], bytes]) -> bytes:
        """The file of this kind that belongs to an image; its content may depend on nothing else."""
        path = self._folder / kind / sha256[:2] / sha256[2:]
        try:
            return path.read_bytes()
        except FileNotFoundError:
            data = make()
            write_bytes(path, data)
            return data
