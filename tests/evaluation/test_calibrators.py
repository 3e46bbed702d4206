"""Platt, beta and isotonic calibration, and the choice among them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, log_expit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from leukoscope.core.config import parse
from leukoscope.errors import ConfigError, UsageError
from leukoscope.evaluation.calibration import Calibration, fit_temperature
from leukoscope.evaluation.calibrators import fit_beta, fit_calibration, fit_isotonic, fit_platt


def people(num=24, cells=40, seed=0, *, bend=None, spread=0.6):
    """Logits (N, 2), labels and subjects; ``bend`` makes logits z of true log odds."""
    random = np.random.default_rng(seed)
    subjects = np.repeat([f"{n}" for n in range(num)], cells)
    own = np.repeat(random.normal(0, spread, num), cells)
    labels = (np.arange(num) % 2)[np.repeat(np.arange(num), cells)]
    odds = random.normal(0, 1.4, num * cells) + 2.0 * labels - 1.0 + own
    z = odds if bend is None else bend(odds)
    return np.stack([np.zeros_like(z), z], axis=1), labels, subjects


def platt_targets(x, y):
    """scikit-learn's logistic regression with Platt's targets, as cells that count in part for each class."""
    yes, no = (y == 1).sum(), (y == 0).sum()
    target = np.where(y == 1, (yes + 1) / (yes + 2), 1 / (no + 2))
    weights = np.concatenate([target, 1 - target])
    labels = np.repeat([1, 0], len(y))
    return LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(np.concatenate([x, x]), labels, weights)


def test_platt_is_the_logistic_regression():
    logits, labels, _ = people(bend=lambda odds: 3 * odds - 1)
    z = logits[:, 1]
    expected = platt_targets(z[:, None], labels)
    found = fit_platt(z, labels)
    np.testing.assert_allclose(found.apply(logits)[:, 1], expected.predict_proba(z[:, None])[:, 1], atol=1e-5)


def test_beta_is_the_logistic_regression_of_both_ends():
    logits, labels, _ = people(bend=lambda odds: np.where(odds > 0, 3 * odds, odds) + 0.5)
    z = logits[:, 1]
    x = np.column_stack([log_expit(z), -log_expit(-z)])
    expected = platt_targets(x, labels)
    assert (expected.coef_ > 0).all()
    np.testing.assert_allclose(
        fit_beta(z, labels).apply(logits)[:, 1], expected.predict_proba(x)[:, 1], atol=1e-5
    )


def test_isotonic_is_scikit_learns():
    logits, labels, _ = people(seed=3)
    z = logits[:, 1]
    expected = IsotonicRegression(out_of_bounds="clip").fit(z, labels)
    far = np.array([[0, -50.0], [0, 50.0]])
    least = 1 / (len(z) + 2)
    found = fit_isotonic(z, labels).apply(np.concatenate([logits, far]))[:, 1]
    wanted = expected.predict(np.concatenate([z, far[:, 1]]))
    np.testing.assert_allclose(found, np.clip(wanted, least, 1 - least), atol=1e-9)


@given(st.integers(0, 10_000), st.sampled_from(["platt", "beta", "isotonic"]))
@settings(max_examples=25, deadline=None)
def test_no_order_is_turned_round_and_nothing_is_certain(seed, method):
    logits, labels, subjects = people(num=4, cells=10, seed=seed)
    fitted = fit_calibration(logits, labels, subjects, method)
    p = fitted.apply(logits)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    order = np.argsort(logits[:, 1])
    assert (np.diff(p[order, 1]) >= -1e-12).all()
    assert p.min() > 0 and p.max() < 1


def test_a_model_that_is_the_wrong_way_round_is_not_turned():
    logits, labels, _ = people(bend=lambda odds: -odds)
    assert fit_platt(logits[:, 1], labels).temperature > 0
    assert fit_beta(logits[:, 1], labels).beta[:2] == pytest.approx((0, 0), abs=1e-6)


def test_cells_without_a_mistake_have_finite_numbers():
    z, labels = np.linspace(-3, 3, 40), np.repeat([0, 1], 20)
    for fit in (fit_platt, fit_beta, fit_isotonic):
        p = fit(z, labels).apply(np.stack([np.zeros(40), z], axis=1))
        assert np.isfinite(np.log(p)).all()


def test_temperature_stays_where_nothing_is_better_than_chance():
    """Subjects differ, and a handful of them would tempt every way that can follow them."""
    chosen = []
    for seed in range(12):
        logits, labels, subjects = people(num=14, seed=seed, spread=1.0)
        fitted = fit_calibration(logits, labels, subjects)
        chosen.append(fitted.method)
        assert set(fitted.cross_validated) == {"temperature", "platt", "beta", "isotonic"}
    assert chosen.count("temperature") >= 9


def test_another_way_is_taken_where_unseen_subjects_bear_it_out():
    """A model that is far off for all people alike: new people are told better with what was chosen."""

    def bend(odds):
        return 2.0 * odds + 4.0

    logits, labels, subjects = people(num=40, seed=1, bend=bend, spread=0.2)
    fitted = fit_calibration(logits, labels, subjects, fitted_on="forty people")
    assert fitted.method != "temperature" and fitted.subjects == "forty people"
    fresh, truth, _ = people(num=40, seed=2, bend=bend, spread=0.2)
    before = log_loss(truth, fit_temperature(logits, labels).apply(fresh)[:, 1])
    assert log_loss(truth, fitted.apply(fresh)[:, 1]) < before - 0.1


def test_the_choice_counts_subjects_and_not_cells():
    """A hundred copies of each cell are no better evidence."""
    logits, labels, subjects = people(num=12, cells=6, seed=5, spread=1.2)
    copies = np.tile(np.arange(len(labels)), 100)
    one = fit_calibration(logits, labels, subjects)
    many = fit_calibration(logits[copies], labels[copies], subjects[copies])
    assert one.method == many.method == "temperature"


@pytest.mark.parametrize("num", [2, 8])
def test_too_few_subjects_leave_nothing_to_choose_by(num):
    fitted = fit_calibration(*people(num=num))
    assert (fitted.method, fitted.cross_validated) == ("temperature", {})


def test_three_classes_are_calibrated_by_temperature():
    random = np.random.default_rng(0)
    logits, labels, subjects = random.normal(size=(90, 3)), np.arange(90) % 3, np.arange(90) // 3
    assert fit_calibration(logits, labels, subjects).method == "temperature"
    with pytest.raises(UsageError, match="two classes"):
        fit_calibration(logits, labels, subjects, "beta")


def test_cells_of_one_class_fit_nothing():
    logits, labels, subjects = people()
    for method in ("auto", "temperature", "platt", "beta", "isotonic"):
        with pytest.raises(UsageError):
            fit_calibration(logits, np.zeros_like(labels), subjects, method)


def test_what_is_written_is_read_again():
    logits, labels, subjects = people()
    for method in ("temperature", "platt", "beta", "isotonic"):
        fitted = fit_calibration(logits, labels, subjects, method)
        again = Calibration.model_validate_json(fitted.model_dump_json())
        np.testing.assert_array_equal(again.apply(logits), fitted.apply(logits))


def test_beta_of_a_perfectly_calibrated_model_is_the_identity():
    z = np.random.default_rng(0).normal(0, 1.5, 40_000)
    labels = (np.random.default_rng(1).random(40_000) < expit(z)).astype(int)
    assert fit_beta(z, labels).beta == pytest.approx((1, 1, 0), abs=0.1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"method": "beta"},
        {"method": "temperature", "beta": (1.0, 1.0, 0.0)},
        {"method": "beta", "beta": (-1.0, 1.0, 0.0)},
        {"method": "isotonic"},
        {"method": "isotonic", "knots": ((0.0, 0.5), (0.0, 0.6))},
        {"method": "isotonic", "knots": ((0.0, 0.5), (1.0, 0.4))},
        {"method": "magic"},
    ],
)
def test_a_calibration_that_is_not_whole_is_refused(wrong):
    with pytest.raises(ConfigError):
        parse(Calibration, wrong, where="bundle.json")
