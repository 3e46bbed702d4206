"""How large the training cells of each class are in the middle: what a cell's size is laid beside."""

from __future__ import annotations

import polars as pl

from leukoscope.core.config import Config


class MedianSize(Config):
    """Medians over the training cells of one class whose size is known, each by itself.

    Attributes:
        num_cells: how many they are.
        width: of the box around a cell, pixels of the original.
        height: likewise.
        area: pixels that are not black.
    """

    num_cells: int
    width: float
    height: float
    area: float


def median_sizes(cells: pl.DataFrame) -> dict[str, MedianSize]:
    """The medians of each class; one without a cell of known size is left out.

    Args:
        cells: with ``label``, ``cell_width``, ``cell_height`` and ``cell_area``; rows without a label or a
            size count for nothing.

    >>> row = {"label": "blast", "cell_width": 200, "cell_height": 210, "cell_area": 33_000}
    >>> median_sizes(pl.DataFrame([row]))["blast"].area
    33000.0
    """
    measures = {"width": "cell_width", "height": "cell_height", "area": "cell_area"}
    known = cells.drop_nulls(["label", *measures.values()])
    medians = [pl.col(column).median().alias(name) for name, column in measures.items()]
    found = known.group_by("label").agg(pl.len().alias("num_cells"), *medians).sort("label")
    return {row.pop("label"): MedianSize(**row) for row in found.to_dicts()}
