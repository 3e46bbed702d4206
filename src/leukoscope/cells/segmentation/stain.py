"""Light and dyes: the empty background of a photograph, optical density, how much of each dye lies where.

Optical density is ``-log10(I / I0)``, with the light of the empty background as ``I0``; dyes on top of each
other add up in it (Beer-Lambert). Two of them are told apart here: the blue dye of nuclei (azure), which
absorbs red and green, and what red cells absorb (haemoglobin and eosin), which is green and blue.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

# Directions of optical density in red, green, blue: medians over BCCD's nuclei and red cells. They are where
# the search begins; each photograph moves them.
BLUE_DYE = (0.65, 0.76, 0.05)
RED_CELLS = (0.30, 0.70, 0.65)
RED_CELL_DENSITY = 0.12
"""Median optical density of BCCD's red cells in green; thresholds are given for such photographs."""

_BLOCKS = (6, 8)  # rows and columns in which the background is looked for
_BACKGROUND_QUANTILE = 0.85
_ABOVE = 0.015  # a block denser than the surface by this holds no background
_RIDGE = 0.1 * np.diag([0, 0.5, 0.5, 1, 1, 1])  # without evidence, light is even
_STAINED = 0.05  # of density in green: surely not background
_PRIOR = 0.02  # of all pixels: how many speak for the directions above


class Stains(NamedTuple):
    """How dyed a photograph is.

    Attributes:
        density: optical density, float32 ``(H, W, 3)``, 0 for empty background.
        blue: of the blue dye, float32 ``(H, W)``: its share of the density.
        red: of what red cells absorb, likewise.
        strength: how dark red cells are, as a share of :data:`RED_CELL_DENSITY`; 1 where there are none.
    """

    density: Array
    blue: Array
    red: Array
    strength: float


def separate(image: np.ndarray, *, blur: float = 0.0) -> Stains:
    """Tell the dyes of one photograph apart.

    Args:
        image: uint8 ``(H, W, 3)`` RGB.
        blur: deviation of a Gaussian filter on the density, pixels; 0 is none.
    """
    density = optical_density(image, background(image))
    if blur:
        density = cv2.GaussianBlur(density, (0, 0), blur)
    blue, red, strength = _directions(density)
    unmix = np.linalg.pinv(np.stack([blue, red])).astype(np.float32)
    shares = cv2.transform(density, np.ascontiguousarray(unmix.T))
    return Stains(density, shares[:, :, 0].copy(), shares[:, :, 1].copy(), strength)


def optical_density(image: np.ndarray, light: Array) -> Array:
    """``-log10((I + 1) / I0)``, float32 of the shape of ``image``."""
    return np.asarray(_LOGARITHMS[image] + np.log10(light), np.float32)


_LOGARITHMS = -np.log10(np.arange(1, 257, dtype=np.float32))


def background(image: np.ndarray) -> Array:
    """The light where nothing lies, float32 ``(H, W, 3)``, 1 to 256: a smooth surface under uneven light.

    The bright end of each block of the photograph is looked at. A surface of the second order is drawn
    through their logarithms; blocks full of cells lie below it and soon count for nothing.
    """
    points, densities = _bright_ends(image)
    terms = _terms(*points.T)
    weights = np.ones(len(terms))
    for step in range(20):  # first what is denser counts less and less, then not at all
        weighted = terms * weights[:, None]
        surface = np.linalg.solve(terms.T @ weighted + _RIDGE, weighted.T @ densities)
        above = (densities - terms @ surface).max(axis=1)
        weights = np.where(above < (0.0 if step < 12 else _ABOVE), 1.0, 0.05 if step < 12 else 0.01)
    return _spread_out(np.asarray(surface, np.float64), image.shape[:2])


def _bright_ends(image: np.ndarray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Middles of the blocks, ``x, y`` from -1 to 1, and density (of no light: 256) of their bright ends."""
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


def _spread_out(surface: NDArray[np.float64], shape: tuple[int, ...]) -> Array:
    """The surface at a few points, enlarged: it is smooth."""
    height, width = shape
    x, y = (np.arange(33) + 0.5) / 33 * 2 - 1, (np.arange(33) + 0.5) / 33 * 2 - 1
    coarse = _terms(*np.meshgrid(x, y)) @ surface
    fine = cv2.resize(coarse.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip(256 * np.power(np.float32(10), -fine), 1, 256), np.float32)


def _directions(density: Array) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Unit directions of the blue dye and of red cells in this photograph, and how dark its red cells are."""
    blue, red = _unit(np.array(BLUE_DYE)), _unit(np.array(RED_CELLS))
    sample = density[::3, ::3].reshape(-1, 3).astype(np.float64)
    prior = _PRIOR * len(sample)
    stained = sample[(sample[:, 1] > _STAINED) & (sample.max(axis=1) < 1.2)]
    if not len(stained):
        return blue, red, 1.0
    units = stained / np.linalg.norm(stained, axis=1, keepdims=True)
    for _ in range(4):
        is_red = units @ red > units @ blue
        if _are_nuclei(stained[is_red, 1], stained[~is_red, 1]):
            return _unit(np.array(BLUE_DYE)), _unit(np.array(RED_CELLS)), 1.0
        red = _moved(RED_CELLS, units[is_red], prior)
        blue = _moved(BLUE_DYE, units[~is_red], prior)
    return blue, red, _strength(stained[is_red, 1], prior)


def _are_nuclei(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    """Whether what seems red is denser than what seems blue: dark purple nuclei and their cytoplasm."""
    return bool(len(one) and len(other) and np.quantile(one, 0.9) > np.quantile(other, 0.9))


def _moved(start: tuple[float, ...], units: NDArray[np.float64], prior: float) -> NDArray[np.float64]:
    return _unit(_unit(np.array(start)) * prior + units.sum(axis=0))


def _unit(direction: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(direction / np.linalg.norm(direction))


def _strength(greens: NDArray[np.float64], prior: float) -> float:
    if len(greens) < prior:
        return 1.0
    return float(np.clip(np.median(greens) / RED_CELL_DENSITY, 0.7, 4.0))
