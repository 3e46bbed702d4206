"""Cells of another laboratory in the colours of C-NMC 2019, whose cells its authors had brought to one stain.

A normalisation is fitted on the cells of one photograph (better: of one person) and then applied to each of
them. It is for cells that were cut out of photographs here; cells that come cut out (C-NMC's own among them)
are never given to it. What it costs is said in decision 0106: who brings every person to one mean takes away
whatever colour told of that person.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from leukoscope.cells.light import LEVEL, density_of
from leukoscope.cells.measure import find_body
from leukoscope.core.registry import Registry

Floats = NDArray[np.float64]

# C-NMC 2019, training cells (Gupta & Gupta 2019, The Cancer Imaging Archive, doi 10.7937/tcia.2019.dc64i46r,
# CC BY 3.0), as scripts/cnmc_stain_reference.py read them: subjects weighted alike, both classes.
LAB_MEAN = (18.36, 28.33, -23.07)
"""L*, a*, b* (D65) of C-NMC's cells: the mean over subjects."""
LAB_DEVIATION = (3.59, 2.29, 2.86)
"""Of the pixels of one subject: root of the mean variance over subjects."""
LIGHT = 140
"""What empty background would be in its photographs. Assumed, for its cells come without: the brightest of
their pixels reach 138, 98, 126 in the mean over subjects, 166, 142, 141 in one, and a lamp is white."""
DYES = ((0.494, 0.815, 0.304), (0.286, 0.906, 0.311))
"""Directions of optical density in red, green, blue: of the bluer dye (azure) and the redder one (eosin)."""
STRENGTHS = (0.942, 0.634)
"""99th percentile of the two dyes."""

MIN_PIXELS = 1000
"""Fewer pixels than this, less than a single cell has, fit nothing: the pictures stay as they are."""

MOST = 3.0
"""By how much a deviation or a dye is enlarged at most."""

_SAMPLE = 100_000  # pixels that are looked at, at most about
_RIM = 0.035  # of a cell, as a share of the root of its area: 6 pixels of a cell of 200
_FLAT = 1.0  # deviation in L*, a* or b* below which there is nothing but noise to enlarge
_TRANSPARENT = 0.15  # Macenko's beta: no dye where the density is less than this in every channel
_TAIL = 1.0  # Macenko's alpha, percent: how much may lie outside of the angle between the two dyes
_ALIKE = 3.0  # degrees between the two dyes: less cannot be told apart


class Normaliser(Protocol):
    """A way to bring cells to the reference."""

    def fitted(self, pixels: np.ndarray) -> Normalisation:
        """Learn how these cells differ from the reference.

        Args:
            pixels: uint8 ``(N, 3)`` RGB of all single cells of a photograph, of each what :func:`cell_pixels`
                gives; black ones do not count. Of very many every k-th is looked at; nothing is left to
                chance.
        """


@dataclass(frozen=True)
class Normalisation:
    """Brings a cell on black to the reference.

    Attributes:
        recoloured: float32 or uint8 ``(N, 3)`` for uint8 ``(N, 3)`` RGB; None where there was too little to
            learn from, and nothing is changed.
    """

    recoloured: Callable[[np.ndarray], np.ndarray] | None

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """The cell in the reference's colours.

        Args:
            image: uint8 ``(H, W, 3)`` RGB on black, not changed.

        Returns:
            uint8 ``(H, W, 3)``: what is black (0, 0, 0) stays black, no other pixel becomes black; ``image``
            itself where nothing is changed.
        """
        inside = (image[:, :, 0] | image[:, :, 1] | image[:, :, 2]) > 0  # ten times as fast as any(axis=2)
        if self.recoloured is None or not inside.any():
            return image
        result = np.zeros_like(image)
        result[inside] = np.rint(np.clip(self.recoloured(image[inside]), 1, 255))
        return result


def cell_pixels(image: np.ndarray, most: int = 5000) -> np.ndarray:
    """Pixels of one cell on black, to fit on: evenly spread over it, so that each cell counts alike.

    Its rim is left out: there are the coloured fringes of the lens, and what the mask took of the
    surroundings. C-NMC's cells have a blue one, which would stand for their azure.

    Args:
        image: uint8 ``(H, W, 3)`` RGB.
        most: how many at most.

    Returns:
        uint8 ``(N, 3)``.
    """
    body = find_body(image)
    if body is None:
        return np.empty((0, 3), np.uint8)
    depth = cv2.distanceTransform(np.pad(body.solid, 1), cv2.DIST_L2, cv2.DIST_MASK_3)[1:-1, 1:-1]
    inside = body.pixels[depth > _RIM * np.sqrt(body.area)]
    return np.asarray(inside[_spread(len(inside), most)])


class Reinhard:
    """Mean and deviation of each channel of CIE L*a*b* become the reference's.

    Reinhard et al. 2001, Color transfer between images, doi 10.1109/38.946629, whose l-alpha-beta takes
    logarithms of cone responses: those of C-NMC's dark pixels are mostly noise. CIE L*a*b* is as usual for
    stains.

    A channel that hardly varies (one colour) is only moved.
    """

    def fitted(self, pixels: np.ndarray) -> Normalisation:
        """As :meth:`Normaliser.fitted` says."""
        sample = _sample(pixels)
        if len(sample) < MIN_PIXELS:
            return Normalisation(None)
        mean, deviation = lab_statistics(sample)
        wanted = np.array(LAB_DEVIATION)
        gain = np.where(deviation < _FLAT, 1.0, np.minimum(wanted / np.maximum(deviation, _FLAT), MOST))
        shift = np.array(LAB_MEAN) - mean * gain
        return Normalisation(lambda values: _from_lab(to_lab(values) * gain + shift))


class Macenko:
    """The two dyes and the strength of each become the reference's.

    Macenko et al. 2009, A method for normalizing histology slides for quantitative analysis, doi
    10.1109/ISBI.2009.5193250: the plane of two dyes by a singular value decomposition of the optical
    densities, the dyes at the 1st and 99th percentile of the angle in it, strengths by their 99th percentile.
    Cells in which two dyes cannot be told apart stay as they are.
    """

    def fitted(self, pixels: np.ndarray) -> Normalisation:
        """As :meth:`Normaliser.fitted` says."""
        found = dyes_of(_sample(pixels), LEVEL)
        if found is None:
            return Normalisation(None)
        dyes, strengths = found
        ratios = np.minimum(np.array(STRENGTHS) / strengths, MOST)
        matrix = np.array(DYES).T @ np.diag(ratios) @ np.linalg.pinv(dyes.T)
        return Normalisation(lambda values: _seen(_density(values, LEVEL) @ matrix.T, LIGHT))


NORMALISERS: Registry[type[Normaliser]] = Registry("normalisation")
NORMALISERS.add("reinhard")(Reinhard)
NORMALISERS.add("macenko")(Macenko)


def create_normaliser(name: str) -> Normaliser:
    """The normaliser of that name: ``reinhard`` or ``macenko``.

    Raises:
        UsageError: when there is none; the hint names the nearest.
    """
    return NORMALISERS.get(name)()


def lab_statistics(pixels: np.ndarray) -> tuple[Floats, Floats]:
    """Mean and deviation of L*, a*, b* of uint8 ``(N, 3)`` RGB."""
    lab = to_lab(pixels)
    return lab.mean(axis=0), lab.std(axis=0)


def to_lab(pixels: np.ndarray) -> Floats:
    """CIE L*a*b* (sRGB, D65) of uint8 ``(N, 3)`` RGB."""
    return np.asarray(cv2.cvtColor(_LINEAR[pixels][None], cv2.COLOR_LRGB2Lab)[0], np.float64)


def _from_lab(lab: Floats) -> np.ndarray:
    linear = np.maximum(cv2.cvtColor(lab.astype(np.float32)[None], cv2.COLOR_Lab2LRGB)[0], 0)
    return np.asarray(255 * np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear))


_VALUES = np.arange(256, dtype=np.float32) / 255
_LINEAR = np.where(_VALUES > 0.04045, ((_VALUES + 0.055) / 1.055) ** 2.4, _VALUES / 12.92)
"""Light of sRGB values (IEC 61966-2-1); OpenCV's own step from these to L*a*b* errs by a third of a unit."""


def dyes_of(pixels: np.ndarray, light: float) -> tuple[Floats, Floats] | None:
    """The two dyes of some pixels after Macenko.

    Args:
        pixels: uint8 ``(N, 3)`` RGB.
        light: value of empty background, in every channel.

    Returns:
        Unit directions of optical density ``(2, 3)``, the bluer dye first, and the 99th percentile of each,
        ``(2,)``; None where fewer than :data:`MIN_PIXELS` are dyed or two dyes cannot be told apart.
    """
    density = _density(pixels, light)
    dyed = density[density.max(axis=1, initial=0.0) >= _TRANSPARENT]
    if len(dyed) < MIN_PIXELS:
        return None
    plane = np.linalg.eigh(dyed.T @ dyed)[1][:, :0:-1]  # right singular vectors, the largest two
    plane *= np.where(plane.sum(axis=0) < 0, -1, 1)
    along = dyed @ plane
    angles = np.percentile(np.arctan2(along[:, 1], along[:, 0]), (_TAIL, 100 - _TAIL))
    if np.degrees(np.ptp(angles)) < _ALIKE:
        return None
    dyes = np.stack([np.cos(angles), np.sin(angles)], axis=1) @ plane.T
    dyes = dyes[np.argsort(-dyes[:, 0])]  # azure absorbs more red
    return dyes, np.percentile(dyed @ np.linalg.pinv(dyes), 99, axis=0)


def _density(pixels: np.ndarray, light: float) -> Floats:
    return np.asarray(density_of(pixels) + np.log10((light + 1) / 256), np.float64)


def _seen(density: Floats, light: float) -> Floats:
    return np.asarray((light + 1) * 10**-density - 1)


def _sample(pixels: np.ndarray) -> np.ndarray:
    """What is not black, and of very many every k-th."""
    inside = pixels[(pixels[:, 0] | pixels[:, 1] | pixels[:, 2]) > 0]
    return np.asarray(inside[_spread(len(inside), _SAMPLE)])


def _spread(num: int, most: int) -> NDArray[np.int64]:
    """Indices of at most ``most`` of ``num``, evenly spread.

    >>> _spread(10, 5).tolist()
    [0, 2, 4, 6, 8]
    """
    kept = min(num, most)
    return np.arange(kept) * num // max(kept, 1)
