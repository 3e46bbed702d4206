"""Draw one white blood cell as C-NMC shows them: cut out of its smear, on pure black.

The shape is a closed curve around a centre; the chromatin is filtered noise; nucleoli are pale discs; some
cells carry debris or are cut straight, as segmentation leaves them. All arithmetic is in float64 and is
rounded once, at the end, so that one random state gives one image on every machine.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LARGEST_RADIUS = 195.0  # the largest real box is 441 pixels wide
DEBRIS_SHARE, CUT_SHARE, NOTCHED_SHARE = 0.12, 0.05, 0.35
DEBRIS_STAIN = (96.0, 72.0, 86.0)
# How strongly one unit of chromatin density shows in red, green and blue; green absorbs most in real cells.
CHANNEL_GAIN = (0.75, 1.15, 0.55)


class Look(NamedTuple):
    """What a cell looks like before chance draws its details.

    Attributes:
        radius: of the circle of equal area, in pixels.
        elongation: length over width, at least 1.
        fineness: 0 = chromatin in coarse clumps (ripe) .. 1 = fine and even (blast).
        nucleoli: how many pale discs.
        stain: mean red, green and blue, 0..255.
        contrast: of the chromatin; 1 is usual.
    """

    radius: float
    elongation: float
    fineness: float
    nucleoli: int
    stain: tuple[float, float, float]
    contrast: float


def draw_cell(look: Look, rng: np.random.Generator, *, side: int = 450) -> NDArray[np.uint8]:
    """Draw one cell, near the middle of a black square.

    Args:
        look: what to draw.
        rng: draws the outline, the chromatin and the rest; the same state gives the same image.
        side: of the image, in pixels.

    Returns:
        RGB uint8 ``(side, side, 3)``; a pixel outside the cell is (0, 0, 0), one inside is not.

    >>> look = Look(90, 1.1, 0.5, 1, (66, 28, 79), 1.0)
    >>> image = draw_cell(look, np.random.default_rng(0))
    >>> image.shape, bool(image[0, 0].any()), bool(image[225, 225].any())
    ((450, 450, 3), False, True)
    """
    cell, debris = _masks(look, rng, side)
    top, bottom, left, right = _box(cell | debris)
    window = np.s_[top:bottom, left:right]
    image = np.zeros((side, side, 3), np.uint8)
    image[window] = _coloured(look, rng, cell[window], debris[window])
    return image


def _masks(look: Look, rng: np.random.Generator, side: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    centre = side / 2 + rng.normal(0, 6, 2)
    curve = _outline(look, rng)
    half = np.abs(curve).max(axis=0)
    centre = np.clip(centre, half + 3, side - half - 3)
    cell = _filled(curve + centre, side)
    debris = np.zeros_like(cell)
    if rng.random() < DEBRIS_SHARE:
        start = curve[rng.integers(len(curve))]
        blob = Look(
            float(rng.uniform(0.12, 0.3)) * look.radius, float(rng.uniform(1, 2)), 0, 0, DEBRIS_STAIN, 1
        )
        debris = _filled(_outline(blob, rng) + start + centre, side) & ~cell
    if rng.random() < CUT_SHARE:
        _cut(cell, debris, rng)
    return cell, debris


def _outline(look: Look, rng: np.random.Generator) -> Array:
    """The closed curve of a cell around (0, 0), ``(360, 2)`` pixels, enclosing the area the radius says."""
    angle = np.arange(360) * (2 * np.pi / 360)
    reach = np.ones(360)
    for wave, size in ((2, 0.02), (3, 0.02), (4, 0.012), (5, 0.009), (7, 0.006), (11, 0.004), (23, 0.002)):
        reach += rng.normal(0, size) * np.cos(wave * angle + rng.uniform(0, 2 * np.pi))
    if rng.random() < NOTCHED_SHARE:
        for _ in range(rng.integers(1, 3)):
            width, depth = rng.uniform(0.08, 0.3), rng.gamma(2, 0.035)
            away = np.angle(np.exp(1j * (angle - rng.uniform(0, 2 * np.pi))))
            reach -= min(depth, 0.3) * np.exp(-0.5 * (away / width) ** 2)
    stretch = np.sqrt(look.elongation)
    x, y = reach * np.cos(angle) * stretch, reach * np.sin(angle) / stretch
    turn = rng.uniform(0, 2 * np.pi)
    curve = np.stack((x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)), axis=1)
    area = 0.5 * abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))
    curve *= min(look.radius, LARGEST_RADIUS) * np.sqrt(np.pi / area)
    return np.asarray(curve * min(1.0, 218 / np.abs(curve).max()))


def _filled(curve: Array, side: int) -> NDArray[np.bool_]:
    mask = np.zeros((side, side), np.uint8)
    cv2.fillPoly(mask, [np.rint(curve * 16).astype(np.int32)], 1, shift=4)
    return mask.astype(bool)


def _cut(cell: NDArray[np.bool_], debris: NDArray[np.bool_], rng: np.random.Generator) -> None:
    """Take a straight piece off one side, as where a photograph ends."""
    top, bottom, left, right = _box(cell)
    share, side = rng.uniform(0.04, 0.12), rng.integers(4)
    for mask in (cell, debris):
        if side == 0:
            mask[: top + int(share * (bottom - top))] = False
        elif side == 1:
            mask[bottom - int(share * (bottom - top)) :] = False
        elif side == 2:
            mask[:, : left + int(share * (right - left))] = False
        else:
            mask[:, right - int(share * (right - left)) :] = False


def _box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _coloured(
    look: Look, rng: np.random.Generator, cell: NDArray[np.bool_], debris: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    shape = cell.shape
    inside = cell.astype(np.float64)
    rim = 2 * (1 - cv2.GaussianBlur(inside, (0, 0), 1.6, borderType=cv2.BORDER_CONSTANT))
    shade = 2 * (1 - cv2.GaussianBlur(inside, (0, 0), 9, borderType=cv2.BORDER_CONSTANT))
    light = _chromatin(look, rng, shape) + _nucleoli(look, rng, cell)
    light += 0.05 * _noise(rng, shape, 45) + rng.normal(0, 0.015, shape)
    result = np.zeros((*shape, 3), np.float64)
    for channel, (stain, gain) in enumerate(zip(look.stain, CHANNEL_GAIN, strict=True)):
        edge = (0.34, 0.3, 0.26)[channel] * rim - (0.2, 0.2, 0.02)[channel] * shade
        result[..., channel][cell] = (stain * np.exp(gain * light + edge))[cell]
        pale = DEBRIS_STAIN[channel] * np.exp(0.3 * light)
        result[..., channel][debris] = pale[debris]
    result[cell | debris] = np.clip(result[cell | debris], 2, 255)
    return np.rint(result).astype(np.uint8)


def _chromatin(look: Look, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Density of the chromatin as a change of log intensity: fine grain and coarse clumps in shares."""
    fine = _noise(rng, shape, 3.2)
    coarse = np.tanh(1.3 * _noise(rng, shape, 9))
    share = min(max(look.fineness, 0.0), 1.0)
    return np.asarray(look.contrast * (0.11 * np.sqrt(share) * fine + 0.17 * np.sqrt(1 - share) * coarse))


def _nucleoli(look: Look, rng: np.random.Generator, cell: NDArray[np.bool_]) -> Array:
    """Pale discs with a darker ring, inside the cell."""
    light = np.zeros(cell.shape)
    height, width = cell.shape
    y, x = np.mgrid[:height, :width].astype(np.float64)
    for _ in range(look.nucleoli):
        angle, reach = rng.uniform(0, 2 * np.pi), 0.62 * np.sqrt(rng.random())
        centre = (
            width / 2 + reach * np.cos(angle) * width / 2,
            height / 2 + reach * np.sin(angle) * height / 2,
        )
        radius, light_of = rng.uniform(7, 12), rng.uniform(0.22, 0.36)
        away = np.hypot(x - centre[0], y - centre[1]) / radius
        light += light_of * np.exp(-(away**4)) - 0.4 * light_of * np.exp(-(((away - 1.5) / 0.35) ** 2))
    return light


def _noise(rng: np.random.Generator, shape: tuple[int, ...], sigma: float) -> Array:
    """Gaussian noise of unit variance, smooth at ``sigma`` pixels; drawn small and enlarged if coarse."""
    step = max(1, int(sigma // 2.5))
    small = (shape[0] // step + 4, shape[1] // step + 4)
    scale = sigma / step
    drawn = cv2.GaussianBlur(rng.standard_normal(small), (0, 0), scale, borderType=cv2.BORDER_REFLECT)
    drawn *= (
        2 * np.sqrt(np.pi) * scale
    )  # the standard deviation of blurred white noise is 1 / (2 sqrt(pi) sigma)
    large = cv2.resize(drawn, (small[1] * step, small[0] * step), interpolation=cv2.INTER_CUBIC)
    return np.asarray(large[2 * step : 2 * step + shape[0], 2 * step : 2 * step + shape[1]])
