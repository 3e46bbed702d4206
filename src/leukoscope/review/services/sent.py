"""What who sends files says of them."""

from __future__ import annotations

from leukoscope.cohort.smears import SmearSettings
from leukoscope.errors import UsageError
from leukoscope.review.services.uploads import CELL, PHOTOGRAPH

SENT_AS = {"cells": CELL, "photographs": PHOTOGRAPH}
"""What files can be said to be."""


def kind_of(word: str) -> str:
    """What all files of an upload are.

    Raises:
        UsageError: for an unknown word.
    """
    if word not in SENT_AS:
        raise UsageError(f"expected a kind of {', '.join(SENT_AS)}. Received: {word[:80]!r}")
    return SENT_AS[word]


def pixel_size(text: str) -> float | None:
    """Micrometres per pixel as people type them; ``None`` where nothing is.

    Raises:
        UsageError: for what is no number, or a size that cannot be.

    >>> pixel_size("0,065"), pixel_size(" ")
    (0.065, None)
    """
    if not text.strip():
        return None
    try:
        size = float(text.replace(",", "."))
    except ValueError:
        raise UsageError(
            f"expected micrometres per pixel as a number. Received: {text[:80]!r}", hint="for example 0.065"
        ) from None
    return SmearSettings(pixel_size=size).pixel_size
