"""AUROC from pairs of subjects, against scikit-learn draw by draw."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from leukoscope.evaluation.bootstrap import Subjects
from leukoscope.evaluation.subject_pairs import auroc_of_draws


@given(st.integers(0, 10_000), st.booleans(), st.booleans())
def test_equals_scikit_learn_with_ties_and_weights(seed, mixed, weighted):
    random = np.random.default_rng(seed)
    owner = random.integers(0, 8, 60)
    y = random.random(60) < 0.5 if mixed else owner % 2 == 0
    p = random.integers(0, 6, 60) / 5
    weights = random.random(60) if weighted else None
    subjects = Subjects.of(owner.astype(str), y)
    times = subjects.draw(6, seed)
    found = auroc_of_draws(y, p, subjects, times, weights=weights)
    for value, row in zip(found, times, strict=True):
        own = row[subjects.index] * (1 if weights is None else weights)
        if own[y].sum() > 0 and own[~y].sum() > 0:
            assert value == pytest.approx(roc_auc_score(y, p, sample_weight=own), abs=1e-12)
        else:
            assert np.isnan(value)


def test_one_class_is_undefined():
    y = np.ones(4, dtype=bool)
    subjects = Subjects.of(list("aabb"), y)
    assert np.isnan(auroc_of_draws(y, np.zeros(4), subjects, np.ones((3, 2)))).all()
