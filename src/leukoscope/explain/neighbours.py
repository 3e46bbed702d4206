"""Which training cells lie nearest to a cell in the embedding, and what is known of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from leukoscope.bundle.privacy import salted
from leukoscope.bundle.read import Bundle
from leukoscope.cohort.manifest import Manifest
from leukoscope.core.config import Config
from leukoscope.evaluation.pictures import Picture, read_pictures
from leukoscope.inference.novelty import References

NUM_SHOWN = 3

NOT_KEPT = "This bundle keeps no reference cells."
NOT_NAMED = "This bundle does not name its reference cells."


class Neighbour(Config):
    """A training cell that a bundle keeps as a reference; what is not known is ``None``.

    Attributes:
        distance: root mean square of the differences of the features, as novelty is measured.
        label: its class.
        subject_id: whose it is; a hash in a private bundle.
        sha256: of its file; a hash of that in a private bundle.
        itself: it is the very file that is explained.
    """

    distance: float
    label: str | None = None
    subject_id: str | None = None
    sha256: str | None = None
    itself: bool = False


class Neighbours:
    """The reference cells of a bundle, ready to be asked for the nearest.

    Args:
        bundle: a verified bundle.
        data: the user's copy of the training cells, for their pictures.
    """

    def __init__(self, bundle: Bundle, data: Manifest | None = None) -> None:
        self._privacy = bundle.info.privacy
        self._cells = _cells(bundle)
        self._embeddings = None if bundle.novelty is None else References(bundle.novelty, k=1)
        self._root, self._files = _files(bundle, data)
        self.num = 0 if bundle.novelty is None else len(bundle.novelty)
        self.note = NOT_KEPT if bundle.novelty is None else NOT_NAMED if self._cells is None else ""

    def nearest(
        self, embedding: np.ndarray, sha256s: Sequence[str | None], *, num: int = NUM_SHOWN
    ) -> list[tuple[Neighbour, ...]]:
        """The nearest references of each cell, nearest first.

        Args:
            embedding: (N, D).
            sha256s: of the N files, ``None`` where unknown.
            num: how many for each cell, at most.
        """
        if self._embeddings is None:
            return [()] * len(embedding)
        distances = self._embeddings.distances(embedding)
        nearest = np.argsort(distances, axis=1, kind="stable")[:, :num]
        return [
            tuple(self._neighbour(int(place), float(row[place]), own) for place in places)
            for row, places, own in zip(distances, nearest, sha256s, strict=True)
        ]

    def _neighbour(self, place: int, distance: float, own: str | None) -> Neighbour:
        if self._cells is None:
            return Neighbour(distance=distance)
        cell = self._cells[place]
        itself = own is not None and salted([own], self._privacy)[0] == cell["sha256"]
        return Neighbour.model_validate({"distance": distance, "itself": itself, **cell})

    def pictures(self, neighbours: Sequence[Neighbour]) -> list[Picture]:
        """Their pictures, from the user's copy of the training cells, or why there is none."""
        if self._root is None:
            return [Picture(None, "")] * len(neighbours)
        found = [self._files.get(one.sha256 or "", _File(None, None)) for one in neighbours]
        shown = read_pictures(self._root, found)
        return [
            picture if file.path else Picture(None, "not among the cells of --data")
            for picture, file in zip(shown, found, strict=True)
        ]


def _cells(bundle: Bundle) -> list[dict[str, str | None]] | None:
    if bundle.references is None:
        return None
    return bundle.references.select("label", "subject_id", "sha256").rows(named=True)


class _File(NamedTuple):
    path: str | None
    sha256: str | None


def _files(bundle: Bundle, data: Manifest | None) -> tuple[Path | None, dict[str, _File]]:
    """Where pictures of the references may be had, by what the bundle knows of their files."""
    if data is None or bundle.references is None:
        return None, {}
    cells = data.frame.select("path", "sha256").rows()
    marks = salted([digest for _, digest in cells], bundle.info.privacy)
    return data.root, {mark: _File(path, digest) for mark, (path, digest) in zip(marks, cells, strict=True)}
