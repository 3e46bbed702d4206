"""Paired differences."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from leukoscope.errors import TableError
from leukoscope.evaluation.paired import compare_tables
from leukoscope.evaluation.table import PredictionTable


def worse(table, noise=1.0, seed=1):
    """The same cells, with noise on the logits."""
    z = np.log(table.p / (1 - table.p)) + np.random.default_rng(seed).normal(0, noise, len(table.p))
    return PredictionTable(table.frame.with_columns(blast_probability=1 / (1 + np.exp(-z))))


def test_difference_of_two_tables(make_table):
    first = make_table(blasts=20, normals=20)
    second = worse(first)
    found = compare_tables(first, second)["auroc"]
    expected = roc_auc_score(first.y, first.p) - roc_auc_score(second.y, second.p)
    assert found.difference == pytest.approx(expected, abs=1e-12)
    assert found.first - found.second == pytest.approx(expected)
    assert 0 < found.ci_low < found.difference < found.ci_high
    assert (found.num_cells, found.num_subjects) == (len(first.p), 40)


def test_pairing_is_sharper_than_two_intervals(make_table):
    first = make_table(blasts=20, normals=20)
    second = worse(first, noise=0.2)
    from leukoscope.evaluation.evaluate import evaluate

    paired = compare_tables(first, second)["auroc"]
    alone = evaluate(first).metrics["auroc"]
    assert paired.ci_high - paired.ci_low < 0.5 * (alone.ci_high - alone.ci_low)


def test_turned_round_the_sign_turns(make_table):
    first = make_table()
    second = worse(first)
    one, other = compare_tables(first, second)["weighted_f1"], compare_tables(second, first)["weighted_f1"]
    assert one.difference == pytest.approx(-other.difference)
    assert one.ci_low == pytest.approx(-other.ci_high)


def test_a_table_against_itself_is_nothing(make_table):
    found = compare_tables(make_table(), make_table())
    assert all((d.difference, d.ci_low, d.ci_high) == (0, 0, 0) for d in found.values())


def test_only_shared_cells_count_in_any_order(make_table):
    first = make_table()
    second = worse(first)
    part = PredictionTable(second.frame.sample(fraction=0.8, shuffle=True, seed=0))
    found = compare_tables(first, part)["auroc"]
    kept = first.frame.join(part.frame, on="cell_id", how="semi")
    again = compare_tables(PredictionTable(kept), part)["auroc"]
    assert found == again
    assert found.num_cells == part.frame.height


def test_tables_that_disagree_are_refused(make_table):
    first = make_table()
    flipped = first.frame.with_columns(
        label=pl.when(pl.col("cell_id") == "cell_3").then(pl.lit("normal")).otherwise("label")
    )
    with pytest.raises(TableError, match="cell_3"):
        compare_tables(first, PredictionTable(flipped))
    renamed = PredictionTable(first.frame.with_columns(cell_id="x" + pl.col("cell_id")))
    with pytest.raises(TableError, match="share no"):
        compare_tables(first, renamed)
