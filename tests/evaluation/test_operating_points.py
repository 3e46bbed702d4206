"""Thresholds frozen before the test."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from leukoscope.errors import UsageError
from leukoscope.evaluation.operating_points import OperatingPoint, sensitivity_at_least

CELLS = st.lists(st.tuples(st.integers(0, 20), st.booleans(), st.integers(1, 3)), min_size=1, max_size=40)


@given(CELLS, st.sampled_from([0.5, 0.8, 0.95, 1.0]))
def test_the_threshold_finds_enough_and_the_next_one_does_not(cells, target):
    p, y, w = (np.array(column) for column in zip(*cells, strict=True))
    p = p / 20
    if not y.any():
        return
    threshold = sensitivity_at_least(p, y, target, w).blast_from

    def found(t):
        return w[y & (p >= t)].sum() / w[y].sum()

    assert found(threshold) >= target - 1e-9
    higher = p[y & (p >= threshold)].min()
    assert found(higher + 1e-6) < target - 1e-12


def test_it_is_named_and_one_sided():
    point = sensitivity_at_least([0.2, 0.6, 0.8], [False, True, True], fitted_on="7 calibration subjects")
    assert point.name == "sensitivity-0.95"
    assert point.normal_below == point.blast_from == pytest.approx(0.4)
    assert point.fitted_on == "7 calibration subjects"
    assert point.decide([0.2, 0.6]).tolist() == ["normal", "blast"]


def test_ties_are_called_together():
    point = sensitivity_at_least([0.5, 0.5, 0.5, 0.1], [True, True, False, False], target=0.5)
    assert (point.decide([0.5, 0.1]) == ["blast", "normal"]).all()


@pytest.mark.parametrize(("y", "target"), [([False], 0.9), ([True], 0), ([True], 1.1)])
def test_what_cannot_be_asked_for(y, target):
    with pytest.raises(UsageError):
        sensitivity_at_least([0.5], y, target)


def test_thresholds_the_wrong_way_round():
    with pytest.raises(ValidationError, match="normal_below"):
        OperatingPoint(name="x", criterion="", target=0.9, normal_below=0.8, blast_from=0.2)


@given(st.lists(st.floats(0, 1), max_size=20))
def test_every_cell_gets_one_decision(p):
    point = OperatingPoint(name="x", criterion="", target=0.9, normal_below=0.3, blast_from=0.6)
    decided = point.decide(p)
    expected = ["blast" if v >= 0.6 else "normal" if v < 0.3 else "indeterminate" for v in p]
    assert decided.tolist() == expected
