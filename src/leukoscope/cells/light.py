"""The light of a photograph, read from its empty background, and the photograph as if its light were even.

A smear is looked at through: where nothing lies, the photograph shows the lamp, its colour and how it falls
off towards the corners. Optical density is ``-log10``, so that lamp and dyes add up in it (Beer-Lambert).
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from leukoscope.cells.measure import find_body, is_segmented, touches_edge

Array = NDArray[np.float32]
Bools = NDArray[np.bool_]

LEVEL = 240
"""What empty background becomes in red, green and blue: near white, with room for noise above it. One level
for all photographs, not each one's own: exposure and lamp say nothing of the cells, and optical densities can
be read from the corrected pixels without knowing the photograph. 240 is what Macenko's method usually takes
for the lamp."""

_BLOCKS = (6, 8)  # rows and columns in which the background is looked for
_BACKGROUND_QUANTILE = 0.85
_ABOVE = 0.015  # a block denser than the surface by this holds no background
_UNLIT = 0.6  # a block denser than the brightest by this lies outside of a round field of view
_RIDGE = 0.1 * np.diag([0, 0.5, 0.5, 1, 1, 1])  # without evidence, light is even

_SAMPLE = 100_000  # pixels of a photograph, at most about, from which its light is read
_NEAR = (0.03, 0.02)  # of the surface in every channel, in density: empty background, at first and then
_SHARE = 0.05  # of a photograph is empty, at least
_BRIGHTER = 0.4  # of that may be brighter: 0.27 at most in BCCD's fields, 0.9 at least in parts full of cells
_DARKEST = 60  # of a lamp, in any channel: below, noise would be made more than four times as strong
_DIM = np.float32(np.log10(256 / _DARKEST))
_COLOURED = 2.2  # times as bright in one channel as in another, at most: more is no lamp

_OF_VALUES = -np.log10(np.arange(1, 257) / 256).astype(np.float32)


def density_of(image: np.ndarray) -> Array:
    """``-log10((I + 1) / 256)`` of uint8 values, float32 of the same shape: 0 for 255, 2.41 for 0."""
    return np.take(_OF_VALUES, image)


class Surface(NamedTuple):
    """A smooth surface over a photograph: the density (:func:`density_of`) of its light at each place.

    Attributes:
        coefficients: float64 ``(6, 3)`` of ``1, x, y, x^2, xy, y^2`` in red, green and blue, where ``x`` and
            ``y`` run from -1 to 1 over the photograph.
        shape: ``(H, W)`` of the photograph.
    """

    coefficients: NDArray[np.float64]
    shape: tuple[int, int]

    def density(self, x: int = 0, y: int = 0, shape: tuple[int, int] | None = None) -> Array:
        """In a box of ``shape`` that begins at column ``x``, row ``y``; without it, in the whole photograph.

        Returns:
            float32 ``(h, w, 3)``, 0 to 2.41. A pixel has the same value in every box that holds it.
        """
        height, width = shape or self.shape
        rows = ((np.arange(y, y + height) + 0.5) / self.shape[0] * 2 - 1)[:, None]
        columns = ((np.arange(x, x + width) + 0.5) / self.shape[1] * 2 - 1)[:, None]
        one, by_x, by_y, by_xx, by_xy, by_yy = self.coefficients
        across = (one + by_x * columns + by_xx * columns**2).astype(np.float32)
        down = (by_y * rows + by_yy * rows**2).astype(np.float32)
        tilt = (by_xy * columns).astype(np.float32)
        result = rows.astype(np.float32)[:, :, None] * tilt[None]
        result += across[None]
        result += down[:, None]
        return np.asarray(np.clip(result, 0, _OF_VALUES[0], out=result))


def background(image: np.ndarray) -> Surface:
    """The light where nothing lies: a surface of the second order under uneven light.

    The bright end of each block of the photograph is looked at. The surface is drawn through their densities;
    blocks full of cells lie above it and soon count for nothing.

    Args:
        image: uint8 ``(H, W, 3)`` RGB.
    """
    points, densities = _lit(*_bright_ends(image))
    terms = _terms(*points.T)
    weights = np.ones(len(terms))
    for step in range(20):  # first what is denser counts less and less, then not at all
        coefficients = _solved(terms, densities, weights)
        above = (densities - terms @ coefficients).max(axis=1)
        weights = np.where(above < (0.0 if step < 12 else _ABOVE), 1.0, 0.05 if step < 12 else 0.01)
    return Surface(coefficients, (image.shape[0], image.shape[1]))


def _lit(points: NDArray[np.float64], densities: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    darkest = densities.max(axis=1)
    lit = darkest < darkest.min() + _UNLIT
    return points[lit], densities[lit]


def _solved(
    terms: NDArray[np.float64], densities: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Least squares, held flat as much as blocks hold it that are not there."""
    weighted = terms * weights[:, None]
    ridge = _RIDGE * len(terms) / (_BLOCKS[0] * _BLOCKS[1])
    return np.asarray(np.linalg.solve(terms.T @ weighted + ridge, weighted.T @ densities))


def _bright_ends(image: np.ndarray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Middles of the blocks, ``x, y`` from -1 to 1, and the density of their bright ends."""
    places, values = [], []
    rows, columns = (np.array_split(np.arange(n), k) for n, k in zip(image.shape[:2], _BLOCKS, strict=True))
    for row in filter(len, rows):
        for column in filter(len, columns):
            block = image[row[0] : row[-1] + 1, column[0] : column[-1] + 1].reshape(-1, 3)
            values.append(_bright_end(block))
            places.append(((column[0] + column[-1] + 1) / 2, (row[0] + row[-1] + 1) / 2))
    points = np.array(places) / (image.shape[1] / 2, image.shape[0] / 2) - 1
    return points, -np.log10((np.array(values) + 1) / 256)


def _bright_end(block: np.ndarray) -> NDArray[np.float64]:
    place = min(int(_BACKGROUND_QUANTILE * len(block)), len(block) - 1)
    return np.asarray(np.partition(block, place, axis=0)[place], np.float64)


def _terms(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)


class Light(NamedTuple):
    """The light of one photograph, which :meth:`even` takes out of it: white balance and flat field.

    Attributes:
        surface: of the light; None where no empty background could be made out, and nothing is corrected.
    """

    surface: Surface | None

    @classmethod
    def of(cls, image: np.ndarray) -> Light:
        """Read the light from the empty background of a photograph.

        That is what lies near a smooth surface, no further from it than noise, with hardly anything brighter.
        A photograph without it (cells on black, cells all over, too dark, of one strong colour) is left as it
        is: what is not known is not corrected. A lamp brighter than the camera can see is taken for 255.

        Args:
            image: the whole photograph, uint8 ``(H, W, 3)`` RGB; of a large one a part of the rows and
                columns is read. One surface is drawn over all of it: of a scan put together of many fields it
                is the white balance, not the flat field of each.
        """
        step = int(np.ceil(np.sqrt(image.shape[0] * image.shape[1] / _SAMPLE)))
        small = np.ascontiguousarray(image[::step, ::step])
        if _is_cut_out(small):
            return cls(None)
        seen, surface = density_of(small), background(small)
        for near in _NEAR:
            above = seen - surface.density()
            empty = cv2.inRange(above, (-near,) * 3, (near,) * 3) > 0
            brighter = cv2.inRange(above, (-near,) * 3, (np.inf,) * 3) == 0
            if empty.mean() < _SHARE or brighter.mean() > _BRIGHTER * empty.mean():
                return cls(None)
            surface = _through(seen, empty)
        return cls(surface._replace(shape=image.shape[:2]) if _is_lamp(surface) else None)

    def even(self, part: np.ndarray, x: int = 0, y: int = 0) -> np.ndarray:
        """A part of the photograph as if its light were :data:`LEVEL` in every channel and everywhere.

        Values are multiplied, which is right for a camera of any gamma; what gets brighter than 255 is 255,
        black stays black. Part by part gives the same as all at once.

        Args:
            part: uint8 ``(h, w, 3)`` RGB, not changed.
            x: its first column in the photograph.
            y: its first row.

        Returns:
            uint8 ``(h, w, 3)``; ``part`` itself where there is nothing to correct.
        """
        if self.surface is None:
            return part
        density = np.minimum(self.surface.density(x, y, (part.shape[0], part.shape[1])), _DIM)
        gain = np.exp(density * np.float32(np.log(10))) * np.float32((LEVEL + 1) / 256)
        return np.rint(np.minimum(part * gain, 255)).astype(np.uint8)


def _is_cut_out(image: np.ndarray) -> bool:
    """Whether this is one thing amid black; a round field of view reaches the edge."""
    body = find_body(image)
    return body is not None and is_segmented(image, body) and not touches_edge(image, body)


def _through(seen: Array, empty: Bools) -> Surface:
    """The surface through all that is empty."""
    rows, columns = np.nonzero(empty)
    height, width = empty.shape
    terms = _terms((columns + 0.5) / width * 2 - 1, (rows + 0.5) / height * 2 - 1)
    coefficients = _solved(terms, seen[empty].astype(np.float64), np.ones(len(terms)))
    return Surface(coefficients, (height, width))


def _is_lamp(surface: Surface) -> bool:
    """Whether light of this brightness and colour can be a lamp's."""
    light = 256 * 10 ** -surface.coefficients[0]
    return bool(light.min() >= _DARKEST and light.max() <= _COLOURED * light.min())
