"""From one photograph to its cells, cut out in C-NMC's style: the way of ``cells extract``, of
``predict --smear`` and of the review room."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import polars as pl

from leukoscope.cells.light import Light
from leukoscope.cells.normalisation import Normalisation, cell_pixels, create_normaliser
from leukoscope.cells.photograph import cut_out, with_outline
from leukoscope.cells.scale import CNMC_MICROMETRES_PER_PIXEL, Scale
from leukoscope.cells.segmentation.found import FoundCell, is_cell, is_single, why_not_judged
from leukoscope.cells.segmentation.segmenters import create_segmenter
from leukoscope.cells.segmentation.tiles import segment_by_windows, windows
from leukoscope.core.config import Config
from leukoscope.core.progress import progress
from leukoscope.errors import UsageError

LEAST_PIXEL, MOST_PIXEL = 0.005, 2.0
"""Micrometres that a pixel may have: beyond, it is another unit."""


class SmearSettings(Config):
    """How photographs become cells.

    Attributes:
        pixel_size: micrometres per pixel of all photographs; None takes it from their red cells.
        target_pixel_size: micrometres per pixel of the cut-out cells.
        segmenter: which one finds the cells.
        flat_field: the light of each photograph, read from its empty background, becomes even and white.
        normalise: ``"none"``, or how the stain of the cells of each photograph is brought to C-NMC's: one of
            :data:`leukoscope.cells.normalisation.NORMALISERS`.

    Raises:
        UsageError: for a size beyond :data:`LEAST_PIXEL` and :data:`MOST_PIXEL`, or a name that is not known.
    """

    pixel_size: float | None = None
    target_pixel_size: float = CNMC_MICROMETRES_PER_PIXEL
    segmenter: str = "stain"
    flat_field: bool = False
    normalise: str = "none"

    def model_post_init(self, context: Any, /) -> None:
        """Check what a user may have typed."""
        for size in (self.pixel_size, self.target_pixel_size):
            if size is not None and not LEAST_PIXEL <= size <= MOST_PIXEL:
                raise UsageError(
                    f"expected micrometres per pixel from {LEAST_PIXEL} to {MOST_PIXEL:g}. Received: {size}",
                    hint="a 100x objective gives 0.03 to 0.15, a 40x objective about 0.25",
                )
        create_segmenter(self.segmenter)
        if self.normalise != "none":
            create_normaliser(self.normalise)


class Origin(NamedTuple):
    """Where in which photograph a cell lies, as the columns of a table say it.

    Attributes:
        photograph: its file, as it was given.
        box_x: first column of the box, pixels of the photograph.
        box_y: first row.
        box_width: columns.
        box_height: rows.
        flags: of :data:`leukoscope.cells.segmentation.found.FLAGS`, joined by commas.
        photograph_micrometres_per_pixel: of the photograph.
        scale_source: how that is known, see :class:`~leukoscope.cells.scale.Scale`.
    """

    photograph: str
    box_x: int
    box_y: int
    box_width: int
    box_height: int
    flags: str
    photograph_micrometres_per_pixel: float
    scale_source: str

    @classmethod
    def of(cls, cell: FoundCell, photograph: Path | str, scale: Scale) -> Self:
        """Of something found in a photograph."""
        return cls(
            str(photograph), *cell.box, ",".join(cell.flags), scale.micrometres_per_pixel, scale.source
        )

    @classmethod
    def taken_from(cls, row: dict[str, Any]) -> Self | None:
        """The fields out of a row of a table, which loses them; None where it names no photograph."""
        found = {name: row.pop(name, None) for name in cls._fields}
        return None if found["photograph"] is None else cls(**found | {"flags": found["flags"] or ""})

    @property
    def why_not_judged(self) -> str | None:
        """See :func:`~leukoscope.cells.segmentation.found.why_not_judged`."""
        return why_not_judged(self.flags.split(",")) if self.flags else None


ORIGIN_COLUMNS: dict[str, type[pl.DataType]] = {
    "photograph": pl.String,
    "box_x": pl.Int32,
    "box_y": pl.Int32,
    "box_width": pl.Int32,
    "box_height": pl.Int32,
    "flags": pl.String,
    "photograph_micrometres_per_pixel": pl.Float64,
    "scale_source": pl.String,
}
"""The fields of :class:`Origin` as columns."""


@dataclass(frozen=True)
class Photograph:
    """What became of one photograph.

    Attributes:
        photograph_id: unique among those of one call.
        path: as it was given.
        scale: None where it could not be read.
        num_found: everything that was found in it.
        num_cells: white cells among that, whole or not.
        num_single: single whole ones.
        flags: how often each was given.
        error: why it could not be read; empty where it could.
    """

    photograph_id: str
    path: str
    scale: Scale | None = None
    num_found: int = 0
    num_cells: int = 0
    num_single: int = 0
    flags: dict[str, int] = field(default_factory=dict)
    error: str = ""

    @classmethod
    def of(cls, photograph_id: str, path: Path | str, scale: Scale, found: Iterable[Iterable[str]]) -> Self:
        """Of one that was read, from the flags of everything that was found in it."""
        flags = [tuple(some) for some in found]
        return cls(
            photograph_id,
            str(path),
            scale,
            num_found=len(flags),
            num_cells=sum(map(is_cell, flags)),
            num_single=sum(map(is_single, flags)),
            flags=dict(sorted(Counter(flag for some in flags for flag in some).items())),
        )

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        scale = self.scale._asdict() if self.scale else None
        return {**{name: value for name, value in vars(self).items() if name != "scale"}, "scale": scale}


class SmearCell(NamedTuple):
    """What was found at one place of a photograph, and its picture.

    Attributes:
        cell: where it lies, its outline and flags.
        image: uint8 ``(450, 450, 3)``, or larger where it would not fit: the cell in the middle of black, at
            the wanted scale.
    """

    cell: FoundCell
    image: np.ndarray


def cells_of(
    image: np.ndarray, scale: Scale, settings: SmearSettings, *, title: str = ""
) -> Iterator[SmearCell]:
    """Everything that was found in a photograph, from the top down; in a large one window by window.

    Args:
        image: uint8 ``(H, W, 3)`` RGB, of any size.
        scale: of the photograph; ``pixel_size`` of the settings is not looked at.
        settings: how it is cut.
        title: of the photograph: the progress through the windows of a large one is shown under it.

    Yields:
        as they are found; with a normalisation when all are.
    """
    factor = scale.micrometres_per_pixel / settings.target_pixel_size
    light = Light.of(image) if settings.flat_field else None
    cells: Iterable[FoundCell] = _found(image, scale, settings, title)
    normalisation = Normalisation(None)
    if settings.normalise != "none":
        cells = list(cells)
        normalisation = create_normaliser(settings.normalise).fitted(_stained(image, cells, light))
    for cell in cells:
        yield SmearCell(cell, with_outline(normalisation(cut_out(image, cell, factor, light))))


def _stained(image: np.ndarray, cells: Iterable[FoundCell], light: Light | None) -> np.ndarray:
    """Pixels of the cells that a model may judge, of each alike, uint8 ``(N, 3)``."""
    wanted = [cell for cell in cells if cell.why_not_judged is None]
    some = [cell_pixels(cut_out(image, cell, light=light)) for cell in wanted]
    return np.concatenate([*some, np.empty((0, 3), np.uint8)])


def _found(image: np.ndarray, scale: Scale, settings: SmearSettings, title: str) -> Iterator[FoundCell]:
    segmenter, pixel = create_segmenter(settings.segmenter), scale.micrometres_per_pixel
    num = len(windows(image.shape, pixel))
    if num == 1:
        yield from segmenter.segment(image, pixel)
    elif not title:
        yield from segment_by_windows(image, segmenter, pixel)
    else:
        with progress(f"windows of {title}", num) as bar:
            yield from segment_by_windows(image, segmenter, pixel, done=bar.advance)
