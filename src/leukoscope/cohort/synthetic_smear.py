"""A synthetic photograph of a smear: the white cells of the synthetic cohort among red cells and platelets.

Nothing here is anybody's blood. Every outline is known exactly, so that what finds cells can be measured.
Things lie on each other as optical densities add up; the light is uneven, the optics blur and the sensor is
noisy.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from leukoscope.cells.segmentation.found import FoundCell
from leukoscope.cohort.cell_drawing import Look, draw_cell, draw_outline, fill_outline
from leukoscope.cohort.synthetic_people import FIRST_NUMBER, Person, draw_look, draw_people, spread
from leukoscope.errors import UsageError

Array = NDArray[np.float64]

CELL_SCALE = 0.05
"""Micrometres per pixel at which the cells of the synthetic cohort are drawn."""

RED_CELL_DIAMETER = 7.5
"""Of a red cell, micrometres."""

_CYTOPLASM = np.array([0.16, 0.20, 0.06])  # optical densities in red, green, blue
_RED_CELL = np.array([0.10, 0.28, 0.25])
_PLATELET = np.array([0.28, 0.34, 0.05])
_TRIES = 200  # places looked at for one thing


@dataclass(frozen=True, eq=False)
class SyntheticSmear:
    """One field and what is in it.

    Attributes:
        image: uint8 ``(H, W, 3)`` RGB.
        cells: every white cell: exact masks, which share no pixel; ``edge`` where the field cuts it,
            ``touching`` for those of a pair.
        pairs: indices into ``cells`` of those that touch, two and two.
        micrometres_per_pixel: of ``image``.
    """

    image: NDArray[np.uint8]
    cells: tuple[FoundCell, ...]
    pairs: tuple[tuple[int, int], ...]
    micrometres_per_pixel: float


def synthesize_smear(
    *,
    seed: int = 0,
    width: int = 1280,
    height: int = 960,
    micrometres_per_pixel: float = 0.1,
    white_cells: int = 5,
    touching_pairs: int = 1,
    red_cells: int = 80,
    platelets: int = 12,
    unevenness: float = 0.2,
) -> SyntheticSmear:
    """Draw one field: the same arguments give the same pixels.

    Args:
        seed: a whole number >= 0.
        width: of the field, pixels.
        height: of the field, pixels.
        micrometres_per_pixel: of the field.
        white_cells: which touch no other white cell; fewer where the field is too full.
        touching_pairs: of white cells; fewer where the field is too full.
        red_cells: 7.5 micrometres wide, also on top of each other.
        platelets: single ones.
        unevenness: of the light, from its brightest to its darkest place, 0 to 0.5.

    Raises:
        UsageError: for a field smaller than one cell, or numbers below 0.
    """
    _check(width, height, micrometres_per_pixel, (white_cells, touching_pairs, red_cells, platelets, seed))
    field = _Field(np.random.default_rng(seed), (height, width), micrometres_per_pixel)
    for _ in range(touching_pairs):
        field.add_pair()
    for _ in range(white_cells):
        field.add_white_cell()
    for _ in range(red_cells):
        field.add_red_cell()
    for _ in range(platelets):
        field.add_platelet()
    image = field.photograph(unevenness)
    return SyntheticSmear(image, tuple(field.cells), tuple(field.pairs), micrometres_per_pixel)


def _check(width: int, height: int, scale: float, counts: tuple[int, ...]) -> None:
    if min(width, height) * scale < 25:
        raise UsageError(
            f"expected a field of at least 25 micrometres. Received: {width} x {height} pixels of {scale}"
        )
    if min(counts) < 0:
        raise UsageError(f"expected numbers of at least 0. Received: {min(counts)}")


@dataclass(frozen=True, eq=False)
class _Sprite:
    """A thing to lay down: its density, float64 ``(h, w, 3)``, its mask and that of its nucleus."""

    density: Array
    mask: NDArray[np.bool_]
    nucleus: NDArray[np.bool_]


class _Field:
    """A field while it is drawn."""

    def __init__(self, rng: np.random.Generator, shape: tuple[int, int], scale: float) -> None:
        self.rng, self.shape, self.scale = rng, shape, scale
        self.density = np.zeros((*shape, 3))
        self.taken = np.zeros(shape, bool)  # by white cells
        self.cells: list[FoundCell] = []
        self.pairs: list[tuple[int, int]] = []
        people = [*draw_people(2, blast=True, first=FIRST_NUMBER, rng=rng)]
        self.people = [*people, *draw_people(2, blast=False, first=FIRST_NUMBER, rng=rng)]
        self.strength = float(rng.uniform(0.35, 0.7))  # C-NMC's cells are stained darkly

    def add_white_cell(self) -> bool:
        """One white cell where it touches no other, perhaps cut by the edge."""
        sprite = self._white_cell()
        for _ in range(_TRIES):
            place = self._anywhere(sprite, beyond=0.25)
            if not self._is_near_others(sprite, place):
                self._keep(sprite, place, touching=False)
                return True
        return False

    def add_pair(self) -> bool:
        """Two white cells that touch, wholly inside the field."""
        first, second = self._white_cell(), self._white_cell()
        for _ in range(_TRIES):
            place = self._anywhere(first, beyond=0.0)
            if self._is_near_others(first, place):
                continue
            other = self._beside(first, place, second)
            if other is None or self._is_near_others(second, other):
                continue
            self._keep(first, place, touching=True)
            self._keep(second, other, touching=True)
            self.pairs.append((len(self.cells) - 2, len(self.cells) - 1))
            return True
        return False

    def add_red_cell(self) -> None:
        """One red cell, not on a white one; it may touch or lie under another red cell."""
        radius = RED_CELL_DIAMETER / 2 / self.scale * float(np.exp(self.rng.normal(0, 0.04)))
        sprite = _round(self.rng, radius, _RED_CELL * self.strength, pallor=float(self.rng.uniform(0.3, 0.8)))
        self._lay_beside_white_cells(sprite)

    def add_platelet(self) -> None:
        """One platelet."""
        radius = float(self.rng.uniform(0.9, 1.6)) / self.scale
        self._lay_beside_white_cells(_round(self.rng, radius, _PLATELET * self.strength, pallor=0.0))

    def photograph(self, unevenness: float) -> NDArray[np.uint8]:
        """What a camera sees of it."""
        light = np.array([216.0, 218.0, 214.0]) * self.rng.uniform(0.93, 1.05, 3)
        shade = _shade(self.rng, self.shape, unevenness)
        image = light * shade[:, :, None] * np.power(10, -self.density)
        image = cv2.GaussianBlur(image, (0, 0), max(0.12 / self.scale, 0.5))
        image += self.rng.normal(0, 1.5, image.shape)
        return np.asarray(np.rint(np.clip(image, 0, 255)), np.uint8)

    def _white_cell(self) -> _Sprite:
        person = self.people[int(self.rng.integers(len(self.people)))]
        return _white_cell(self.rng, person, self.strength, self.scale)

    def _anywhere(self, sprite: _Sprite, *, beyond: float) -> tuple[int, int]:
        """A corner such that at most a share ``beyond`` of each side lies outside of the field."""
        x, y = (
            int(self.rng.integers(-int(beyond * side), max(length - side + int(beyond * side), 0) + 1))
            for side, length in zip(sprite.mask.shape[::-1], self.shape[::-1], strict=True)
        )
        return x, y

    def _is_near_others(self, sprite: _Sprite, place: tuple[int, int]) -> bool:
        """Whether less than about a micrometre is between it and what is there."""
        reach = max(round(1.0 / self.scale), 1)
        grown = cv2.dilate(
            np.pad(sprite.mask, reach).astype(np.uint8),
            np.ones((2 * reach + 1, 2 * reach + 1), np.uint8),
        )
        window, part = self._overlap(grown.shape, (place[0] - reach, place[1] - reach))
        return bool((self.taken[window] & (grown[part] > 0)).any())

    def _beside(self, first: _Sprite, place: tuple[int, int], second: _Sprite) -> tuple[int, int] | None:
        """Where the second touches the first, moved in until they meet; None outside of the field."""
        angle = self.rng.uniform(0, 2 * np.pi)
        lone = np.zeros(self.shape, bool)
        window, part = self._overlap(first.mask.shape, place)
        lone[window] = first.mask[part]
        (h1, w1), (h2, w2) = first.mask.shape, second.mask.shape
        for away in range(max(h1, w1) // 2 + max(h2, w2) // 2 + 4, 0, -1):
            x = round(place[0] + w1 / 2 + away * np.cos(angle) - w2 / 2)
            y = round(place[1] + h1 / 2 + away * np.sin(angle) - h2 / 2)
            window, part = self._overlap(second.mask.shape, (x, y))
            if np.count_nonzero(lone[window] & second.mask[part]) > 3:
                inside = 0 < x < self.shape[1] - w2 and 0 < y < self.shape[0] - h2
                return (x, y) if inside else None
        return None

    def _keep(self, sprite: _Sprite, place: tuple[int, int], *, touching: bool) -> None:
        window, part = self._overlap(sprite.mask.shape, place)
        mine = sprite.mask[part] & ~self.taken[window]
        self.taken[window] |= mine
        self.density[window] = np.maximum(self.density[window], sprite.density[part])
        rows, columns = np.flatnonzero(mine.any(axis=1)), np.flatnonzero(mine.any(axis=0))
        box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        x, y = window[1].start + int(columns[0]), window[0].start + int(rows[0])
        cut = mine.shape != sprite.mask.shape
        flags = (("edge",) if cut else ()) + (("touching",) if touching else ())
        self.cells.append(FoundCell(x, y, mine[box], (sprite.nucleus[part] & mine)[box], flags))

    def _lay_beside_white_cells(self, sprite: _Sprite) -> None:
        for _ in range(_TRIES):
            place = self._anywhere(sprite, beyond=0.5)
            window, part = self._overlap(sprite.mask.shape, place)
            if not (self.taken[window] & sprite.mask[part]).any():
                self.density[window] += sprite.density[part]
                return

    def _overlap(
        self, shape: tuple[int, ...], place: tuple[int, int]
    ) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Rows and columns of the field, and of a thing laid at ``place``, where the two meet."""
        (x, y), (rows, columns) = place, shape
        top, bottom = max(y, 0), max(min(y + rows, self.shape[0]), y, 0)
        left, right = max(x, 0), max(min(x + columns, self.shape[1]), x, 0)
        return np.s_[top:bottom, left:right], np.s_[top - y : bottom - y, left - x : right - x]


def _white_cell(rng: np.random.Generator, person: Person, strength: float, scale: float) -> _Sprite:
    """A cell of that person: its nucleus is what the cohort draws, in a rim of cytoplasm."""
    look = draw_look(person, rng, size=spread(1, rng)[0])
    share = float(rng.uniform(0.72, 0.95))
    radius = look.radius * float(np.exp(rng.normal(0, 0.05)))
    side = 2 * int(1.6 * radius * look.elongation) + 2
    curve = draw_outline(radius, 1 + (look.elongation - 1) / 2, rng, ragged=False)
    cell = fill_outline(curve + side / 2, side)
    shift = (1 - share) * radius * 0.5 * rng.uniform(-1, 1, 2)
    nucleus = _nucleus(look._replace(radius=radius * share), rng, side, shift) * cell[:, :, None]
    density = np.maximum(cell[:, :, None] * _CYTOPLASM, nucleus) * strength
    factor = CELL_SCALE / scale
    size = (max(round(side * factor), 1),) * 2
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    small = cv2.resize(density, size, interpolation=how)
    inside = cv2.resize(cell.astype(np.float64), size, interpolation=how) >= 0.5
    core = cv2.resize((nucleus.max(axis=2) > 0).astype(np.float64), size, interpolation=how) >= 0.5
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return _Sprite(small[box], inside[box], (core & inside)[box])


def _nucleus(look: Look, rng: np.random.Generator, side: int, shift: Array) -> Array:
    """Densities of a cell of the cohort, moved by ``shift``; 0 outside of it."""
    drawn = draw_cell(look, rng, side=side).astype(np.float64)
    density = np.where(drawn.any(axis=2, keepdims=True), -np.log10((drawn + 1) / 256), 0.0)
    move = np.array([[1.0, 0.0, shift[0]], [0.0, 1.0, shift[1]]])
    return np.asarray(cv2.warpAffine(density, move, (side, side)))


def _round(rng: np.random.Generator, radius: float, density: Array, *, pallor: float) -> _Sprite:
    """A red cell or platelet: a slightly wavy disc, paler in the middle by a share ``pallor``."""
    side = 2 * int(radius * 1.4) + 3
    curve = draw_outline(radius, float(np.exp(abs(rng.normal(0, 0.05)))), rng, ragged=False, rough=0.4)
    mask = fill_outline(curve + side / 2, side)
    line = (np.arange(side) + 0.5 - side / 2) / radius
    away = np.hypot(line[:, None], line[None, :])
    depth = 1 - pallor * np.exp(-((away / 0.45) ** 2))
    soft = cv2.GaussianBlur(mask.astype(np.float64), (0, 0), max(0.05 * radius, 0.4))
    return _Sprite((soft * depth)[:, :, None] * density, mask, np.zeros_like(mask))


def _shade(rng: np.random.Generator, shape: tuple[int, int], unevenness: float) -> Array:
    """Light from 1 down to ``1 - unevenness``: brightest somewhere in the field, falling with the square."""
    middle = rng.uniform(0.2, 0.8, 2)
    y, x = (np.linspace(0, 1, length) - at for length, at in zip(shape, middle, strict=True))
    fall = y[:, None] ** 2 + x[None, :] ** 2
    return np.asarray(1 - unevenness * fall / fall.max())
