"""The numbers behind the figures."""

from __future__ import annotations

import numpy as np

from leukoscope.evaluation import curves


def test_curves_of_one_class_are_undefined():
    y, p = np.ones(3, bool), np.array([0.1, 0.2, 0.3])
    assert curves.roc(y, p) is None
    assert curves.precision_recall(~y, p) is None


def test_the_histogram_gives_shares_of_each_class():
    y = np.array([True, True, False])
    found = curves.histogram(y, np.array([0.0, 1.0, 0.5]), num_bins=2)
    assert found.edges == [0, 0.5, 1]
    assert (found.blasts, found.normals) == ([0.5, 0.5], [0, 1])
