"""What the numbers of one cell mean, in words, from its row of the prediction table and the bundle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import polars as pl

from leukoscope.bundle.format import BundleInfo
from leukoscope.cells.quality import FLAGS
from leukoscope.cells.segmentation.found import FLAGS as FOUND_FLAGS
from leukoscope.cells.segmentation.found import NOT_A_LYMPHOID_CELL, NOT_A_SINGLE_CELL
from leukoscope.evaluation.operating_points import BETWEEN, OperatingPoint

Row = Mapping[str, Any]

FLAGGED = {
    NOT_A_SINGLE_CELL: "It was set aside in its photograph as no single whole cell",
    NOT_A_LYMPHOID_CELL: "It was set aside in its photograph as a cell that is not lymphoid, "
    "of which the model knows nothing",
}
"""How the flags of a photograph are said."""


class Length(NamedTuple):
    """A measure of a cell.

    Attributes:
        name: width, height or area.
        pixels: of the original.
        micrometres: square ones for an area; ``None`` where the bundle states no scale.
        medians: class -> pixels of its training cells in the middle; empty where the bundle does not say.
    """

    name: str
    pixels: float
    micrometres: float | None
    medians: dict[str, float]


class Flag(NamedTuple):
    """A quality flag, what it says, and whether no decision is made with it."""

    name: str
    words: str
    forbids: bool


def probability(row: Row, info: BundleInfo, *, is_apart: bool = False) -> list[str]:
    """What the calibrated probability of a blast means, and what it was before calibration.

    ``is_apart`` says that the cell was set aside in its photograph: then it means nothing.
    """
    p, raw = row.get("blast_probability"), row.get("raw_probability")
    if p is None:
        return ["There is no probability: the model was not asked, or could not answer."]
    if is_apart:
        return [
            "The model was asked all the same. It knows single whole lymphoid cells, so that its answer says "
            "nothing about this one, unless it was set aside wrongly."
        ]
    who = f" ({info.calibration.subjects})" if info.calibration.subjects else ""
    words = [
        f"Of 100 cells with this value, {_of_hundred(p)} were blasts in the calibration data{who}.",
        "Among people with another share of blasts the value means something else.",
    ]
    if raw is not None:
        words.append(f"Before calibration the model said {raw:.2f}.")
    return words


def _of_hundred(p: float) -> str:
    """How many of a hundred, where a whole number would say none or all.

    >>> _of_hundred(0.832), _of_hundred(0.9991), _of_hundred(0.001)
    ('about 83', 'more than 99', 'fewer than 1')
    """
    num = round(100 * p)
    if num in (0, 100) and p not in (0, 1):
        return "more than 99" if num else "fewer than 1"
    return f"about {num}"


def thresholds(point: OperatingPoint) -> str:
    """When the operating point of a case calls a cell what."""
    if point.normal_below == point.blast_from:
        ends = f"blast from {point.blast_from:.3f} on, and normal below"
    else:
        ends = (
            f"blast from {point.blast_from:.3f} on, normal below {point.normal_below:.3f}, and indeterminate "
            "between the two"
        )
    whom = f" It was fitted on {point.fitted_on}." if point.fitted_on else ""
    return f"The operating point {point.name} calls a cell {ends}.{whom}"


def why_open(reason: str | None) -> str | None:
    """Why the model left a cell indeterminate; ``None`` where it did not.

    >>> why_open("quality: blank")
    'No decision is made on such a picture: one colour all over.'
    """
    if reason is None:
        return None
    if reason == BETWEEN:
        return "The probability lies between the two thresholds: too uncertain to call it either way."
    if reason == "novel":
        return (
            "The cell is unlike those of the training, so the model's answer rests on nothing that it knows."
        )
    kind, _, what = reason.partition(": ")
    if kind in FLAGGED:
        said = "; ".join(FOUND_FLAGS.get(flag, flag) for flag in what.split(","))
        return f"{FLAGGED[kind]}: {said}."
    if kind == "quality":
        return f"No decision is made on such a picture: {FLAGS.get(what, what)}."
    return f"The picture could not be read: {what or reason}."


def novelty(row: Row, info: BundleInfo) -> str:
    """How unlike the training a cell is."""
    found, limit = row.get("novelty"), info.novelty
    if limit is None:
        return "The bundle keeps no reference cells, so nothing says whether it has seen anything like this."
    if found is None:
        return "Not known: the model was not asked."
    ratio = f"distance {found:.2f} to the nearest reference cells, limit {limit.distance:.2f}"
    if found > limit.distance:
        return f"Unlike the cells of the training: {ratio}."
    return f"Like cells of the training: {ratio}."


def flags(row: Row, info: BundleInfo) -> list[Flag]:
    """The quality flags of a cell; empty where the picture is good."""
    names = [name for name in (row.get("quality") or "").split(",") if name]
    return [Flag(name, FLAGS.get(name, name), name in info.forbidding_flags) for name in names]


def size(row: Row, info: BundleInfo, cut_at: float | None = None) -> list[Length]:
    """Width, height and area of a cell; empty where none is segmented.

    ``cut_at`` is how many micrometres per pixel a cell has that was cut out of a photograph.
    """
    scale = cut_at or info.preprocess.micrometres_per_pixel
    kinds = {"width": ("cell_width", 1), "height": ("cell_height", 1), "area": ("cell_area", 2)}
    known = info.median_sizes or {}
    return [
        Length(
            name,
            row[column],
            None if scale is None else row[column] * scale**power,
            {label: getattr(middle, name) for label, middle in known.items()},
        )
        for name, (column, power) in kinds.items()
        if row.get(column) is not None
    ]


def compared_size(row: Row, info: BundleInfo) -> list[str]:
    """How large a cell is beside the training cells, as far as the bundle's ruler tells; empty without."""
    width, height, ruler = row.get("cell_width"), row.get("cell_height"), info.ruler
    if ruler is None or not width or not height:
        return []
    words = []
    if "log_area" in ruler.features:
        place = ruler.features.index("log_area")
        middle, spread = math.exp(ruler.mean[place]), ruler.scale[place]
        ratio, far = width * height / middle, (math.log(width * height) - ruler.mean[place]) / spread
        words.append(
            f"The box around it is {ratio:.2f} times that of the middle training cell of all classes "
            f"({middle:,.0f} pixels), {abs(far):.1f} standard deviations {'above' if far >= 0 else 'below'}."
        )
    alone = float(ruler.predict(pl.DataFrame({"cell_width": [width], "cell_height": [height]}))[0])
    words.append(
        f"Judged by size alone, with nothing seen inside, it would be a blast with probability {alone:.2f}."
    )
    return words
