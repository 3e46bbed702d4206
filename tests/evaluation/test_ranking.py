"""The curves against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from leukoscope.evaluation.ranking import Ranking, precision_recall_curve, roc_curve, thinned


@pytest.fixture
def cells():
    random = np.random.default_rng(5)
    y = random.random(3000) < 0.4
    return y, (0.4 * y + random.random(3000)).round(2) / 1.4


def curve_of(kind, y, p):
    ranking = Ranking.of(y, p)
    return kind(ranking.counts(np.ones(len(y))), ranking.scores)


def test_roc_curve_equals_that_of_scikit_learn(cells):
    x, y, thresholds = sk.roc_curve(*cells, drop_intermediate=False)
    curve = curve_of(roc_curve, *cells)
    np.testing.assert_allclose(curve.x, x, atol=1e-12)
    np.testing.assert_allclose(curve.y, y, atol=1e-12)
    np.testing.assert_allclose(curve.thresholds, thresholds, atol=1e-12)


def test_precision_recall_curve_equals_that_of_scikit_learn(cells):
    precision, recall, thresholds = sk.precision_recall_curve(*cells)
    curve = curve_of(precision_recall_curve, *cells)
    np.testing.assert_allclose(curve.x[::-1], recall[:-1], atol=1e-12)
    np.testing.assert_allclose(curve.y[::-1], precision[:-1], atol=1e-12)
    np.testing.assert_allclose(curve.thresholds[::-1], thresholds, atol=1e-12)


def test_a_thinned_curve_keeps_its_ends_and_its_area():
    random = np.random.default_rng(1)
    y = random.random(5000) < 0.5
    curve = curve_of(roc_curve, y, y + random.normal(0, 1, 5000))
    few = thinned(curve, 200)
    assert len(few.x) <= 202 < len(curve.x)
    assert (few.x[0], few.y[0], few.x[-1], few.y[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(few.y, few.x) == pytest.approx(np.trapezoid(curve.y, curve.x), abs=2e-3)
    assert set(few.x) <= set(curve.x)
