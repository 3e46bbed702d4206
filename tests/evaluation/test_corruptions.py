"""Corrupted beside clean: paired by cell, whatever the order of the rows, on the same draws."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from leukoscope.cells.corrupt import CORRUPTIONS
from leukoscope.errors import TableError
from leukoscope.evaluation.corruptions import read_corruptions
from leukoscope.evaluation.readings import Cells, Judgement

NUM, DRAWS = 240, 300


@pytest.fixture
def clean():
    rng = np.random.default_rng(0)
    subjects = np.repeat([f"{name}" for name in range(16)], NUM // 16)
    y = np.arange(NUM) < NUM // 2
    p = np.clip(0.35 + 0.3 * y + rng.normal(0, 0.2, NUM), 0.01, 0.99)
    decisions = np.where(p > 0.9, "indeterminate", np.where(p > 0.5, "blast", "normal"))
    rows = pl.DataFrame(
        {
            "cell_id": [f"c{place}" for place in range(NUM)],
            "blast_probability": p,
            "decision": decisions,
            "reason": [("novel" if d == "indeterminate" else None) for d in decisions],
        }
    )
    return Judgement(Cells(y, subjects, DRAWS, 0), p, 0.5), rows


def test_differences_are_those_of_the_two_readings(clean):
    model, rows = clean
    worse = rows.with_columns(pl.col("blast_probability").pow(2) * 0.5, pl.lit("normal").alias("decision"))
    shuffled = worse.sample(fraction=1, shuffle=True, seed=1)
    reading = read_corruptions(model, rows, {CORRUPTIONS[0]: shuffled, CORRUPTIONS[1]: rows})
    first, same = reading.rows
    y, p = model.cells.y, worse["blast_probability"].to_numpy()
    found = first.differences["auroc"]
    assert found.first == pytest.approx(roc_auc_score(y, p), abs=1e-12)
    assert found.difference == pytest.approx(roc_auc_score(y, p) - roc_auc_score(y, model.p), abs=1e-12)
    assert first.differences["sensitivity"].first == pytest.approx((p[y] >= 0.5).mean())
    assert first.differences["brier"].first == pytest.approx(((p - y) ** 2).mean())
    low, high = first.differences["brier"].ci_low, first.differences["brier"].ci_high
    assert low < first.differences["brier"].difference < high
    assert (first.kind, first.severity, first.amount) == ("blur", "mild", "Gaussian of 1 pixel")
    for each in same.differences.values():
        assert each.difference == 0 and each.ci_low == each.ci_high == 0


def test_shares_withheld_are_counted(clean):
    model, rows = clean
    num_novel = (rows["reason"] == "novel").sum()
    quality = rows.with_columns(decision=pl.lit("indeterminate"), reason=pl.lit("quality: blank"))
    reading = read_corruptions(model, rows, {CORRUPTIONS[0]: quality})
    assert num_novel and reading.clean.novel.estimate == pytest.approx(num_novel / NUM)
    assert reading.clean.indeterminate.estimate == pytest.approx(num_novel / NUM)
    assert reading.clean.reasons == {"novel": num_novel}
    withheld = reading.rows[0].withheld
    assert (withheld.indeterminate.estimate, withheld.novel.estimate) == (1, 0)
    assert withheld.indeterminate.num_cells == NUM and withheld.reasons == {"quality: blank": NUM}


def test_a_cell_that_is_missing_or_unread_is_an_error(clean):
    model, rows = clean
    unread = rows.with_columns(
        pl.when(pl.col("cell_id") == "c3")
        .then(None)
        .otherwise("blast_probability")
        .alias("blast_probability")
    )
    for predicted in (rows.head(NUM - 1), unread):
        with pytest.raises(TableError, match="blur, mild: 1 judged cells"):
            read_corruptions(model, rows, {CORRUPTIONS[0]: predicted})
