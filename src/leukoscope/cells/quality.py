"""Is this image fit to be judged? Flags, found on a reduced copy in a fraction of a millisecond."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from leukoscope.cells.measure import Body, Measures, find_body, measure_body
from leukoscope.core.config import Config

FLAGS: dict[str, str] = {
    "blank": "nothing on it: one colour all over",
    "not-segmented": "the cell does not lie on black, so sizes are unknown",
    "none": "too little that is not black to be a cell",
    "several": "more than one body",
    "border": "the cell touches the edge of the image",
    "small": "smaller than any cell the limits were set on",
    "large": "larger than any cell the limits were set on",
    "beyond-field": "wider than the window a model sees: it will be cut",
    "dark": "darker than any cell the limits were set on",
    "bright": "brighter than any cell the limits were set on",
    "colour": "a stain unlike any the limits were set on",
    "saturated": "many pixels at the top of a channel",
    "blurred": "no fine detail inside the cell",
}
"""Every flag and what it says, in the order in which they are reported."""


class QualityLimits(Config):
    """Where good ends; set on the cells of C-NMC 2019."""

    field: int = 384
    min_area: int = 4_000
    max_area: int = 110_000
    min_brightness: float = 35.0
    max_brightness: float = 200.0
    min_stain: float = 0.2
    max_stain: float = 0.5
    min_sharpness: float = 0.02
    max_saturated_share: float = 0.05
    max_border_share: float = 0.02
    min_second_body_share: float = 0.05


class Quality(NamedTuple):
    """The flags of one image, a subset of :data:`FLAGS` in its order; none means good."""

    flags: tuple[str, ...]

    @property
    def text(self) -> str:
        """The flags joined by commas, empty for a good image.

        >>> Quality(("border", "large")).text
        'border,large'
        """
        return ",".join(self.flags)


def examine(image: np.ndarray, limits: QualityLimits = QualityLimits()) -> tuple[Measures, Quality]:  # noqa: B008
    """Measures and quality of one image.

    Args:
        image: uint8 ``(H, W, 3)`` RGB.
        limits: where good ends.

    Raises:
        UsageError: for another type or shape.
    """
    body = find_body(image)
    measures = measure_body(image, body)
    found = _find(image, body, measures, limits)
    return measures, Quality(tuple(flag for flag in FLAGS if flag in found))


def _find(image: np.ndarray, body: Body | None, measures: Measures, limits: QualityLimits) -> set[str]:
    if body is None or int(np.ptp(image[::4, ::4])) < 8:
        return {"blank"}
    if not measures.segmented:
        return {"not-segmented"}
    if body.area < limits.min_area // 8:
        return {"none"}
    found = set()
    if body.area < limits.min_area:
        found.add("small")
    if body.area > limits.max_area:
        found.add("large")
    if max(body.box[2:]) > limits.field:
        found.add("beyond-field")
    return found
