"""Temperature scaling."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from leukoscope.core.config import parse
from leukoscope.errors import ConfigError, UsageError
from leukoscope.evaluation.calibration import Calibration, blast_probability, fit_temperature


def overconfident(size=4000, temperature=2.5, classes=2, seed=0):
    """Logits that are ``temperature`` times too large for their labels."""
    random = np.random.default_rng(seed)
    honest = random.normal(0, 1.5, (size, classes))
    labels = np.array([random.choice(classes, p=row) for row in softmax(honest, axis=1)])
    return honest * temperature, labels


def loss(calibration, logits, labels, weights=None):
    p = calibration.apply(logits)[np.arange(len(labels)), labels]
    return np.average(-np.log(p), weights=weights)


def test_apply_is_softmax_of_scaled_logits():
    logits = np.array([[1.0, -2.0, 3.0], [800.0, 0.0, -800.0]])
    calibration = Calibration(temperature=1.7, bias=(0.1, 0.0, -0.3))
    expected = softmax(logits / 1.7 + [0.1, 0.0, -0.3], axis=1)
    np.testing.assert_allclose(calibration.apply(logits), expected, atol=1e-12)
    assert np.isfinite(calibration.apply(logits)).all()


@pytest.mark.parametrize("classes", [2, 4])
def test_the_temperature_is_found_again(classes):
    logits, labels = overconfident(classes=classes)
    assert fit_temperature(logits, labels).temperature == pytest.approx(2.5, rel=0.1)


def test_the_temperature_is_the_best_that_a_search_finds():
    logits, labels = overconfident(size=300, seed=4)
    weights = np.random.default_rng(0).random(300)
    found = fit_temperature(logits, labels, weights)
    best = minimize_scalar(
        lambda t: loss(Calibration(temperature=t), logits, labels, weights),
        bounds=(0.05, 20),
        method="bounded",
        options={"xatol": 1e-9},
    )
    assert found.temperature == pytest.approx(best.x, rel=1e-5)


def test_shares_of_the_classes_are_the_bias():
    """By Bayes' rule, and whatever the shares of the cells that the temperature is fitted on."""
    logits, labels = overconfident()
    found = fit_temperature(logits, labels, shares=[0.2, 0.8])
    np.testing.assert_allclose(found.bias, [0, np.log(4)])
    balanced = 1 / np.bincount(labels)[labels]
    few_normal = balanced * np.where(labels == 0, 0.2, 0.8)
    best = minimize_scalar(
        lambda t: loss(Calibration(temperature=t, bias=found.bias), logits, labels, few_normal),
        bounds=(0.05, 20),
        method="bounded",
        options={"xatol": 1e-9},
    )
    assert found.temperature == pytest.approx(best.x, rel=1e-5)
    fewer = np.concatenate([np.flatnonzero(labels == 0)[::3], np.flatnonzero(labels == 1)])
    again = fit_temperature(logits[fewer], labels[fewer], shares=[0.2, 0.8])
    assert again.bias == found.bias
    assert again.temperature == pytest.approx(found.temperature, rel=0.1)


def test_classes_drawn_alike_get_their_prevalence_back():
    """A model of balanced classes, cells of which three in four are blasts."""
    logits, labels = overconfident(size=8_000)
    kept = np.concatenate([np.flatnonzero(labels == 0)[::3], np.flatnonzero(labels == 1)])
    share = labels[kept].mean()
    found = fit_temperature(logits[kept], labels[kept], shares=[1 - share, share])
    assert found.apply(logits[kept])[:, 1].mean() == pytest.approx(share, abs=0.01)


def test_a_class_without_a_share_is_rare_and_not_impossible():
    found = fit_temperature(np.eye(3)[[0, 1, 0, 1]], [0, 1, 1, 0], shares=[0.5, 0.5, 0])
    np.testing.assert_allclose(np.exp(found.bias), [1, 1, 0.25])


def test_no_bias_without_shares():
    assert fit_temperature(*overconfident(size=200)).bias == ()


def test_weights_are_repetitions():
    logits, labels = overconfident(size=100, seed=2)
    times = np.random.default_rng(1).integers(0, 3, 100)
    one = fit_temperature(logits, labels, times)
    other = fit_temperature(np.repeat(logits, times, axis=0), np.repeat(labels, times))
    assert one.temperature == pytest.approx(other.temperature, rel=1e-5)


def test_cells_without_a_mistake_keep_within_the_limits():
    found = fit_temperature([[3.0, -3.0], [-3.0, 3.0]], [0, 1])
    assert 0.05 <= found.temperature < 1


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2], [0, 1, -1], [0, 1]])
def test_labels_that_cannot_be_fitted(labels):
    with pytest.raises(UsageError):
        fit_temperature(np.zeros((3, 2)), labels)


def test_a_temperature_of_zero_is_refused():
    with pytest.raises(ConfigError, match="temperature"):
        parse(Calibration, {"temperature": 0}, where="bundle.json")


def test_blast_probability_is_the_sum_over_positive_classes():
    p = np.array([[0.25, 0.75]])
    assert blast_probability(p, ("normal", "blast"), ("blast",)) == [0.75]
    assert blast_probability(p, ("blast", "normal"), ("blast",)) == [0.25]
