"""Which photographs are meant, what each is called, and how large its pixels are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from leukoscope.cells.decode import IMAGE_SUFFIXES
from leukoscope.cells.photograph import read_photograph
from leukoscope.cells.scale import (
    CNMC_MICROMETRES_PER_PIXEL,
    Scale,
    red_cells_of,
    rough_scale_of,
    scale_from,
)
from leukoscope.core.progress import track
from leukoscope.errors import ImageError, UsageError


def listed(smears: Iterable[Path | str]) -> list[Path]:
    """The photographs, each once; of folders the image files in them."""
    paths: list[Path] = []
    for smear in map(Path, smears):
        if smear.is_dir():
            inside = sorted(p for p in smear.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
            if not inside:
                raise UsageError(
                    f"{smear}: no photograph in this folder", hint="name image files or their folder"
                )
            paths += inside
        elif smear.exists():
            paths.append(smear)
        else:
            raise UsageError(f"{smear}: no such file or folder", hint="check the path")
    return sorted(dict.fromkeys(paths))


def named(paths: list[Path]) -> dict[str, Path]:
    """An id for each: the name without ending, with the folder before it where two share that."""
    stems = Counter(path.stem.lower() for path in paths)
    names = [
        p.stem if stems[p.stem.lower()] == 1 else "_".join((p.resolve().parent.name, *p.name.split(".")))
        for p in paths
    ]
    again = Counter(names)
    named = {
        name if again[name] == 1 else f"{name}_{place}": path
        for place, (name, path) in enumerate(zip(names, paths, strict=True), start=1)
    }
    return dict(sorted(named.items()))


class Scales:
    """How large a pixel is: given, or by red cells, of the photograph or of all of its size."""

    def __init__(self, pixel_size: float | None, paths: Sequence[Path]) -> None:
        self.given = None if pixel_size is None else Scale(pixel_size, "given")
        self.paths = paths

    def of(self, image: np.ndarray) -> Scale:
        """The scale of one photograph."""
        known = self.given or scale_from(red_cells_of(image)) or self._by_others.get(image.shape)
        return known or rough_scale_of(image) or Scale(CNMC_MICROMETRES_PER_PIXEL, "assumed")

    @cached_property
    def _by_others(self) -> dict[tuple[int, ...], Scale]:
        """By the red cells of all photographs of one size together, most likely of one camera."""
        if len(self.paths) == 1:
            return {}
        diameters: dict[tuple[int, ...], list[np.ndarray]] = {}
        for path in track(self.paths, "measuring red cells"):
            try:
                image = read_photograph(path)
            except ImageError:
                continue
            diameters.setdefault(image.shape, []).append(red_cells_of(image))
        scales = {shape: scale_from(np.concatenate(some)) for shape, some in diameters.items()}
        return {shape: one._replace(source="other-photographs") for shape, one in scales.items() if one}
