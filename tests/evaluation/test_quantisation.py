"""What int8 costs, against counting by hand."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score

from leukoscope.errors import TableError
from leukoscope.evaluation.quantisation import Budget, Quantisation, judged_words, rows_for_people, stand_in
from leukoscope.evaluation.table import PredictionTable

DECISIONS = ("blast", "normal", "indeterminate")


def table(p, decisions, labels, subjects, reasons=None):
    rows = {"cell_id": [f"c{n}" for n in range(len(p))], "subject_id": subjects, "label": labels}
    rows |= {"blast_probability": p, "decision": decisions, "reason": reasons or [None] * len(p)}
    return PredictionTable(pl.DataFrame(rows, schema_overrides={"reason": pl.Utf8}))


def random_tables(seed, num=60):
    rng = np.random.default_rng(seed)
    subjects = [f"s{n}" for n in rng.integers(0, 12, num)]
    labels = ["blast" if int(name[1:]) % 2 else "normal" for name in subjects]
    p = rng.uniform(0.01, 0.99, num)
    moved = np.clip(p + rng.normal(0, 0.1, num), 0.01, 0.99)
    return [
        table(
            values,
            rng.choice(DECISIONS, num).tolist(),
            labels,
            subjects,
            rng.choice(["novel", None], num).tolist(),
        )
        for values in (p, p, moved)
    ]


@given(st.integers(0, 10_000))
def test_every_figure_is_what_counting_by_hand_gives(seed):
    as_it_stands, before, after = random_tables(seed)
    found = stand_in(as_it_stands, before, after, draws=0)
    old, new = before.frame, after.frame
    changed = np.mean([a != b for a, b in zip(old["decision"], new["decision"], strict=True)])
    assert found.decisions_changed.estimate == pytest.approx(changed)
    in_all = np.mean([a != b for a, b in zip(as_it_stands.frame["decision"], new["decision"], strict=True)])
    assert found.changed_in_all.estimate == pytest.approx(in_all)
    lost = roc_auc_score(before.y, before.p) - roc_auc_score(after.y, after.p)
    assert found.differences["auroc"].difference == pytest.approx(lost)
    moved = log_loss(before.y, before.p) - log_loss(after.y, after.p)
    assert found.differences["log_loss"].difference == pytest.approx(moved)
    assert found.largest_difference == np.abs(before.p - after.p).max()
    assert found.num_novel == sum(reason == "novel" for reason in new["reason"])


def test_an_equal_model_costs_nothing_and_is_within_any_budget():
    one = random_tables(1)[0]
    found = stand_in(one, one, one, draws=50)
    assert found.within(Budget(decisions=0, auroc=0))
    assert found.differences["auroc"].ci_low == found.differences["auroc"].ci_high == 0


def test_intervals_draw_subjects():
    found = stand_in(*random_tables(2, num=200), draws=400)
    changed = found.decisions_changed
    assert changed.ci_low < changed.estimate < changed.ci_high
    assert changed.num_subjects == 12 and changed.unit == "subject"
    lost = found.differences["auroc"]
    assert lost.ci_low <= lost.difference <= lost.ci_high


@pytest.mark.parametrize(
    ("budget", "holds"),
    [
        (Budget(decisions=1, auroc=1), True),
        (Budget(decisions=0, auroc=1), False),
        (Budget(decisions=1, auroc=0), False),
    ],
)
def test_the_budget_holds_where_both_parts_do(budget, holds):
    tables = random_tables(3)
    worse = tables[2].frame.with_columns(blast_probability=1 - pl.col("blast_probability"))
    found = stand_in(tables[0], tables[1], PredictionTable(worse), draws=0)
    lost = found.differences["auroc"].difference
    assert found.decisions_changed.estimate > 0 and lost != 0
    assert found.within(budget) is (holds or (budget.auroc == 0 and lost < 0))


def test_what_is_undefined_is_not_within_a_budget():
    p, labels = np.array([0.2, 0.8]), ["blast", "blast"]
    one = table(p, ["blast", "blast"], labels, ["1", "2"])
    found = stand_in(one, one, one, draws=0)
    assert found.differences["auroc"].difference is None
    assert not found.within(Budget(decisions=1, auroc=1))


def test_other_cells_are_refused():
    one, _, after = random_tables(4)
    with pytest.raises(TableError):
        stand_in(one, one, PredictionTable(after.frame.head(5)), draws=0)


def test_it_is_told_in_words():
    found = Quantisation(
        of_bundle="a" * 16,
        way="plain",
        num_range_cells=300,
        num_range_subjects=30,
        num_fitting_cells=1446,
        num_fitting_subjects=5,
        num_left_out=3,
        budget=Budget(),
        measured=stand_in(*random_tables(5), draws=0),
    )
    told = dict(rows_for_people(found))
    assert told["decisions changed"].endswith("allowed 2.0%") and "allowed 0.0050" in told["AUROC lost"]
    words = judged_words(found)
    assert (
        "60 cells of 12 people who fitted nothing; 3 others fitted" in words
        and "1,446 cells of 5 others" in words
    )
