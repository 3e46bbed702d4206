"""What a map explains is the log-odds of what predict reports, and its slopes are its derivative."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from leukoscope.evaluation.calibration import Calibration
from leukoscope.explain.evidence import log_odds, slopes

logits = arrays(np.float64, (3, 4), elements=st.floats(-20, 20))
sides = st.lists(st.booleans(), min_size=4, max_size=4).filter(lambda some: 0 < sum(some) < 4).map(np.array)


@given(logits, sides)
def test_it_is_the_log_odds_of_the_raw_probability(z, positive):
    p = Calibration().apply(z)
    expected = np.log(p[:, positive].sum(1)) - np.log(p[:, ~positive].sum(1))
    np.testing.assert_allclose(log_odds(z, positive), expected, atol=1e-9)


@given(logits, sides)
def test_slopes_are_the_derivative(z, positive):
    step = 1e-5
    for k in range(4):
        up, down = z.copy(), z.copy()
        up[:, k] += step
        down[:, k] -= step
        numeric = (log_odds(up, positive) - log_odds(down, positive)) / (2 * step)
        np.testing.assert_allclose(slopes(z, positive)[:, k], numeric, atol=1e-5)


@given(st.floats(-30, 30))
def test_one_sigmoid_is_its_own_log_odds(z):
    assert log_odds([[0.0, z]], np.array([False, True]))[0] == z
