"""Cells weighted to one distribution of sizes, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import recall_score, roc_auc_score

from leukoscope.evaluation.readings import Cells, Judgement
from leukoscope.evaluation.size_matched import overlap_weights, read_size_matched, size_matched_values


@given(st.integers(0, 10_000), st.integers(1, 30))
@settings(max_examples=40, deadline=None)
def test_both_classes_weigh_the_same_at_every_size(seed, num_bins):
    random = np.random.default_rng(seed)
    y = random.random(300) < 0.6
    size = np.round(random.normal(180 + 40 * y, 25))
    weights = overlap_weights(y, size, num_bins=num_bins)
    assert ((weights >= 0) & (weights <= 1)).all()
    places = np.searchsorted(np.quantile(size, np.linspace(0, 1, num_bins + 1)[1:-1]), size, side="right")
    blasts = np.bincount(places, weights=weights * y, minlength=num_bins)
    normals = np.bincount(places, weights=weights * ~y, minlength=num_bins)
    np.testing.assert_allclose(blasts, normals, atol=1e-9)


def test_a_cell_of_unknown_size_weighs_nothing():
    weights = overlap_weights(np.array([True, False, True]), np.array([5.0, 5.0, np.nan]), num_bins=1)
    assert weights.tolist() == [0.5, 0.5, 0.0]


def test_no_size_is_known():
    assert not overlap_weights(np.array([True, False]), np.full(2, np.nan)).any()


@pytest.fixture
def judged():
    random = np.random.default_rng(3)
    subjects = np.repeat([f"{n}" for n in range(9)] + [f"H{n}" for n in range(8)], 30)
    y = np.char.startswith(subjects, "H") == 0
    size = random.normal(180 + 40 * y, 25)
    p = np.clip(0.5 + 0.15 * (2 * y - 1) + 0.003 * (size - 200) + random.normal(0, 0.2, len(y)), 0, 1).round(
        2
    )
    return Judgement(Cells(y, subjects, 50, 0), p, 0.5), overlap_weights(y, size)


def test_equals_scikit_learn_with_these_weights(judged):
    judgement, weights = judged
    y, p = judgement.cells.y, judgement.p
    values = size_matched_values(judgement, weights)
    assert values["auroc"][0] == pytest.approx(roc_auc_score(y, p, sample_weight=weights), abs=1e-12)
    sensitivity = recall_score(y, p >= 0.5, sample_weight=weights)
    specificity = recall_score(~y, p < 0.5, sample_weight=weights)
    assert values["sensitivity"][0] == pytest.approx(sensitivity, abs=1e-12)
    assert values["specificity"][0] == pytest.approx(specificity, abs=1e-12)
    drawn = judgement.cells.times[7][judgement.cells.subjects.index]
    assert values["auroc"][7] == pytest.approx(roc_auc_score(y, p, sample_weight=weights * drawn), abs=1e-12)


def test_size_alone_reads_chance():
    random = np.random.default_rng(0)
    y = random.random(4000) < 0.5
    size = random.normal(180 + 40 * y, 25)
    judgement = Judgement(Cells(y, np.arange(4000).astype(str), 0, 0), size / 400, 0.5)
    assert judgement.values["auroc"][0] > 0.85
    assert size_matched_values(judgement, overlap_weights(y, size))["auroc"][0] == pytest.approx(
        0.5, abs=0.03
    )


def test_readings_have_intervals(judged):
    judgement, weights = judged
    readings = read_size_matched([judgement], weights)
    assert read_size_matched([judgement], np.zeros_like(weights)) is None
    for reading in readings.values():
        assert reading.ci_low < reading.estimate < reading.ci_high
