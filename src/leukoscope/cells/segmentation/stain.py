"""Dyes: how dense a photograph is over its empty background, and how much of each dye lies where.

Optical density is ``-log10(I / I0)``, with the light of the empty background as ``I0``; dyes on top of each
other add up in it (Beer-Lambert). Two of them are told apart here: the blue dye of nuclei (azure), which
absorbs red and green, and what red cells absorb (haemoglobin and eosin), which is green and blue.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from leukoscope.cells.light import Array, Surface, background, density_of

# Directions of optical density in red, green, blue: medians over BCCD's nuclei and red cells. They are where
# the search begins; each photograph moves them.
BLUE_DYE = (0.65, 0.76, 0.05)
RED_CELLS = (0.30, 0.70, 0.65)
RED_CELL_DENSITY = 0.12
"""Median optical density of BCCD's red cells in green; thresholds are given for such photographs."""

_STAINED = 0.05  # of density in green: surely not background
_PRIOR = 0.02  # of all pixels: how many speak for the directions above


class Stains(NamedTuple):
    """How dyed a photograph is.

    Attributes:
        density: optical density, float32 ``(H, W, 3)``, 0 for empty background.
        blue: of the blue dye, float32 ``(H, W)``: its share of the density.
        red: of what red cells absorb, likewise.
        strength: how dark red cells are, as a share of :data:`RED_CELL_DENSITY`; 1 where there are none.
        light: the empty background.
    """

    density: Array
    blue: Array
    red: Array
    strength: float
    light: Surface


def separate(image: np.ndarray, *, blur: float = 0.0) -> Stains:
    """Tell the dyes of one photograph apart.

    Args:
        image: uint8 ``(H, W, 3)`` RGB.
        blur: deviation of a Gaussian filter on the density, pixels; 0 is none.
    """
    light = background(image)
    density = density_of(image) - light.density()
    if blur:
        density = cv2.GaussianBlur(density, (0, 0), blur)
    blue, red, strength = _directions(density)
    unmix = np.linalg.pinv(np.stack([blue, red])).astype(np.float32)
    shares = cv2.transform(density, np.ascontiguousarray(unmix.T))
    return Stains(density, shares[:, :, 0].copy(), shares[:, :, 1].copy(), strength, light)


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
