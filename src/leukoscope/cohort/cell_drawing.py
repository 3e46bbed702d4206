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
Mask = NDArray[np.bool_]

MARGIN = 7  # pixels that stay black at every side
DEBRIS_SHARE, CUT_SHARE, NOTCHED_SHARE, RAGGED_SHARE = 0.12, 0.05, 0.45, 0.25
DEBRIS_STAIN = np.array([[98.0], [72.0], [88.0]])
# How strongly light and dark show in red, green and blue: green absorbs most in real cells.
LIGHT_GAIN = np.array([[0.8], [1.2], [0.55]])
RIM_GAIN = np.array([[0.42], [0.52], [0.3]])  # the last two pixels are paler
SHADE_GAIN = np.array([[-0.26], [-0.22], [-0.06]])  # and what lies below them is darker and bluer
OUTLINE_WAVES = (
    (2, 0.035),
    (3, 0.032),
    (4, 0.02),
    (5, 0.014),
    (6, 0.01),
    (8, 0.007),
    (11, 0.005),
    (17, 0.003),
)
FRINGE_WAVES = ((13, 0.006), (18, 0.006), (23, 0.006), (29, 0.006), (37, 0.005), (47, 0.004), (59, 0.003))


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


def _masks(look: Look, rng: np.random.Generator, side: int) -> tuple[Mask, Mask]:
    """The cell and the debris on it, ``(side, side)`` each."""
    curve = draw_outline(look.radius, look.elongation, rng, ragged=rng.random() < RAGGED_SHARE)
    curve *= min(1.0, (side / 2 - MARGIN) / np.abs(curve).max())
    reach = np.abs(curve).max(axis=0) + MARGIN
    centre = np.clip(side / 2 + rng.normal(0, 6, 2), reach, side - reach)
    cell = fill_outline(curve + centre, side)
    debris = np.zeros_like(cell)
    if rng.random() < DEBRIS_SHARE:
        radius, elongation = look.radius * rng.uniform(0.12, 0.35), rng.uniform(1, 3)
        spot = centre + curve[rng.integers(len(curve))]
        debris = (
            fill_outline(draw_outline(radius, elongation, rng, ragged=True, rough=3) + spot, side) & ~cell
        )
    if rng.random() < CUT_SHARE:
        keep = _kept(cell, rng)
        cell, debris = cell & keep, debris & keep
    return cell, debris


def draw_outline(
    radius: float, elongation: float, rng: np.random.Generator, *, ragged: bool, rough: float = 1.0
) -> Array:
    """A closed curve around (0, 0), ``(360, 2)`` pixels, with the area of a circle of that radius."""
    angle: Array = np.arange(360, dtype=np.float64) * (2 * np.pi / 360)
    reach = np.ones(360)
    for wave, size in OUTLINE_WAVES:
        reach += rng.normal(0, size * rough) * np.cos(wave * angle + rng.uniform(0, 2 * np.pi))
    if ragged:
        reach += rough * _fringe(angle, rng)
    if rng.random() < NOTCHED_SHARE:
        reach -= _notches(angle, rng)
    reach = np.maximum(reach, 0.25)
    stretch = np.sqrt(elongation)
    x, y = reach * np.cos(angle) * stretch, reach * np.sin(angle) / stretch
    area = 0.5 * abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))
    turn = rng.uniform(0, 2 * np.pi)
    turned = (x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn))
    return np.asarray(np.stack(turned, axis=1) * radius * np.sqrt(np.pi / area))


def _fringe(angle: Array, rng: np.random.Generator) -> Array:
    """A torn rim, mostly at one side, as a share of the radius at each angle."""
    fringe = sum(
        rng.normal(0, size) * np.cos(wave * angle + rng.uniform(0, 2 * np.pi)) for wave, size in FRINGE_WAVES
    )
    return np.asarray(fringe * (1 + np.cos(angle - rng.uniform(0, 2 * np.pi))))


def _notches(angle: Array, rng: np.random.Generator) -> Array:
    """One or two dents in an outline, as a share of its radius at each angle."""
    dents = np.zeros_like(angle)
    for _ in range(rng.integers(1, 3)):
        width, depth = rng.uniform(0.07, 0.35), min(rng.gamma(2, 0.04), 0.35)
        away = (angle - rng.uniform(0, 2 * np.pi) + np.pi) % (2 * np.pi) - np.pi
        dents += depth * np.exp(-0.5 * (away / width) ** 2)
    return dents


def fill_outline(curve: Array, side: int) -> Mask:
    """What a closed curve ``(N, 2)`` holds, in a square of ``side`` pixels."""
    mask = np.zeros((side, side), np.uint8)
    cv2.fillPoly(mask, [np.rint(curve * 16).astype(np.int32)], 1, shift=4)
    return mask.astype(bool)


def _kept(cell: Mask, rng: np.random.Generator) -> Mask:
    """All but a straight piece at one side of the cell, as where a photograph ends."""
    keep = np.zeros_like(cell)
    top, bottom, left, right = _box(cell)
    share = rng.uniform(0.04, 0.14)
    high, wide = int(share * (bottom - top)), int(share * (right - left))
    sides = (
        np.s_[top + high :, :],
        np.s_[: bottom - high, :],
        np.s_[:, left + wide :],
        np.s_[:, : right - wide],
    )
    keep[sides[rng.integers(4)]] = True
    return keep


def _box(mask: Mask) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _coloured(look: Look, rng: np.random.Generator, cell: Mask, debris: Mask) -> NDArray[np.uint8]:
    """Colours of the cell and of the debris on it, uint8 ``(H, W, 3)``."""
    light = look.contrast * _chromatin(look.fineness, rng, cell.shape) + 0.06 * _noise(rng, cell.shape, 45)
    light += rng.normal(0, 0.02, cell.shape)
    for _ in range(look.nucleoli):
        _add_spot(light, rng, radius=rng.uniform(7, 12), height=rng.uniform(0.2, 0.34), ring=0.4)
    for _ in range(rng.poisson(1.2)):
        _add_spot(light, rng, radius=rng.uniform(4, 8), height=rng.uniform(0.12, 0.4), ring=0.0)
    result = np.zeros((*cell.shape, 3), np.uint8)
    edge = RIM_GAIN * _towards_edge(cell, 1.5)[cell] + SHADE_GAIN * _towards_edge(cell, 10)[cell]
    inside = np.array(look.stain)[:, None] * np.exp(LIGHT_GAIN * light[cell] + edge)
    result[cell] = np.rint(np.clip(inside, 2, 255)).T
    result[debris] = np.rint(DEBRIS_STAIN * np.exp(0.3 * LIGHT_GAIN * light[debris])).T
    return result


def _chromatin(fineness: float, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Log intensity of the chromatin: fine grain and coarse clumps in shares."""
    fine, coarse = _noise(rng, shape, 3.2), np.tanh(0.9 * _noise(rng, shape, 9.5))
    return np.asarray(0.105 * np.sqrt(fineness) * fine + 0.2 * np.sqrt(1 - fineness) * coarse)


def _add_spot(light: Array, rng: np.random.Generator, *, radius: float, height: float, ring: float) -> None:
    """Add a pale disc somewhere in the inner part, with a darker ring ``ring`` times as strong."""
    rows, columns = light.shape
    angle, away = rng.uniform(0, 2 * np.pi), 0.33 * np.sqrt(rng.random())
    y, x = rows * (0.5 + away * np.sin(angle)), columns * (0.5 + away * np.cos(angle))
    reach = int(2.6 * radius)
    top, left = max(int(y) - reach, 0), max(int(x) - reach, 0)
    part = light[top : int(y) + reach, left : int(x) + reach]
    grid = np.ogrid[top : top + part.shape[0], left : left + part.shape[1]]
    distance = np.sqrt((grid[0] - y) ** 2 + (grid[1] - x) ** 2) / radius
    part += height * (np.exp(-(distance**4)) - ring * np.exp(-(((distance - 1.5) / 0.35) ** 2)))


def _towards_edge(cell: Mask, sigma: float) -> Array:
    """1 at the edge of the cell, falling to 0 within about two ``sigma`` pixels inside it."""
    soft = cv2.GaussianBlur(cell.astype(np.float64), (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(2 * (1 - soft))


def _noise(rng: np.random.Generator, shape: tuple[int, ...], sigma: float) -> Array:
    """Gaussian noise of unit variance, smooth at ``sigma`` pixels; drawn small and enlarged if coarse."""
    step = max(1, int(sigma // 2.5))
    rows, columns = shape[0] // step + 4, shape[1] // step + 4
    scale = sigma / step
    drawn = cv2.GaussianBlur(
        rng.standard_normal((rows, columns)), (0, 0), scale, borderType=cv2.BORDER_REFLECT
    )
    drawn *= (
        2 * np.sqrt(np.pi) * scale
    )  # white noise blurred by s has the standard deviation 1 / (2 sqrt(pi) s)
    large = cv2.resize(drawn, (columns * step, rows * step), interpolation=cv2.INTER_CUBIC)
    return np.asarray(large[2 * step : 2 * step + shape[0], 2 * step : 2 * step + shape[1]])
