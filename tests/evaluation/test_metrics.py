"""Every metric against scikit-learn, on cells with ties and weights; laws; the undefined."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from leukoscope.evaluation import metrics
from leukoscope.evaluation.ranking import Ranking, area_by_steps, area_under_roc


def called_by_sklearn(y, called, w):
    (tn, fp), (fn, tp) = sk.confusion_matrix(y, called, sample_weight=w, labels=[False, True])
    return {
        "weighted_f1": sk.f1_score(y, called, sample_weight=w, average="weighted"),
        "macro_f1": sk.f1_score(y, called, sample_weight=w, average="macro"),
        "accuracy": sk.accuracy_score(y, called, sample_weight=w),
        "balanced_accuracy": sk.balanced_accuracy_score(y, called, sample_weight=w),
        "sensitivity": sk.recall_score(y, called, sample_weight=w),
        "specificity": sk.recall_score(~y, ~called, sample_weight=w),
        "ppv": tp / (tp + fp),
        "npv": tn / (tn + fn),
        "mcc": sk.matthews_corrcoef(y, called, sample_weight=w),
    }


def scored_by_sklearn(y, p, w):
    return {
        "auroc": sk.roc_auc_score(y, p, sample_weight=w),
        "average_precision": sk.average_precision_score(y, p, sample_weight=w),
        "brier": sk.brier_score_loss(y, p, sample_weight=w),
        "log_loss": sk.log_loss(y, p, sample_weight=w),
    }


def cells(seed, ties):
    random = np.random.default_rng(seed)
    size = int(random.integers(20, 200))
    y = random.random(size) < 0.6
    y[:2] = True, False
    p = np.clip(0.3 * y + random.random(size) * 0.7, 0, 1)
    if ties:
        p = p.round(1)
    p[2:4] = 0.0, 1.0
    p[:2] = 0.7, 0.2
    w = random.integers(0, 4, size).astype(float)
    w[:2] = 1
    return y, p, w


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_metrics_equal_those_of_scikit_learn(seed, ties, weighted):
    y, p, w = cells(seed, ties)
    weights = w if weighted else None
    counts = metrics.confusion(y, p >= 0.5, weights)
    for name, expected in called_by_sklearn(y, p >= 0.5, weights).items():
        assert metrics.CALLED[name](counts) == pytest.approx(expected, abs=1e-12), name
    for name, expected in scored_by_sklearn(y, p, weights).items():
        assert metrics.SCORED[name](y, p, weights) == pytest.approx(expected, abs=1e-12), name


@pytest.mark.parametrize("name", metrics.SCORED)
@pytest.mark.parametrize("ties", [False, True])
def test_a_weight_of_two_is_a_cell_twice(name, ties):
    y, p, w = cells(3, ties)
    times = w.astype(int)
    expected = metrics.SCORED[name](np.repeat(y, times), np.repeat(p, times))
    assert metrics.SCORED[name](y, p, w) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", metrics.SCORED)
def test_rows_of_weights_give_one_result_each(name):
    y, p, _ = cells(4, ties=True)
    rows = np.random.default_rng(0).integers(0, 3, (2, 3, len(y)))
    rows[..., :2] = 1
    result = metrics.SCORED[name](y, p, rows)
    assert result.shape == (2, 3)
    assert result[1, 2] == pytest.approx(metrics.SCORED[name](y, p, rows[1, 2]), abs=1e-12)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20)), min_size=2, max_size=60), st.randoms())
def test_the_order_of_rows_changes_nothing(rows, random):
    shuffled = list(rows)
    random.shuffle(shuffled)
    for metric in metrics.SCORED.values():
        (y, p), (y2, p2) = (zip(*some, strict=True) for some in (rows, shuffled))
        one, other = metric(y, np.array(p) / 20), metric(y2, np.array(p2) / 20)
        assert one == pytest.approx(other, abs=1e-12, nan_ok=True)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 50)), min_size=2, max_size=60))
def test_ranking_metrics_ignore_a_monotone_map(rows):
    y, p = (np.array(column) for column in zip(*rows, strict=True))
    for metric in (metrics.auroc, metrics.average_precision):
        assert metric(y, p / 50) == pytest.approx(metric(y, (p / 50) ** 3), abs=1e-12, nan_ok=True)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 50)), min_size=2, max_size=60))
def test_turning_classes_and_scores_round_leaves_auroc(rows):
    y, p = (np.array(column) for column in zip(*rows, strict=True))
    assert metrics.auroc(y, p / 50) == pytest.approx(metrics.auroc(~y, 1 - p / 50), abs=1e-12, nan_ok=True)


def test_calibration_error_of_equal_mass_bins_by_hand():
    """30 cells in 15 bins of 2: every bin is off by 0.1, or by 0.2 in the first."""
    p = np.repeat(np.arange(15) / 15, 2) + np.tile([0.0, 0.01], 15)
    y = np.tile([False, True], 15)
    expected = np.abs(p.reshape(15, 2).mean(axis=1) - 0.5).mean()
    assert metrics.ece(y, p) == pytest.approx(expected, abs=1e-12)


def test_calibration_error_of_equal_width_by_brute_force():
    y, p, w = cells(7, ties=False)
    total = 0.0
    for low in range(15):
        inside = (p > low / 15) & (p <= (low + 1) / 15) | ((low == 0) & (p == 0))
        total += abs((w[inside] * (p[inside] - y[inside])).sum())
    assert metrics.ece_equal_width(y, p, w) == pytest.approx(total / w.sum(), abs=1e-12)


def test_well_calibrated_probabilities_have_little_error_and_shifted_ones_have_it():
    random = np.random.default_rng(0)
    p = random.random(40_000)
    y = random.random(40_000) < p
    for metric in (metrics.ece, metrics.ece_equal_width):
        assert metric(y, p) < 0.01
        assert metric(y, np.clip(p + 0.1, 0, 1)) == pytest.approx(0.1, abs=0.015)


@pytest.mark.parametrize("name", ["weighted_f1", "macro_f1", "balanced_accuracy", "mcc", "specificity"])
def test_without_normal_cells_it_is_undefined_and_not_zero(name):
    counts = metrics.confusion([True, True], [True, False])
    assert np.isnan(metrics.CALLED[name](counts))
    assert metrics.CALLED["sensitivity"](counts) == 0.5


@pytest.mark.parametrize("name", ["auroc", "average_precision"])
@pytest.mark.parametrize("kind", [True, False])
def test_ranking_one_class_is_undefined(name, kind):
    assert np.isnan(metrics.SCORED[name]([kind, kind], [0.2, 0.9]))


def test_predictive_values_are_undefined_when_nothing_is_called_so():
    counts = metrics.confusion([True, False], [False, False])
    assert np.isnan(metrics.ppv(counts))
    assert metrics.npv(counts) == 0.5
    assert np.isnan(metrics.mcc(counts))


def test_one_certain_mistake_is_finite():
    assert metrics.log_loss([True], [0.0]) == pytest.approx(36.04, abs=0.01)


def test_no_metric_is_forgotten():
    assert (
        *("weighted_f1", "macro_f1", "accuracy", "balanced_accuracy", "sensitivity", "specificity"),
        *("ppv", "npv", "mcc", "auroc", "average_precision", "brier", "ece", "ece_equal_width", "log_loss"),
    ) == metrics.NAMES


def test_a_leading_group_of_no_weight_does_no_harm():
    ranking = Ranking.of([True, False, True], [0.9, 0.5, 0.1])
    counts = ranking.counts([0.0, 1.0, 1.0])
    assert area_under_roc(counts) == 0.0
    assert area_by_steps(counts) == 0.5
