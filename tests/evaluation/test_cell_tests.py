"""Tests that ignore subjects, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from leukoscope.evaluation.cell_tests import DeLong, McNemar

scores = st.lists(st.integers(0, 4), min_size=12, max_size=12).map(np.array)


@given(scores, scores, st.lists(st.booleans(), min_size=8, max_size=8))
def test_delong_equals_its_definition_by_pairs(first, second, labels):
    y = np.array([True, True, False, False, *labels])
    found = DeLong.of(y, first.astype(float), second.astype(float))
    above = np.sign(first[y][:, None] - first[~y]) - np.sign(second[y][:, None] - second[~y])
    won = above / 2  # a pair in order counts 1, a tie a half
    assert found.difference == pytest.approx(won.mean(), abs=1e-12)
    assert found.difference == pytest.approx(roc_auc_score(y, first) - roc_auc_score(y, second), abs=1e-12)
    variance = won.mean(1).var(ddof=1) / y.sum() + won.mean(0).var(ddof=1) / (~y).sum()
    if variance < 1e-15:
        assert found.p_value is None or found.standard_error < 1e-7
    else:
        assert found.standard_error == pytest.approx(np.sqrt(variance))
        expected = 2 * stats.norm.sf(abs(won.mean()) / np.sqrt(variance))
        assert found.p_value == pytest.approx(expected)


def test_delong_holds_its_level_on_independent_cells():
    random = np.random.default_rng(0)
    y = np.arange(200) % 2 == 0
    p = [DeLong.of(y, y + random.normal(0, 1, 200), y + random.normal(0, 1, 200)).p_value for _ in range(600)]
    assert 0.025 < np.mean(np.array(p) < 0.05) < 0.08


def test_delong_needs_two_cells_of_each_class():
    assert DeLong.of(np.array([True, False, False]), np.zeros(3), np.ones(3)).reason


def test_mcnemar_is_the_binomial_of_those_that_one_gets_right():
    first = np.array([True] * 9 + [False] * 2 + [True] * 4 + [False] * 3)
    second = np.array([False] * 9 + [True] * 2 + [True] * 4 + [False] * 3)
    found = McNemar.of(first, second)
    assert (found.both_right, found.only_first, found.only_second, found.both_wrong) == (4, 9, 2, 3)
    assert found.p_value == pytest.approx(2 * stats.binom.cdf(2, 11, 0.5))
