"""The picture of a map: the cell, the map laid over it, and a scale with its unit."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from leukoscope.explain.evidence import Floats

Pixels = npt.NDArray[np.uint8]

PANEL, GAP, BAR, LABELS, FOOT = 300, 8, 18, 86, 26
FOR, AGAINST = (240, 138, 60), (74, 168, 224)
"""Evidence for blast, and against it: two colours that the colour-blind can tell apart."""
GROUND, INK = (16, 17, 20), (230, 232, 236)
MIDDLE = 90
"""Grey of the cell at the scale."""
STRONGEST = 0.85
"""How much of the cell the strongest colour covers."""


def overlay(cell: Pixels, found: Floats, *, signed: bool, unit: str) -> Pixels:
    """The cell, the map over the cell in grey, and the scale, side by side.

    Args:
        cell: (S, S, 3).
        found: its map (h, w).
        signed: whether the scale reaches below zero.
        unit: of its values; empty where they have none.

    Returns:
        uint8 (326, 720, 3) RGB.
    """
    most = float(np.abs(found).max())
    tinted = tint(cell, found, most)
    page = Image.new("RGB", (2 * PANEL + BAR + 2 * GAP + LABELS, PANEL + FOOT), GROUND)
    page.paste(Image.fromarray(_enlarged(cell)), (0, 0))
    page.paste(Image.fromarray(tinted), (PANEL + GAP, 0))
    _draw_scale(page, most, signed=signed, unit=unit)
    return np.asarray(page)


def tint(cell: Pixels, found: Floats, most: float) -> Pixels:
    """The cell in grey, :data:`FOR` laid over it where the map is above zero and :data:`AGAINST` where it is
    below: the more, the nearer to ``most``."""
    grey = cv2.cvtColor(_enlarged(cell), cv2.COLOR_RGB2GRAY)
    strength = found * np.float32(STRONGEST / most if most > 0 else 0)
    return _coloured(grey, cv2.resize(strength, (PANEL, PANEL), interpolation=cv2.INTER_LINEAR))


def veil(found: Floats) -> Pixels:
    """The map alone, uint8 (H, W, 4) RGBA of a map (H, W): in the colours of :func:`tint`, clear at zero."""
    most = float(np.abs(found).max())
    strength = found * np.float32(STRONGEST / most if most > 0 else 0)
    colours = np.where(found[..., None] > 0, np.array(FOR), np.array(AGAINST))
    alpha = np.abs(strength[..., None]) * 255
    return np.concatenate([colours, alpha], axis=2).round().astype(np.uint8)


def _coloured(grey: Pixels, strength: Floats) -> Pixels:
    """Grey (H, W) under the colours of a strength (H, W) from -1 to 1."""
    pro, contra = np.maximum(strength, 0), np.maximum(-strength, 0)
    left = grey * (1 - pro - contra)
    planes = [left + pro * f + contra * a for f, a in zip(FOR, AGAINST, strict=True)]
    return np.asarray(np.stack(planes, axis=-1).round(), dtype=np.uint8)


def _enlarged(cell: Pixels) -> Pixels:
    return np.asarray(cv2.resize(cell, (PANEL, PANEL), interpolation=cv2.INTER_CUBIC))


def _draw_scale(page: Image.Image, most: float, *, signed: bool, unit: str) -> None:
    """A bar from the highest value to its opposite, or to zero, with numbers and what they count."""
    left, top, bottom = 2 * (PANEL + GAP), 12, PANEL - 12
    values = np.linspace(STRONGEST, -STRONGEST if signed else 0, bottom - top, dtype=np.float32)
    ground = np.full((bottom - top, BAR), MIDDLE, np.uint8)
    page.paste(Image.fromarray(_coloured(ground, np.repeat(values[:, None], BAR, axis=1))), (left, top))
    pen, font = ImageDraw.Draw(page), _font()
    ticks = (
        [(top, most), ((top + bottom) // 2, 0.0), (bottom, -most)] if signed else [(top, most), (bottom, 0.0)]
    )
    for y, value in ticks:
        pen.text((left + BAR + 6, y), _tick(value), fill=INK, font=font, anchor="lm")
    pen.text((6, PANEL + FOOT // 2), "the cell", fill=INK, font=font, anchor="lm")
    meaning = "orange: for blast" + ("; blue: against" if signed else "")
    pen.text((PANEL + GAP + 6, PANEL + FOOT // 2), meaning, fill=INK, font=font, anchor="lm")
    pen.text((left, PANEL + FOOT // 2), unit or "relative", fill=INK, font=font, anchor="lm")


def _tick(value: float) -> str:
    """A value of the scale with its sign, in three digits.

    >>> _tick(1.23456), _tick(-0.000123), _tick(0.0)
    ('+1.23', '-0.000123', '0')
    """
    return f"{value:+.3g}" if value else "0"  # the font has no minus but the hyphen


@lru_cache(maxsize=1)
def _font() -> Any:
    return ImageFont.load_default(15)
