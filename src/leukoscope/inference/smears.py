"""Photographs of smears as inputs: their cells are found while they are judged; nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
import polars as pl

from leukoscope.cells.corrupt import scaled
from leukoscope.cells.photograph import SIDE, read_photograph
from leukoscope.cohort.photographs import Scales, listed, named
from leukoscope.cohort.smears import Origin, Photograph, SmearCell, SmearSettings, cells_of
from leukoscope.core.files import printable
from leukoscope.errors import ImageError, UsageError
from leukoscope.inference.inputs import InputLike, Inputs
from leukoscope.inference.parts import CellInput

if TYPE_CHECKING:
    from leukoscope.inference.predictor import Predictor

MOST_SAMPLED = 200
"""Cells that are looked at again at other scales: the first that the model may judge."""

SCALES = (0.9, 1.1)
"""Too small and too large by 10 %: what a scale by red cells may be off."""


class SmearPart:
    """The white cells of photographs, whole or not; what is no cell has no row.

    A photograph that cannot be read is a row that says why. Ids are those that ``cells extract`` gives.

    Args:
        smears: photographs, and folders of such.
        settings: how they are found and cut.

    Raises:
        UsageError: where there is no photograph.

    Attributes:
        photographs: what became of those that were read so far, by their id.
        sample: the first cells that a model may judge, cut out; at most :data:`MOST_SAMPLED`.
    """

    def __init__(self, smears: Iterable[Path | str], settings: SmearSettings) -> None:
        self._paths, self._settings = named(listed(smears)), settings
        self._scales = Scales(settings.pixel_size, tuple(self._paths.values()))
        self.metadata = {"root": str(Path.cwd()), "photographs": "true"}
        self.photographs: dict[str, Photograph] = {}
        self.sample: dict[str, np.ndarray] = {}

    def cells(self, *, alone: bool) -> Iterator[CellInput]:
        """The cells, photograph by photograph, each from the top down."""
        for photograph_id, path in self._paths.items():
            try:
                image = read_photograph(path)
            except ImageError as error:
                self.photographs[photograph_id] = Photograph(photograph_id, str(path), error=error.reason)
                yield CellInput(printable(photograph_id), printable(path.as_posix()), _raising(error))
            else:
                yield from self._cells_in(photograph_id, path, image)

    def count(self) -> None:
        """How many there are is known when all have been looked at."""

    def _cells_in(self, photograph_id: str, path: Path, image: np.ndarray) -> Iterator[CellInput]:
        scale = self._scales.of(image)
        name, flags = printable(path.as_posix()), list[tuple[str, ...]]()
        cells = cells_of(image, scale, self._settings, title=path.name)
        for number, found in enumerate(cells, start=1):
            flags.append(found.cell.flags)
            if found.cell.is_cell:
                cell_id = printable(f"{photograph_id}_{number}")
                self._remember(cell_id, found)
                origin = Origin.of(found.cell, name, scale)
                yield CellInput(cell_id, name, partial(_give, found.image), origin=origin)
        self.photographs[photograph_id] = Photograph.of(photograph_id, path, scale, flags)

    def _remember(self, cell_id: str, found: SmearCell) -> None:
        if len(self.sample) < MOST_SAMPLED and found.cell.why_not_judged is None:
            self.sample[cell_id] = _trimmed(found.image)


def _give(image: np.ndarray) -> np.ndarray:
    return image


def _raising(error: ImageError) -> Callable[[], np.ndarray]:
    def read() -> np.ndarray:
        raise error

    return read


def _trimmed(image: np.ndarray) -> np.ndarray:
    """Without the black around it, a fifth of the memory."""
    x, y, width, height = cv2.boundingRect(image.max(axis=2))
    return image[y : y + height, x : x + width].copy()


def resolve_smears(
    smears: InputLike | Iterable[InputLike], settings: SmearSettings, *, subject_id: str | None = None
) -> Inputs:
    """The cells in photographs as inputs of a :class:`~leukoscope.inference.predictor.Predictor`.

    Args:
        smears: photographs, and folders of such.
        settings: how they are found and cut; ``target_pixel_size`` is that of the bundle.
        subject_id: whose blood it is.

    Raises:
        UsageError: where there is no photograph, or something else than paths.
    """
    items = [smears] if isinstance(smears, str | Path) or not isinstance(smears, Iterable) else list(smears)
    for item in items:
        if not isinstance(item, str | Path):
            raise UsageError(
                f"expected paths of photographs. Received: {type(item).__name__}",
                hint="cells_of() finds the cells of pixels in memory",
            )
    part = SmearPart([item for item in items if isinstance(item, str | Path)], settings)
    return Inputs((part,), part.metadata, subject_id)


class ScaleMoves(NamedTuple):
    """What :data:`SCALES` do to the answers for some cells.

    Attributes:
        num_cells: of how many.
        median_change: of the blast probability, in the median over cells, the larger of both ways.
        tenth_change: what it is at least for the tenth of cells that change most.
        num_decisions_changed: cells that are called something else at one of the scales.
    """

    num_cells: int
    median_change: float
    tenth_change: float
    num_decisions_changed: int


def moved_by_scale(predictor: Predictor, cells: Iterable[np.ndarray]) -> ScaleMoves | None:
    """Judge cells again as if the photograph's scale were 10 % off, both ways; None without cells.

    Args:
        predictor: whose answers are compared.
        cells: cut out on black, uint8 ``(H, W, 3)``; the black around them may be cut off.
    """
    images = list(cells)
    if not images:
        return None
    as_found, *others = (_answers(predictor, images, factor) for factor in (1.0, *SCALES))
    changes = np.max([np.abs(other[0] - as_found[0]) for other in others], axis=0)
    called = np.any([other[1] != as_found[1] for other in others], axis=0)
    return ScaleMoves(
        len(images),
        float(np.median(changes)),
        float(np.quantile(changes, 0.9)),
        int(np.count_nonzero(called)),
    )


def _answers(predictor: Predictor, images: list[np.ndarray], factor: float) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and decisions."""
    rows = pl.concat(predictor.rows(_scaled(images, factor)))
    return rows["blast_probability"].to_numpy(), rows["decision"].to_numpy()


def _scaled(images: list[np.ndarray], factor: float) -> Iterator[CellInput]:
    for number, image in enumerate(images):
        yield CellInput(str(number), "", partial(_on_black, image, factor))


def _on_black(image: np.ndarray, factor: float) -> np.ndarray:
    """In the middle of a picture of C-NMC's size, or a larger one where it would not fit."""
    height, width = image.shape[:2]
    side = max(SIDE, *(int(np.ceil(1.25 * length)) for length in (height, width)))
    above, left = (side - height) // 2, (side - width) // 2
    borders = (above, side - height - above, left, side - width - left)
    return scaled(cv2.copyMakeBorder(image, *borders, cv2.BORDER_CONSTANT, value=(0, 0, 0)), factor)
