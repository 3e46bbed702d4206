"""The table of subjects and the means over them."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from leukoscope.evaluation.subject_table import subject_means, subject_rows


def rows_of(cells):
    """``cells``: (subject, label, probability) each."""
    subject, label, p = zip(*cells, strict=True)
    judged = pl.DataFrame({"subject_id": subject, "label": label})
    return subject_rows(judged, np.array(label) == "blast", np.array(p), threshold=0.5)


def test_a_row_for_every_subject():
    rows = rows_of(
        [("H10", "normal", 0.9), ("H10", "normal", 0.2), ("H9", "normal", 0.1), ("2", "blast", 0.5)]
    )
    assert [row.subject_id for row in rows] == ["2", "H9", "H10"]
    last = rows[-1].model_dump()
    assert last == {
        "subject_id": "H10",
        "label": "normal",
        "num_cells": 2,
        "accuracy": 0.5,
        "blast_fraction": 0.5,
        "mean_probability": pytest.approx(0.55),
        "ci_low": pytest.approx(proportion_confint(1, 2)[0]),
        "ci_high": pytest.approx(proportion_confint(1, 2)[1]),
    }


def proportion_confint(successes, trials):
    """Wilson's interval as scipy has it."""
    found = stats.binomtest(successes, trials).proportion_ci(method="wilson")
    return found.low, found.high


def test_means_count_each_subject_once_and_leave_out_the_small():
    cells = [("1", "blast", 0.9)] * 100 + [("2", "blast", 0.9)] * 10 + [("2", "blast", 0.1)] * 10
    cells += [("H1", "normal", 0.9)] * 15 + [("H1", "normal", 0.1)] * 5 + [("H2", "normal", 0.9)] * 19
    means = subject_means(rows_of(cells), ["blast"])
    assert (means.blast, means.normal) == (0.75, 0.25)
    assert (means.worst, means.worst_subject_id) == (0.25, "H1")
    assert (means.num_blast_subjects, means.num_normal_subjects) == (2, 1)
    assert means.reason is None


def test_no_large_subject_is_undefined():
    means = subject_means(rows_of([("1", "blast", 0.9)] * 25 + [("H1", "normal", 0.9)]), ["blast"])
    assert (means.blast, means.normal) == (1.0, None)
    assert means.reason == "undefined: no normal subject has 20 cells"


def test_a_subject_of_both_labels_is_mixed_and_in_no_mean():
    rows = rows_of([("1", "blast", 0.9)] * 30 + [("1", "normal", 0.9)] * 30)
    assert rows[0].label == "mixed"
    means = subject_means(rows, ["blast"])
    assert (means.blast, means.normal, means.worst) == (None, None, None)


def test_cells_of_nobody_make_no_row():
    rows = rows_of([(None, "blast", 0.9), ("1", "blast", 0.9)])
    assert [row.subject_id for row in rows] == ["1"]


def test_means_have_intervals_of_the_people_and_the_worst_one_of_its_cells():
    cells = [
        (f"{kind}{n}", label, 0.9 if (i < 20 + n) == (label == "blast") else 0.1)
        for kind, label in (("", "blast"), ("H", "normal"))
        for n in range(8)
        for i in range(30)
    ]
    means = subject_means(rows_of(cells), ["blast"])
    assert means.blast == means.normal == pytest.approx(23.5 / 30)
    # Student's interval of eight numbers, which the expanded percentiles come close to
    accuracies = (20 + np.arange(8)) / 30
    half = 2.365 * accuracies.std(ddof=1) / np.sqrt(8)
    assert means.blast_ci == pytest.approx((means.blast - half, means.blast + half), abs=0.01)
    assert means.worst == pytest.approx(20 / 30)
    assert means.worst_ci[0] < means.worst < means.worst_ci[1]
    assert subject_means(rows_of(cells), ["blast"], draws=0).blast_ci is None


def test_four_people_have_no_interval():
    cells = [(str(n), "blast", 0.9) for n in range(4) for _ in range(20)]
    assert subject_means(rows_of(cells), ["blast"]).blast_ci is None


def test_subjects_are_ranked_by_their_mean_probability_and_no_cell_is_counted():
    random = np.random.default_rng(0)
    cells, truth, means_of = [], [], []
    for label, shift in (("blast", 0.1), ("normal", -0.1)):
        for n in range(7):
            p = np.clip(random.normal(0.5 + shift, 0.15) + random.normal(0, 0.1, 20 + 30 * n), 0, 1)
            cells += [(f"{label}{n}", label, value) for value in p]
            truth.append(label == "blast")
            means_of.append(p.mean())
    means = subject_means(rows_of(cells), ["blast"])
    assert means.auroc == pytest.approx(roc_auc_score(truth, means_of))
    assert means.auroc_ci[0] < means.auroc < means.auroc_ci[1]
    assert subject_means(rows_of(cells[:500]), ["blast"]).auroc is None


def test_subjects_that_are_told_apart_without_an_error_have_no_interval():
    cells = [
        (f"{label}{n}", label, p) for label, p in (("blast", 0.9), ("normal", 0.2)) for n in range(8)
    ] * 20
    means = subject_means(rows_of(cells), ["blast"])
    assert (means.auroc, means.auroc_ci, means.blast_ci) == (1.0, None, None)
