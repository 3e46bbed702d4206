"""A photograph of a smear: read at any size, and one cell cut out of it in C-NMC's style."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from leukoscope.cells.decode import decode
from leukoscope.cells.formats import sniff
from leukoscope.cells.light import Light
from leukoscope.cells.limits import Limits, check_pixels
from leukoscope.cells.pictures import header_size
from leukoscope.cells.segmentation.found import NOT_LYMPHOID, FoundCell, is_cell, is_single
from leukoscope.errors import ImageTooLargeError, TruncatedImageError

SIDE = 450
"""Of a cut-out cell, pixels, as in C-NMC 2019; wider cells get a wider picture."""

LARGEST = Limits(max_bytes=8 * 2**30, max_pixels=1_000_000_000)
"""What is refused as a photograph: it is held as a whole, three bytes a pixel."""

_BEGINNING = 2**16  # bytes that hold the header


def read_photograph(path: Path | str) -> np.ndarray:
    """Read one photograph: uint8 ``(H, W, 3)`` RGB.

    Up to 100 million pixels :func:`~leukoscope.cells.decode.decode` reads it, with all that it checks; larger
    ones go from the file to the array without a copy of either.

    Raises:
        ImageError: as ``decode``, with limits of :data:`LARGEST`.
    """
    try:
        return decode(path)
    except ImageTooLargeError:
        return _read_large(Path(path))


def _read_large(path: Path) -> np.ndarray:
    title = str(path)
    with path.open("rb") as stream:
        form = sniff(stream.read(_BEGINNING), title)
    width, height = header_size(form, path)
    check_pixels(title, width, height, LARGEST)
    there = np.empty((height, width, 3), np.uint8)  # without a place to read to, OpenCV holds it twice
    try:
        image = cv2.imread(title, there, cv2.IMREAD_COLOR_RGB)
    except cv2.error:
        image = None
    if image is None or not image.size:
        raise TruncatedImageError(
            title, f"damaged, or a kind of {form.name} that is not read at this size", hint="copy it again"
        )
    return np.asarray(image)


def cut_out(
    image: np.ndarray, cell: FoundCell, factor: float = 1.0, light: Light | None = None
) -> np.ndarray:
    """One cell as C-NMC shows it: in the middle of a black square, everything outside of its mask black.

    Args:
        image: the photograph, uint8 ``(H, W, 3)`` RGB.
        cell: found in it.
        factor: by which it is enlarged, so that the result has the wanted micrometres per pixel.
        light: of the photograph, to be taken out; without it, pixels are as they are.

    Returns:
        uint8 ``(450, 450, 3)``, or larger where the cell would not fit; no pixel inside is black.
    """
    x, y, width, height = cell.box
    size = max(round(width * factor), 1), max(round(height * factor), 1)
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    part = image[y : y + height, x : x + width]
    part = part if light is None else light.even(part, x, y)
    pixels = cv2.resize(part, size, interpolation=how)
    smooth = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    inside = cv2.resize(cell.mask.astype(np.float32), size, interpolation=smooth) >= 0.5
    side = max(SIDE, *size)
    left, top = (side - size[0]) // 2, (side - size[1]) // 2
    result = np.zeros((side, side, 3), np.uint8)
    window = result[top : top + size[1], left : left + size[0]]
    window[inside] = np.maximum(pixels[inside], 1)
    return result


def with_outline(cell: np.ndarray) -> np.ndarray:
    """A cell on black with its outermost pixels mixed half with that black, as C-NMC's are.

    C-NMC was brought to its size with the black around, so that its outermost pixels have half of their
    neighbours' brightness (0.53 in the mean). What was trained on it knows a cell by that line: without it,
    healthy cells are called blasts.

    Args:
        cell: uint8 ``(H, W, 3)``, not changed.

    Returns:
        uint8 ``(H, W, 3)``; no pixel of the cell becomes black.
    """
    inside = cell.any(axis=2).astype(np.uint8)
    inner = cv2.erode(inside, cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)), borderValue=1)
    line = inside > inner
    result = cell.copy()
    result[line] = np.maximum(cell[line] // 2, 1)
    return result


def colour_of(flags: Iterable[str]) -> tuple[int, int, int]:
    """RGB of an outline: green for whole single cells, blue where these are not lymphoid, orange for other
    white cells, grey for no cells."""
    some = tuple(flags)
    if not is_single(some):
        return (215, 95, 0) if is_cell(some) else (90, 90, 90)
    return (20, 90, 200) if NOT_LYMPHOID.intersection(some) else (0, 150, 0)


def draw_outline(
    picture: np.ndarray, outline: np.ndarray, colour: tuple[int, int, int], *, thickness: int = 2
) -> None:
    """A closed line through corners ``(N, 2)``, ``x, y`` in pixels of the picture, whole or not."""
    corners = np.rint(outline * 16).astype(np.int32)
    cv2.polylines(picture, [corners], True, colour, thickness, cv2.LINE_AA, shift=4)


class Drawn(NamedTuple):
    """What an overlay shows of one thing: its outline ``(N, 2)`` in the photograph, and its flags."""

    outline: NDArray[np.int32]
    flags: tuple[str, ...]


def reduced(image: np.ndarray, longest: int) -> np.ndarray:
    """A copy whose longer side has at most ``longest`` pixels."""
    factor = min(1.0, longest / max(image.shape[:2]))
    size = max(round(image.shape[1] * factor), 1), max(round(image.shape[0] * factor), 1)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def draw_overlay(image: np.ndarray, found: Sequence[Drawn], *, longest: int = 2000) -> np.ndarray:
    """The photograph, reduced to ``longest``, and what was found, numbered from 1 and with its flags.

    Colours are those of :func:`colour_of`.
    """
    picture, factor = reduced(image, longest), min(1.0, longest / max(image.shape[:2]))
    for number, (outline, flags) in enumerate(found, start=1):
        colour = colour_of(flags)
        draw_outline(picture, outline * factor, colour)
        x, y = int(outline[:, 0].min() * factor), int(outline[:, 1].max() * factor) + 18
        place = (max(x, 2), min(y, picture.shape[0] - 4))
        words = " ".join([str(number), *flags])
        cv2.putText(picture, words, place, cv2.FONT_HERSHEY_SIMPLEX, 0.55, colour, 2, cv2.LINE_AA)
    return picture
