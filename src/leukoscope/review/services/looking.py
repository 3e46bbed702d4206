"""Looking through one photograph: its scale, its cells cut out and kept, pictures of where they lie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from leukoscope.cells.scale import Scale
from leukoscope.cohort.photographs import Scales
from leukoscope.cohort.smears import SmearCell, SmearSettings, cells_of
from leukoscope.errors import LeukoscopeError
from leukoscope.review.services.places import Places
from leukoscope.review.store.images import ImageStore, StoredImage

Outline = list[list[int]]
OWN = ("given", "red-cells")
"""Sources of a scale that a photograph has by itself."""


class FoundCut(NamedTuple):
    """A cell of a photograph: its picture, which is kept, and where it lies."""

    stored: StoredImage
    box: tuple[int, int, int, int]
    outline: Outline
    flags: tuple[str, ...]


class Looked(NamedTuple):
    """What is known of a photograph that was looked through.

    Attributes:
        settings: that it was read with.
        scale: ``None`` where ``problem`` says why there is none.
        cuts: white cells, whole or not, from the top down.
        flags: how often each was given, also of what is no cell.
        problem: why nothing could be found in it.
    """

    settings: SmearSettings
    scale: Scale | None = None
    cuts: Sequence[FoundCut] = ()
    flags: dict[str, int] = {}  # noqa: RUF012 - never changed
    problem: str | None = None


class Others(NamedTuple):
    """The photographs of a case, by which the scale of one may be known.

    Attributes:
        sha256s: all that there are now, with that one.
        scale: what earlier ones of its size were read with, since they did not show their own: so that it
            does not hang on how many had come when.
    """

    sha256s: Sequence[str]
    scale: Scale | None = None


class Looker:
    """Looks through photographs.

    Args:
        images: where photographs lie, and where what is cut out of them goes.
        places: makes the pictures of where cells lie, while a photograph is at hand.
    """

    def __init__(self, images: ImageStore, places: Places | None = None) -> None:
        self._images, self._places = images, places
        self._scales = lru_cache(maxsize=4)(Scales)  # which measures red cells of others at most once

    def look(self, sha256: str, settings: SmearSettings, others: Others) -> Looked:
        """Everything that is in a photograph. The same arguments give the same cuts.

        Args:
            sha256: of the photograph.
            settings: how it is read.
            others: by which its scale may be known.
        """
        try:
            return self._look(sha256, settings, others)
        except LeukoscopeError as error:
            return Looked(settings, problem=getattr(error, "reason", error.message))

    def _look(self, sha256: str, settings: SmearSettings, others: Others) -> Looked:
        image = self._images.photograph(sha256)
        scale = self._scale(image, settings.pixel_size, others)
        if self._places is not None:
            self._places.keep_overview(sha256, image)
        cuts, flags = list[FoundCut](), Counter[str]()
        for found in cells_of(image, scale, settings):
            flags.update(found.cell.flags)
            if found.cell.is_cell:
                cuts.append(self._keep(sha256, image, found))
        return Looked(settings, scale, cuts, dict(sorted(flags.items())))

    def _scale(self, image: np.ndarray, given: float | None, others: Others) -> Scale:
        paths = tuple(self._images.path(other) for other in others.sha256s)
        found = self._scales(given, paths).of(image)
        return found if found.source in OWN else others.scale or found

    def _keep(self, sha256: str, image: np.ndarray, found: SmearCell) -> FoundCut:
        cell = found.cell
        if self._places is not None:
            self._places.keep_surroundings(sha256, image, cell.box)
        return FoundCut(self._images.put(found.image), cell.box, cell.outline.tolist(), cell.flags)
