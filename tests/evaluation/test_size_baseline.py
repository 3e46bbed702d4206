"""Where the ruler comes from."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from leukoscope.evaluation.ruler import out_of_fold_ruler
from leukoscope.evaluation.size_baseline import size_baseline
from leukoscope.evaluation.table import PredictionTable


@pytest.fixture
def table(make_table):
    return make_table(blasts=6, normals=6, cells=10)


@pytest.fixture
def sizes(table):
    random = np.random.default_rng(0)
    side = np.where(table.y, 220, 180) + random.normal(0, 25, len(table.y))
    folds = pl.Series(table.subjects).hash().to_numpy() % 3
    return table.frame.select("cell_id").with_columns(
        cell_width=pl.Series(side).cast(pl.Int32),
        cell_height=pl.Series(side + random.normal(0, 9, len(side))).cast(pl.Int32),
        fold=pl.Series(folds).cast(pl.Int32),
    )


def test_the_column_comes_first(table, sizes, manifest_of):
    ruled = PredictionTable(table.frame.with_columns(ruler_probability=pl.lit(0.25)))
    found = size_baseline(ruled, manifest_of(table, sizes))
    assert set(found.p) == {0.25}
    assert "ruler_probability" in found.source


def test_rows_without_a_ruler_probability_are_unknown(table):
    some = pl.when(pl.int_range(pl.len()) > 2).then(pl.lit(0.5)).alias("ruler_probability")
    found = size_baseline(PredictionTable(table.frame.with_columns(some)), None)
    assert np.isnan(found.p[:3]).all()
    assert found.known().sum() == len(found.p) - 3


def test_nothing_to_measure_with(table):
    found = size_baseline(table, None)
    assert found.p is None
    assert found.reason == "no column ruler_probability, and no manifest (--data) to fit a ruler on"


def test_fitted_fold_by_fold_on_the_manifest(table, sizes, manifest_of):
    data = manifest_of(table, sizes)
    expected = out_of_fold_ruler(data.frame)
    np.testing.assert_allclose(size_baseline(table, data).p, expected)
    shuffled = data.with_frame(data.frame.sample(fraction=1.0, shuffle=True, seed=1))
    np.testing.assert_allclose(size_baseline(table, shuffled).p, expected, atol=1e-6)


def test_cells_beside_the_judged_ones_help_to_fit(table, sizes, manifest_of):
    data = manifest_of(table, sizes)
    part = PredictionTable(table.frame.gather_every(2))
    np.testing.assert_allclose(size_baseline(part, data).p, out_of_fold_ruler(data.frame)[::2], atol=1e-6)


def test_the_folds_of_the_table_go_before_those_of_the_manifest(table, sizes, manifest_of):
    other = (sizes["fold"] + 1) % 2
    folded = PredictionTable(table.frame.with_columns(fold=other))
    frame = manifest_of(table, sizes).frame.with_columns(fold=other)
    found = size_baseline(folded, manifest_of(table, sizes))
    np.testing.assert_allclose(found.p, out_of_fold_ruler(frame))


def test_a_table_with_sizes_and_folds_needs_no_manifest(table, sizes, manifest_of):
    whole = PredictionTable(table.frame.join(sizes, on="cell_id", maintain_order="left"))
    found = size_baseline(whole, None)
    np.testing.assert_allclose(found.p, out_of_fold_ruler(manifest_of(table, sizes).frame))


def test_without_folds_there_is_a_reason(table, sizes, manifest_of):
    data = manifest_of(table, sizes.with_columns(fold=pl.lit(None, pl.Int32)))
    found = size_baseline(table, data)
    assert found.p is None
    assert "two folds" in found.reason


def test_judged_cells_without_a_fold_have_a_reason(table, sizes, manifest_of):
    judged = table.frame["cell_id"].head(20).to_list()
    data = manifest_of(table, sizes.with_columns(fold=pl.when(~pl.col("cell_id").is_in(judged)).then("fold")))
    found = size_baseline(PredictionTable(table.frame.head(20)), data)
    assert (found.p, found.reason) == (None, "no judged cell has both a fold and a known size")
