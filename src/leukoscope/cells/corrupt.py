"""What may go wrong with a picture on its way from the slide: focus, light, files, stain, scale, outline.

Each function takes a picture and gives another of the same shape, uint8 (H, W, 3) RGB. Black (0, 0, 0) is
what lies around a segmented cell. It is not darkness, so none of it comes into the cell, and it stays black
but for JPEG, which leaves noise in it, and :func:`on_ground`, which replaces it.
Training varies cells in batches of its own (``training/``); here one picture is changed by a stated amount.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

Image = NDArray[np.uint8]
Severity = Literal["mild", "strong"]

GROUND = (228, 215, 200)
"""Red, green, blue of an empty part of a smear: halfway between those of two public collections."""

GIEMSA = np.array([[0.834750233, 0.513556283, 0.196330403], [0.092789, 0.954111, 0.283111]])
"""Optical density in red, green and blue of methylene blue and of eosin (G. Landini's vectors for Ruifrok &
Johnston's colour deconvolution)."""


def blurred(image: Image, sigma: float) -> Image:
    """Out of focus: a Gaussian of ``sigma`` pixels, over what is not black.

    >>> bool((blurred(np.full((9, 9, 3), 77, np.uint8), 2.0) == 77).all())
    True
    """
    solid = _solid(image)
    if not sigma or not solid.any():
        return image.copy()
    x, y, width, height = cv2.boundingRect(solid)
    box = np.s_[y : y + height, x : x + width]
    blur = partial(cv2.GaussianBlur, ksize=(0, 0), sigmaX=sigma, borderType=cv2.BORDER_CONSTANT)
    result = image.copy()
    result[box] = _over(blur, image[box], solid[box], solid[box])
    return result


def exposed(image: Image, stops: float) -> Image:
    """More or less light: 2 to the power of ``stops`` times as much, of values as sRGB encodes them.

    >>> int(exposed(np.full((1, 1, 3), 100, np.uint8), 1.0)[0, 0, 0])
    138
    """
    values = np.arange(256) / 255
    light = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4) * 2**stops
    light = np.minimum(light, 1)
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    table = np.rint(255 * encoded).astype(np.uint8)
    return _staying_solid(np.asarray(cv2.LUT(image, table), dtype=np.uint8), _solid(image))


def through_jpeg(image: Image, quality: int) -> Image:
    """Written as JPEG of this quality (1 to 95, chroma halved as usual) and read again."""
    stream = io.BytesIO()
    Pillow.fromarray(image).save(stream, format="JPEG", quality=quality)
    return np.array(Pillow.open(stream))


def restained(image: Image, share: float) -> Image:
    """Bluer: ``1 + share`` times as much of the blue dye, ``1 - share`` times as much eosin; redder below 0.

    Amounts of dye are parts of the optical density, in which dyes add (Beer-Lambert; Ruifrok & Johnston
    2001). What neither dye explains stays.
    """
    dyes = np.vstack([GIEMSA, np.cross(GIEMSA[0], GIEMSA[1])])
    change = np.linalg.inv(dyes) @ np.diag([1 + share, 1 - share, 1]) @ dyes
    result, solid = image.copy(), _solid(image)
    inside = solid > 0
    density = -np.log((image[inside] + np.float32(1)) / 256)
    result[inside] = np.rint(256 * np.exp(-np.maximum(density @ change, 0)) - 1)
    return _staying_solid(result, solid)


def scaled(image: Image, factor: float) -> Image:
    """Another magnification: ``factor`` times as wide and high, about the middle of what is not black.

    The picture keeps its size; what grows beyond it is cut off, and beside what shrinks from it is black.
    """
    solid = _solid(image)
    if not solid.any():
        return image.copy()
    x, y, width, height = cv2.boundingRect(solid)
    # pixel centres: a box of w pixels from x has its middle at x + (w - 1) / 2
    middle = np.array([x + (width - 1) / 2, y + (height - 1) / 2])
    reach = np.array([width, height]) * max(factor, 1) / 2 + 1
    left, top = np.maximum(middle - reach, 0).astype(int)
    right, bottom = np.minimum(middle + reach + 1, image.shape[1::-1]).astype(int)
    here = middle - (left, top)
    matrix = np.column_stack([np.eye(2) * factor, here - factor * here])
    warp = partial(cv2.warpAffine, M=matrix, dsize=(right - left, bottom - top), flags=cv2.INTER_LINEAR)
    box = np.s_[top:bottom, left:right]
    kept = (warp(solid[box].astype(np.float32)) >= 0.5).astype(np.uint8)
    result = np.zeros_like(image)
    result[box] = _over(warp, image[box], solid[box], kept)
    return result


def on_ground(image: Image, margin: float) -> Image:
    """Badly segmented: black becomes an empty smear (:data:`GROUND`) up to ``margin`` pixels from the cell,
    everywhere where that is infinite."""
    away = cv2.distanceTransform(1 - _solid(image), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    rim = ((away > 0) & (away <= margin)).astype(np.uint8)
    return np.asarray(cv2.copyTo(np.full_like(image, GROUND), rim, image.copy()), dtype=np.uint8)


class Corruption(NamedTuple):
    """One thing that goes wrong, and how much.

    Attributes:
        kind: what: ``"blur"``.
        severity: how much of it, in a word.
        amount: in numbers, with the unit: ``"3 pixels"``.
        apply: a picture uint8 (H, W, 3) to the same with this wrong.
    """

    kind: str
    severity: Severity
    amount: str
    apply: Callable[[Image], Image]

    @property
    def name(self) -> str:
        """Kind and severity: ``"blur, mild"``."""
        return f"{self.kind}, {self.severity}"


CORRUPTIONS: tuple[Corruption, ...] = (
    Corruption("blur", "mild", "Gaussian of 1 pixel", partial(blurred, sigma=1)),
    Corruption("blur", "strong", "Gaussian of 3 pixels", partial(blurred, sigma=3)),
    Corruption("darker", "mild", "−0.25 stops", partial(exposed, stops=-0.25)),
    Corruption("darker", "strong", "−0.5 stops", partial(exposed, stops=-0.5)),
    Corruption("brighter", "mild", "+0.25 stops", partial(exposed, stops=0.25)),
    Corruption("brighter", "strong", "+0.5 stops", partial(exposed, stops=0.5)),
    Corruption("JPEG", "mild", "quality 75", partial(through_jpeg, quality=75)),
    Corruption("JPEG", "strong", "quality 30", partial(through_jpeg, quality=30)),
    Corruption("bluer", "mild", "blue dye +10 %, eosin −10 %", partial(restained, share=0.1)),
    Corruption("bluer", "strong", "blue dye +20 %, eosin −20 %", partial(restained, share=0.2)),
    Corruption("redder", "mild", "blue dye −10 %, eosin +10 %", partial(restained, share=-0.1)),
    Corruption("redder", "strong", "blue dye −20 %, eosin +20 %", partial(restained, share=-0.2)),
    Corruption("smaller", "mild", "−5 % in width and height", partial(scaled, factor=0.95)),
    Corruption("smaller", "strong", "−10 % in width and height", partial(scaled, factor=0.9)),
    Corruption("larger", "mild", "+5 % in width and height", partial(scaled, factor=1.05)),
    Corruption("larger", "strong", "+10 % in width and height", partial(scaled, factor=1.1)),
    Corruption("background", "mild", "a rim of 4 pixels of the smear", partial(on_ground, margin=4)),
    Corruption("background", "strong", "the smear all around", partial(on_ground, margin=np.inf)),
)
"""The suite: every kind, mild and strong."""


def _solid(image: Image) -> Image:
    """(H, W), 1 where a pixel is not black."""
    return np.asarray(cv2.inRange(image, (0, 0, 0), (0, 0, 0)) == 0, dtype=np.uint8)


def _over(
    spread: Callable[[NDArray[np.float32]], NDArray[np.float32]], image: Image, solid: Image, kept: Image
) -> Image:
    """``spread`` of what is solid, each pixel the mean of the solid ones it is made of; 0 where not kept."""
    there = solid.astype(np.float32)
    share = np.maximum(spread(there), 1e-6)
    values = spread(image * there[..., None]) / share[..., None]
    return _staying_solid(np.rint(values).astype(np.uint8) * kept[..., None], kept)


def _staying_solid(changed: Image, solid: Image) -> Image:
    """A dark pixel of the cell does not become background by rounding: it is at least (1, 1, 1)."""
    changed[(_solid(changed) == 0) & (solid > 0)] = 1
    return changed
