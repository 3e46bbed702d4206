"""The numbers behind the figures."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leukoscope.evaluation import curves, metrics

CELLS = st.lists(st.tuples(st.booleans(), st.integers(0, 10)), min_size=1, max_size=80)


@given(CELLS)
def test_the_bins_of_the_diagram_are_those_of_the_error(cells):
    y, p = (np.array(column) for column in zip(*cells, strict=True))
    bins = curves.reliability(y, p / 10)
    error = sum(b.num_cells * abs(b.mean_probability - b.blast_share) for b in bins) / len(y)
    assert error == pytest.approx(float(metrics.ece(y, p / 10)), abs=1e-9)
    assert sum(b.num_cells for b in bins) == pytest.approx(len(y))
    means = [b.mean_probability for b in bins]
    assert all(a <= b + 1e-9 for a, b in pairwise(means))


def test_bins_by_hand():
    """15 cells: one a bin."""
    p = np.arange(15) / 15
    y = np.arange(15) > 9
    bins = curves.reliability(y, p)
    assert [b.mean_probability for b in bins] == pytest.approx(p.tolist())
    assert [b.blast_share for b in bins] == pytest.approx(y.astype(float).tolist())


def test_curves_of_one_class_are_undefined():
    y, p = np.ones(3, bool), np.array([0.1, 0.2, 0.3])
    assert curves.roc(y, p) is None
    assert curves.precision_recall(~y, p) is None
    assert curves.reliability(y[:0], p[:0]) == []


def test_the_histogram_gives_shares_of_each_class():
    y = np.array([True, True, False])
    found = curves.histogram(y, np.array([0.0, 1.0, 0.5]), num_bins=2)
    assert found.edges == [0, 0.5, 1]
    assert (found.blasts, found.normals) == ([0.5, 0.5], [0, 1])
