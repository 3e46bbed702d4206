"""Medians of the sizes of each class, beside those that numpy finds."""

from __future__ import annotations

import numpy as np
import polars as pl

from leukoscope.evaluation.sizes import median_sizes


def test_the_medians_are_those_of_numpy_and_what_is_unknown_counts_for_nothing():
    rng = np.random.default_rng(3)
    frame = pl.DataFrame(
        {
            "label": ["blast", "normal", None, "unmeasured"] * 25,
            "cell_width": rng.integers(100, 300, 100),
            "cell_height": rng.integers(100, 300, 100),
            "cell_area": rng.integers(9_000, 50_000, 100),
        }
    ).with_columns(
        pl.when((pl.col("label") != "unmeasured") & (pl.int_range(100) % 11 != 0)).then(pl.col("cell_area"))
    )
    found = median_sizes(frame)
    assert list(found) == ["blast", "normal"]
    for label, middle in found.items():
        rows = frame.filter(pl.col("label") == label).drop_nulls().to_numpy()[:, 1:].astype(float)
        assert (middle.width, middle.height, middle.area) == tuple(np.median(rows, axis=0))
        assert middle.num_cells == len(rows) < 25
