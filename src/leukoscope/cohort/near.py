"""Near copies: one cell in two pictures, turned, mirrored, moved, zoomed, re-compressed, photographed again.

All cells are purple discs on black, so that a hash of the whole picture calls thousands of pairs of
different people alike. What tells cells apart is their inside. A cell is laid on a canvas of 64 x 64 pixels
on which every cell has the same area and the same centre. There the brightness is replaced by how much each
pixel differs from its surroundings, in units of the usual difference there: the *texture*. Three steps then
find the copies.

1. *Propose.* The texture is transformed by Fourier along the angle, ring by ring. How strong each wave is
   on each ring, its *signature*, stays when the cell is turned or mirrored: one matrix product proposes few
   pairs of many.
2. *Turn.* Where the strengths agree, the phases tell the turn at which the cells agree best, and how well.
3. *Confirm.* The cells are laid on each other at that turn, and the correlation of the textures inside both
   outlines is taken at the best of a few smaller turns and of all shifts of up to 4 pixels of the original.

The limits are set on 5,030 real cells of 45 subjects: see docs/decisions/0301-near-copies.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from leukoscope.core.progress import progress

PROPOSED, TURNED, CONFIRMED = 0.45, 0.6, 0.82
"""Least correlations of the three steps. Of 12.1 million pairs of real cells of different people one in ten
thousand is proposed by accident, six agree at some turn, none reads more than 0.77 when it is confirmed.
A cell photographed twice reads 0.88 or more; a turned, mirrored, moved or re-compressed copy 0.97 or more."""

DARK = 12  # lossy compression leaves up to about that much around a cell
FLAT = 0.1  # root mean square of the texture, usually 0.6, below which there is nothing to compare
CANVAS = 64
RADIUS = 0.4 * CANVAS  # of the circle of the cell's area, in pixels of the canvas
MIDDLE = (CANVAS - 1) / 2
SURROUNDINGS = 0.16 * RADIUS  # standard deviation of the Gaussian that says what is near
NUM_WAVES, NUM_RINGS, NUM_TURNS = 16, 16, 64
SHIFT = 2  # pixels of the canvas: a little more than 4 of a cell 200 pixels wide
SMALL_TURNS = (-2.8, -1.4, 0.0, 1.4, 2.8)  # degrees, half a step of NUM_TURNS to either side
PAIRS_AT_ONCE = 4_000_000

Float = npt.NDArray[np.float32]
Complex = npt.NDArray[np.complex64]
Picture = npt.NDArray[np.uint8]


class Print(NamedTuple):
    """What is kept of a cell to find copies of it; 15 kilobytes.

    Attributes:
        texture: float16 ``(64, 64)``, 0 outside the cell.
        inside: bool ``(64, 64)``, a little smaller than the cell.
        spectrum: complex64 ``(16 waves around, 16 rings)``, of unit norm.
        signature: float32 ``(256,)``, of unit norm.
    """

    texture: npt.NDArray[np.float16]
    inside: npt.NDArray[np.bool_]
    spectrum: Complex
    signature: Float


class NearCopy(NamedTuple):
    """Two cells, by their places in the list, that show the same; ``similarity`` is at most 1."""

    first: int
    second: int
    similarity: float


def take_print(image: Picture) -> Print | None:
    """The print of a cell; ``None`` for a picture that has no inside to compare (blank, or of one colour).

    Args:
        image: uint8 ``(H, W, 3)`` RGB.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    cell = _largest_body(grey)
    if cell is None:
        return None
    light, cover = _on_canvas(grey, cell)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    inside = cv2.erode(np.uint8(cover > 0.5), kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    texture = _texture(light, inside.astype(np.float32))
    if np.linalg.norm(texture) < FLAT * np.sqrt(max(int(inside.sum()), 100)):
        return None
    spectrum = _spectrum(texture)
    spectrum /= np.linalg.norm(spectrum)
    return Print(texture.astype(np.float16), inside.astype(bool), spectrum, _signature(spectrum))


def similarity(one: Print, other: Print) -> float:
    """How much two cells show the same: the confirmed correlation at the best turn, -1 to 1, 1 for a copy."""
    turns = [_best_turn(one, other, mirrored) for mirrored in (False, True)]
    return max(_confirm(one, other, turn, mirrored) for _, turn, mirrored in turns)


def near_copies(prints: Sequence[Print | None], sides: Sequence[int]) -> list[NearCopy]:
    """All pairs of near copies of which the two cells are on different sides.

    Args:
        prints: of the cells; ``None`` is like nothing.
        sides: the side of each cell, any whole numbers.

    Returns:
        The pairs, ``first < second``, in the order of the cells.
    """
    found = []
    for first, second in _proposals(prints, np.asarray(sides)):
        one, other = prints[first], prints[second]
        assert one is not None and other is not None
        turns = [_best_turn(one, other, mirrored) for mirrored in (False, True)]
        correlations = [
            _confirm(one, other, turn, mirrored) for score, turn, mirrored in turns if score > TURNED
        ]
        if correlations and max(correlations) > CONFIRMED:
            found.append(NearCopy(min(first, second), max(first, second), max(correlations)))
    return sorted(found)


def _largest_body(grey: Picture) -> Picture | None:
    """Mask (0, 255) of the largest connected part that is not dark; ``None`` when all is."""
    num, parts, facts, _ = cv2.connectedComponentsWithStats(np.uint8(grey > DARK), connectivity=4)
    if num < 2:
        return None
    largest = 1 + int(facts[1:, cv2.CC_STAT_AREA].argmax())
    return np.asarray(cv2.inRange(parts, largest, largest), np.uint8)


def _on_canvas(grey: Picture, cell: Picture) -> tuple[Float, Float]:
    """Brightness and cover (0..1) of a cell, brought to the common area and centre."""
    x, y, width, height = cv2.boundingRect(cell)
    cell = cell[y : y + height, x : x + width]
    grey = cv2.bitwise_and(grey[y : y + height, x : x + width], cell)
    moments = cv2.moments(cell, binaryImage=True)
    scale = RADIUS / np.sqrt(moments["m00"] / np.pi)
    step = max(1, int(1 / scale + 1e-6))  # whole pixels are averaged first, so that nothing fine is aliased
    centre = np.array([moments["m10"], moments["m01"]]) / moments["m00"]
    shift = MIDDLE - scale * step * ((centre + 0.5) / step - 0.5)
    matrix = np.array([[scale * step, 0, shift[0]], [0, scale * step, shift[1]]])
    light, cover = (_reduced(plane, step, matrix) for plane in (grey, cell))
    cover /= 255
    return np.where(cover > 0.05, light / np.maximum(cover, 0.05), 0), cover


def _reduced(plane: Picture, step: int, matrix: npt.NDArray[np.float64]) -> Float:
    height, width = plane.shape
    padded = cv2.copyMakeBorder(plane, 0, -height % step, 0, -width % step, cv2.BORDER_CONSTANT)
    size = (padded.shape[1] // step, padded.shape[0] // step)
    small = cv2.resize(padded.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.warpAffine(small, matrix, (CANVAS, CANVAS)), np.float32)


def _texture(light: Float, inside: Float) -> Float:
    """Difference from the surroundings over the usual difference there; only the inside is looked at."""

    def near(plane: npt.NDArray[Any]) -> Float:
        return np.asarray(cv2.GaussianBlur(plane, (0, 0), SURROUNDINGS), np.float32)

    weight = np.maximum(near(inside), 1e-3)
    detail = (light - near(light * inside) / weight) * inside
    usual = np.sqrt(near(detail**2) / weight)
    overall = np.sqrt((detail**2).sum() / max(inside.sum(), 1))
    # Half of the overall difference is added below, so that a smooth part of a cell is not blown up to noise.
    return np.asarray(detail / (usual + 0.5 * overall + 0.05), np.float32)


def _spectrum(texture: Float) -> Complex:
    """Waves 1 to 16 around the centre, on each of 16 rings."""
    size, flags = (NUM_RINGS, NUM_TURNS), cv2.INTER_LINEAR | cv2.WARP_POLAR_LINEAR
    polar = cv2.warpPolar(texture, size, (MIDDLE, MIDDLE), 0.92 * RADIUS, flags)
    polar *= np.sqrt(np.arange(NUM_RINGS, dtype=np.float32) + 0.5)  # outer rings stand for more of the cell
    return np.fft.rfft(polar, axis=0)[1 : NUM_WAVES + 1].astype(np.complex64)


def _signature(spectrum: Complex) -> Float:
    """What is particular about the strengths: their roots less a smooth version, which all cells share."""
    strength = np.sqrt(np.abs(spectrum))
    particular = strength - cv2.GaussianBlur(strength, (0, 0), 2, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(particular / max(np.linalg.norm(particular), 1e-9), np.float32).ravel()


def _proposals(prints: Sequence[Print | None], sides: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Places of two cells on different sides whose signatures agree."""
    there = np.array([place for place, one in enumerate(prints) if one is not None], np.int64)
    if not len(there):
        return
    signatures = np.stack([one.signature for one in prints if one is not None])
    blocks = list(_blocks(sides[there]))
    with progress("comparing cells", sum(len(here) for here, _ in blocks)) as bar:
        for here, away in blocks:
            agreement = signatures[here] @ signatures[away].T
            for row, column in np.argwhere(agreement > PROPOSED):
                yield int(there[here[row]]), int(there[away[column]])
            bar.advance(len(here))


def _blocks(sides: npt.NDArray[np.int64]) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Places to compare with places: every pair of different sides once, a bounded number at a time."""
    for side in np.unique(sides)[:-1]:
        own, away = np.flatnonzero(sides == side), np.flatnonzero(sides > side)
        step = max(1, PAIRS_AT_ONCE // len(away))
        for start in range(0, len(own), step):
            yield own[start : start + step], away


def _turns() -> Float:
    phases = 2 * np.pi / NUM_TURNS * np.outer(np.arange(NUM_TURNS), np.arange(1, NUM_WAVES + 1))
    return np.concatenate([np.cos(phases), -np.sin(phases)], axis=1).astype(np.float32)


_TURNS = _turns()


def _best_turn(one: Print, other: Print, mirrored: bool) -> tuple[float, float, bool]:
    """The correlation at the best of 64 turns of ``other``, that turn in degrees, and ``mirrored``."""
    seen = (
        other.spectrum if mirrored else other.spectrum.conj()
    )  # a mirror turns the angle, and so the phases
    product = (one.spectrum * seen).sum(axis=1)
    scores = _TURNS @ np.concatenate([product.real, product.imag])
    best = int(scores.argmax())
    return float(scores[best]), best * 360 / NUM_TURNS, mirrored


def _confirm(one: Print, other: Print, turn: float, mirrored: bool) -> float:
    """The correlation of two cells when ``other`` is mirrored, turned and laid on ``one``."""
    texture, inside = (np.asarray(plane, np.float32) for plane in (other.texture, other.inside))
    if mirrored:
        texture, inside = np.ascontiguousarray(texture[::-1]), np.ascontiguousarray(inside[::-1])
    own = [np.pad(np.asarray(plane, np.float32), SHIFT) for plane in (one.texture, one.inside)]
    best = -1.0
    for small in SMALL_TURNS:
        matrix = cv2.getRotationMatrix2D((MIDDLE, MIDDLE), small - turn, 1)
        turned = cv2.warpAffine(texture, matrix, (CANVAS, CANVAS))
        within = np.asarray(cv2.warpAffine(inside, matrix, (CANVAS, CANVAS)) > 0.5, np.float32)
        best = max(best, _correlation(own[0], own[1], turned * within, within))
    return best


def _correlation(texture: Float, inside: Float, other: Float, within: Float) -> float:
    """The largest correlation over all shifts, each taken where both cells are."""
    product = cv2.matchTemplate(texture, other, cv2.TM_CCORR)
    strength = cv2.matchTemplate(texture**2, within, cv2.TM_CCORR)
    others = cv2.matchTemplate(inside, other**2, cv2.TM_CCORR)
    return float((product / np.sqrt(np.maximum(strength * others, 1e-6))).max())
