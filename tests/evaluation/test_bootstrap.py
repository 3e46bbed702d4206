"""The fast bootstrap against a slow one that asks scikit-learn draw by draw."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from leukoscope.evaluation import bootstrap, metrics
from leukoscope.evaluation.bootstrap import Subjects, bend_of, expanded_level, interval, p_value, replicates
from leukoscope.evaluation.evaluate import evaluate


@pytest.mark.parametrize("ties", [False, True])
def test_replicates_equal_a_loop_over_scikit_learn(make_table, ties, monkeypatch):
    monkeypatch.setattr(bootstrap, "CHUNK", 500)
    table = make_table(ties=ties)
    subjects = Subjects.of(table.subjects, table.y)
    times = subjects.draw(10, seed=3)
    found = replicates(table.y, table.p, subjects, times, threshold=0.5)
    assert set(found) == set(metrics.NAMES)
    for draw, row in enumerate(times):
        weights = row[subjects.index]
        expected = brute_force(table.y, table.p, weights)
        for name, value in expected.items():
            assert found[name][draw] == pytest.approx(value, abs=1e-12), name


@pytest.mark.parametrize("ties", [False, True])
def test_a_draw_reads_the_same_to_the_last_bit_alone_and_among_others(make_table, ties, monkeypatch):
    table = make_table(ties=ties)
    subjects = Subjects.of(table.subjects, table.y)
    times = subjects.draw(10, seed=4)
    together = replicates(table.y, table.p, subjects, times, threshold=0.5)
    monkeypatch.setattr(bootstrap, "CHUNK", 1)
    alone = replicates(table.y, table.p, subjects, times, threshold=0.5)
    for name in ("auroc", "average_precision", "ece"):
        np.testing.assert_array_equal(together[name], alone[name])


def brute_force(y, p, weights):
    called = p >= 0.5
    twice = np.repeat(np.arange(len(y)), weights.astype(int))
    return {
        "weighted_f1": sk.f1_score(y, called, sample_weight=weights, average="weighted"),
        "macro_f1": sk.f1_score(y, called, sample_weight=weights, average="macro"),
        "accuracy": sk.accuracy_score(y, called, sample_weight=weights),
        "balanced_accuracy": sk.balanced_accuracy_score(y, called, sample_weight=weights),
        "sensitivity": sk.recall_score(y, called, sample_weight=weights),
        "specificity": sk.recall_score(y, called, sample_weight=weights, pos_label=False),
        "ppv": sk.precision_score(y, called, sample_weight=weights),
        "npv": sk.precision_score(y, called, sample_weight=weights, pos_label=False),
        "mcc": sk.matthews_corrcoef(y, called, sample_weight=weights),
        "auroc": sk.roc_auc_score(y, p, sample_weight=weights),
        "average_precision": sk.average_precision_score(y, p, sample_weight=weights),
        "brier": sk.brier_score_loss(y, p, sample_weight=weights),
        "log_loss": sk.log_loss(y, p, sample_weight=weights),
        "ece": metrics.ece(y[twice], p[twice]),
        "ece_equal_width": metrics.ece_equal_width(y[twice], p[twice]),
    }


def test_each_class_keeps_its_number_of_subjects():
    y = np.repeat([True, False, True, False], [3, 2, 1, 4])
    subjects = Subjects.of(["1"] * 3 + ["H1"] * 2 + ["2"] + ["H2"] * 4, y)
    times = subjects.draw(500, seed=0)
    blast = subjects.num_blasts > 0
    assert (times[:, blast].sum(axis=1) == 2).all()
    assert (times[:, ~blast].sum(axis=1) == 2).all()
    assert times[:, blast].mean() == pytest.approx(1, abs=0.1)
    assert set(times.ravel()) == {0, 1, 2}


def test_a_subject_with_both_kinds_of_cells_is_a_stratum_of_its_own():
    subjects = Subjects.of(["a", "a", "b", "c"], [True, False, True, False])
    assert subjects.mixed.tolist() == [True, False, False]
    assert (subjects.draw(50, seed=0) == 1).all()
    assert subjects.num_with(blasts=True) == 2


def test_equal_seeds_draw_equal_subjects():
    subjects = Subjects.of(list("abcdefgh"), [True] * 4 + [False] * 4)
    np.testing.assert_array_equal(subjects.draw(20, 5), subjects.draw(20, 5))
    assert (subjects.draw(20, 5) != subjects.draw(20, 6)).any()


@pytest.mark.parametrize("n", [5, 15, 47])
def test_the_expanded_level_gives_students_interval_of_a_mean(n):
    """For a normal mean the expanded percentile interval is Student's t interval (Hesterberg 2015)."""
    values = np.random.default_rng(n).normal(0, 1, n)
    plain_error = values.std(ddof=0) / np.sqrt(n)
    low = stats.norm.ppf(expanded_level(0.95, n), values.mean(), plain_error)
    expected = stats.t.interval(0.95, n - 1, values.mean(), values.std(ddof=1) / np.sqrt(n))[0]
    assert low == pytest.approx(expected, abs=1e-9)


def test_the_interval_is_cut_at_that_level():
    draws = np.arange(10_001) / 10_000
    level = expanded_level(0.95, 12)
    found = interval(draws, 12)
    assert found.low == pytest.approx(level, abs=1e-9)
    assert found.high == pytest.approx(1 - level, abs=1e-9)


def test_too_few_subjects_give_no_interval_but_a_reason():
    found = interval(np.arange(10.0), 4)
    assert found[:2] == (None, None)
    assert "4 subjects" in found.reason


def test_a_metric_that_is_often_undefined_has_no_interval():
    draws = np.append(np.ones(90), np.full(10, np.nan))
    assert "10 of 100" in interval(draws, 20).reason
    assert interval(np.append(np.ones(99), np.nan), 20).low == 1.0


def test_intervals_are_those_of_subjects_and_not_of_cells(make_table):
    """Each cell ten times changes nothing: the subjects are as many as before."""
    table = make_table()
    one = Subjects.of(table.subjects, table.y)
    ten = Subjects.of(np.repeat(table.subjects, 10), np.repeat(table.y, 10))
    times = one.draw(200, 0)
    few = replicates(table.y, table.p, one, times, threshold=0.5)["auroc"]
    many = replicates(np.repeat(table.y, 10), np.repeat(table.p, 10), ten, times, threshold=0.5)["auroc"]
    np.testing.assert_allclose(few, many, atol=1e-12)


@pytest.mark.parametrize("num_subjects", [6, 15, 40])
@pytest.mark.parametrize("shift", [0.0, 0.8, 1.9, 2.2, 3.0])
def test_p_is_below_a_level_where_the_interval_of_that_level_holds_no_zero(num_subjects, shift):
    draws = np.random.default_rng(0).normal(shift, 1, 20_000)
    p = p_value(draws, num_subjects)
    for level in (1.1 * p + 0.002, 0.9 * p - 0.002):
        if 0.002 < level < 1:
            found = interval(draws, num_subjects, confidence=1 - level)
            assert (found.low > 0 or found.high < 0) == (level > p)


def test_p_of_no_difference_is_one_and_of_too_few_subjects_none():
    assert p_value(np.zeros(100), 9) == 1
    assert p_value(np.linspace(-1, 1, 100), 4) is None


def test_what_lies_beyond_the_outermost_draw_is_not_told():
    """Draws that all lie above zero say less of five people than of fifty."""
    p = [p_value(np.random.default_rng(0).uniform(0.1, 0.2, 1999), n) for n in (5, 15, 50)]
    expected = []
    for n in (5, 15, 50):
        quantile = stats.norm.ppf(1 / 2000) / np.sqrt(n / (n - 1))
        expected.append(2 * stats.t.cdf(quantile, n - 1))
    assert p == pytest.approx(expected, abs=2e-4)
    assert p[0] > 0.03 > p[1] > p[2] > 0


@pytest.mark.parametrize("seed", range(4))
def test_bca_of_a_mean_is_scipys(seed):
    values = np.random.default_rng(seed).exponential(1, 25)
    reference = stats.bootstrap(
        (values,), np.mean, n_resamples=4000, method="BCa", rng=np.random.default_rng(1)
    )
    left_out = (values.sum() - values) / (len(values) - 1)
    draws = reference.bootstrap_distribution
    bend = bend_of(values.mean(), draws, left_out, np.zeros(len(values), dtype=int))
    found = interval(draws, len(values), method="bca", bend=bend)
    assert found[:2] == pytest.approx(reference.confidence_interval, abs=2e-3)


def test_bca_of_two_samples_is_scipys():
    random = np.random.default_rng(0)
    first, second = random.exponential(1, 18), random.normal(0, 1, 11)

    def apart(one, other, axis=-1):
        return one.mean(axis) - other.mean(axis)

    reference = stats.bootstrap(
        (first, second), apart, n_resamples=4000, method="BCa", rng=np.random.default_rng(1)
    )
    left_out = np.concatenate(
        [
            (first.sum() - first) / 17 - second.mean(),
            first.mean() - (second.sum() - second) / 10,
        ]
    )
    bend = bend_of(
        apart(first, second), reference.bootstrap_distribution, left_out, np.repeat([1, 2], [18, 11])
    )
    found = interval(reference.bootstrap_distribution, 11, method="bca", bend=bend)
    assert found[:2] == pytest.approx(reference.confidence_interval, abs=5e-3)


def test_the_percentile_interval_is_the_percentiles():
    found = interval(np.arange(10_001) / 10_000, 12, method="percentile")
    assert found[:2] == pytest.approx((0.025, 0.975))


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_every_interval_of_a_report_is_made_as_asked(make_table, method):
    table = make_table(blasts=9, normals=8)
    plain, other = evaluate(table, draws=300), evaluate(table, draws=300, interval=method)
    assert other.interval == method
    for name in ("auroc", "specificity", "brier"):
        assert other.metrics[name].estimate == plain.metrics[name].estimate
        assert other.metrics[name].ci_low != plain.metrics[name].ci_low
    widths = [report.metrics["auroc"].ci_high - report.metrics["auroc"].ci_low for report in (other, plain)]
    assert widths[0] < widths[1]
