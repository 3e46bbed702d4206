"""Cells of C-NMC laid into photographs: their colours as they are, the edge as soft as optics make it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from leukoscope.cells.segmentation.found import FoundCell
from leukoscope.cells.segmentation.shapes import filled
from smear.fields import Box
from smear.masks import boxed


class Sprite(NamedTuple):
    """A cell on its own.

    Attributes:
        pixels: uint8 (h, w, 3); beyond the cell the colour of its nearest part.
        mask: bool (h, w): the cell; ``margin`` pixels on each side are outside.
    """

    pixels: np.ndarray
    mask: np.ndarray


def lifted(cell: np.ndarray, *, margin: int = 20) -> Sprite:
    """A cell off its black ground: uint8 (H, W, 3) with all that is not black, and no hole.

    C-NMC's outermost pixels are mixed with that black, which was in no photograph: they get the colour of
    their neighbours, and so does what is black inside.
    """
    mask = filled(cell.any(axis=2).astype(np.uint8))
    x, y, width, height = cv2.boundingRect(mask)
    pad = (margin,) * 4
    inside = cv2.copyMakeBorder(mask[y : y + height, x : x + width], *pad, cv2.BORDER_CONSTANT, value=0)
    pixels = cv2.copyMakeBorder(cell[y : y + height, x : x + width], *pad, cv2.BORDER_CONSTANT, value=0)
    core = cv2.erode(pixels.any(axis=2).astype(np.uint8), np.ones((3, 3), np.uint8))
    return Sprite(_spread(pixels, core if core.any() else inside), inside > 0)


def _spread(pixels: np.ndarray, core: NDArray[np.uint8]) -> np.ndarray:
    """The pixels of the core, and elsewhere the colour of its nearest one."""
    _, labels = cv2.distanceTransformWithLabels(1 - core, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    colours = np.zeros((int(labels.max()) + 1, 3), np.uint8)
    colours[labels[core > 0]] = pixels[core > 0]
    return np.asarray(colours[labels])


def pasted(field: np.ndarray, sprite: Sprite, x: int, y: int, *, softness: float) -> np.ndarray:
    """The field with the sprite's first pixel at ``x, y``.

    Within the outline the cell is as it is: whatever blur of the optics C-NMC's outline encloses is in it.
    Outside it fades like a Gaussian of deviation ``softness`` pixels.
    """
    height, width = sprite.mask.shape
    away = cv2.distanceTransform(1 - sprite.mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    share = np.exp(-0.5 * (away / softness) ** 2)[..., None]
    window = np.s_[y : y + height, x : x + width]
    result = field.copy()
    mixed = share * sprite.pixels + (1 - share) * field[window]
    result[window] = np.rint(mixed).astype(np.uint8)
    return result


def taken_by(shape: tuple[int, ...], boxes: Iterable[Box], *, gap: float) -> NDArray[np.bool_]:
    """(H, W): what lies in one of the boxes, or as near as ``gap`` pixels."""
    taken = np.zeros(shape[:2], bool)
    for left, top, right, bottom in boxes:
        rows = slice(max(int(top - gap), 0), max(int(np.ceil(bottom + gap)), 0))
        taken[rows, max(int(left - gap), 0) : max(int(np.ceil(right + gap)), 0)] = True
    return taken


def free_place(
    taken: NDArray[np.bool_], size: tuple[int, ...], rng: np.random.Generator
) -> tuple[int, int] | None:
    """``x, y`` where a box of ``size`` (h, w) holds nothing that is taken; any such place is as likely.

    None where there is none.
    """
    height, width = size
    if height > taken.shape[0] or width > taken.shape[1]:
        return None
    sums = cv2.integral(taken.astype(np.uint8))
    inside = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    rows, columns = np.nonzero(inside == 0)
    if not len(rows):
        return None
    chosen = int(rng.integers(len(rows)))
    return int(columns[chosen]), int(rows[chosen])


def reduced(cell: FoundCell, shape: tuple[int, ...], size: tuple[int, int]) -> FoundCell:
    """The cell in its photograph (H, W, ...) when that is brought to ``size`` (width, height)."""
    canvas = np.zeros(shape[:2], np.float32)
    x, y, width, height = cell.box
    canvas[y : y + height, x : x + width] = cell.mask
    return boxed(cv2.resize(canvas, size, interpolation=cv2.INTER_AREA) >= 0.5)
