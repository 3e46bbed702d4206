"""Pictures that come more than once are shown to the model once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple, Self

import numpy as np

from leukoscope.inference.backends import Outputs
from leukoscope.inference.prepare import Prepared

MOST_PICTURES = 65_536
"""How many pictures are remembered, those seen last; each takes about 300 bytes, all of them 20 MB."""
STEP = 16
"""The model is asked for so many cells at a time, or multiples of it: see :func:`answer`."""

Novelty = Callable[[np.ndarray], np.ndarray]


class Answers(NamedTuple):
    """What a model says of N cells, as far as their rows need it.

    ``logits`` (N, K) float32; ``novelty`` (N,) float32, NaN where it is not known.
    """

    logits: np.ndarray
    novelty: np.ndarray

    @classmethod
    def none(cls) -> Self:
        """For no cells."""
        return cls(np.empty((0, 0), np.float32), np.empty(0, np.float32))


class _Picture:
    """The answer for one picture, once it is there: logits and novelty, float32, in as few bytes."""

    __slots__ = ("values",)
    values: bytes


class Asked(NamedTuple):
    """A batch on its way through the model.

    Attributes:
        batch: the cells, readable or not.
        pictures: of those that have pixels, in order; cells with the same pixels share one.
        fresh: those that nobody asked for before, with their pixels.
    """

    batch: list[Prepared]
    pictures: list[_Picture]
    fresh: list[tuple[_Picture, np.ndarray]]

    def answers(self) -> Answers:
        """What was found; for a batch whose turn has come, when all before it are through the model."""
        if not self.pictures:
            return Answers.none()
        values = np.frombuffer(b"".join(picture.values for picture in self.pictures), np.float32)
        table = values.reshape(len(self.pictures), -1)
        return Answers(table[:, :-1], table[:, -1])


class Copies:
    """The pictures seen in one run; asked batch by batch, in order, from one thread.

    Args:
        most: how many are remembered.
    """

    def __init__(self, most: int = MOST_PICTURES) -> None:
        self._known: OrderedDict[bytes, _Picture] = OrderedDict()
        self._most = most

    def ask(self, batch: list[Prepared]) -> Asked:
        """The batch, and which of its pictures the model must be shown."""
        asked = Asked(batch, [], [])
        for cell in batch:
            if cell.pixels is not None and cell.picture is not None:
                picture = self._known.get(cell.picture)
                if picture is None:
                    picture = self._known[cell.picture] = _Picture()
                    asked.fresh.append((picture, cell.pixels))
                self._known.move_to_end(cell.picture)
                asked.pictures.append(picture)
        while len(self._known) > self._most:
            self._known.popitem(last=False)  # a batch that still waits for it holds it
        return asked


def answer(asked: Asked, run: Callable[[np.ndarray], Outputs], novelty: Novelty) -> Asked:
    """Ask the model for what is fresh in a batch; on any thread, in any order.

    A run that goes on after an interruption remembers no picture from before it, so it asks for more. For
    the same bytes, the numbers of a cell may not depend on which others are asked for with it. Programs
    choose their way to compute by the shape of what they get; so the shape of all runs of a batch hangs on
    the number of its cells that have pixels alone: what is fresh is filled up, by repeating, to a multiple of
    16, or of that number where it is smaller.

    Args:
        asked: from :meth:`Copies.ask`.
        run: the model.
        novelty: (N, D) embeddings to (N,), for a fixed N at a time.
    """
    if asked.fresh:
        step = min(STEP, len(asked.pictures))
        pixels = [pixels for _, pixels in asked.fresh]
        outputs = run(np.stack(pixels + pixels[:1] * (-len(pixels) % step)))
        distances = [novelty(part) for part in _parts(outputs.embedding, step)]
        values = np.column_stack([outputs.logits, np.concatenate(distances)]).astype(np.float32)
        for (picture, _), row in zip(asked.fresh, values, strict=False):
            picture.values = row.tobytes()
    return Asked(asked.batch, asked.pictures, [])  # lets go of the pixels


def _parts(embedding: np.ndarray, step: int) -> Sequence[np.ndarray]:
    return [embedding[start : start + step] for start in range(0, len(embedding), step)]
