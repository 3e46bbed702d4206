"""One row a subject."""

from __future__ import annotations

import polars as pl
import pytest
from scipy.stats import binomtest

from leukoscope.evaluation.by_subject import by_subject, wilson, wilson_of


@pytest.fixture
def frame():
    return pl.DataFrame(
        {
            "subject_id": ["H2", "H2", "H2", "H2", "1", None],
            "decision": ["blast", "normal", "indeterminate", "indeterminate", "indeterminate", "blast"],
            "blast_probability": [0.9, 0.1, 0.5, None, None, 0.8],
            "error": [None, None, None, "empty", "damaged", None],
        }
    )


def test_counts_add_up_and_nobody_is_lost(frame):
    rows = by_subject(frame)
    assert rows.columns == [
        "subject_id",
        "num_cells",
        "num_blast",
        "num_normal",
        "num_indeterminate",
        "num_unreadable",
        "blast_fraction",
        "ci_low",
        "ci_high",
        "mean_probability",
    ]
    assert rows["subject_id"].to_list() == ["H2", "1", ""]
    first = rows.row(0, named=True)
    assert [first[f"num_{name}"] for name in ("cells", "blast", "normal", "indeterminate", "unreadable")] == [
        4,
        1,
        1,
        1,
        1,
    ]
    assert first["blast_fraction"] == 0.5
    assert first["mean_probability"] == pytest.approx(0.5)
    parts = rows.select("num_blast", "num_normal", "num_indeterminate", "num_unreadable").sum_horizontal()
    assert parts.to_list() == rows["num_cells"].to_list()


def test_nothing_decided_is_null(frame):
    row = by_subject(frame).row(1, named=True)
    assert (row["blast_fraction"], row["ci_low"], row["ci_high"], row["mean_probability"]) == (None,) * 4
    assert (row["num_unreadable"], row["num_indeterminate"]) == (1, 0)


def test_lazy_frames_and_foreign_tables_will_do(frame):
    assert by_subject(frame.lazy()).equals(by_subject(frame))
    assert by_subject(frame.drop("error")).equals(by_subject(frame))


@pytest.mark.parametrize("trials", [1, 7, 400])
def test_the_interval_is_that_of_scipy(trials):
    for successes in (0, trials // 2, trials):
        low, high = pl.select(
            *(edge.alias(str(n)) for n, edge in enumerate(wilson(pl.lit(successes), pl.lit(trials))))
        ).row(0)
        expected = binomtest(successes, trials).proportion_ci(method="wilson")
        assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-9)
        assert wilson_of(successes, trials) == (low, high)  # to the last bit, as in signed reports
