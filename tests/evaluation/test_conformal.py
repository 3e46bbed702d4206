"""Thresholds with a promise for unseen people, kept by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leukoscope.errors import UsageError
from leukoscope.evaluation.conformal import covering, group_quantile


def people(random, num, *, blast):
    """Probabilities and owners: each person shifts all their cells, and has very many or very few of them."""
    size = np.maximum(1, random.lognormal(2.5, 1, num)).astype(int)
    shift = np.repeat(random.normal(0, 1.2, num), size)
    z = (1.0 if blast else -1.0) + shift + random.normal(0, 1, size.sum())
    names = np.repeat([f"{'' if blast else 'H'}{n}" for n in range(num)], size)
    return 1 / (1 + np.exp(-z)), names


@pytest.mark.parametrize(("num", "level"), [(9, 0.9), (19, 0.95), (40, 0.8)])
def test_unseen_people_are_covered_as_promised(num, level):
    random = np.random.default_rng(0)
    wrong = []
    for _ in range(1500):
        (blasts, owners), (normals, others) = (people(random, num, blast=kind) for kind in (True, False))
        y = np.repeat([True, False], [len(blasts), len(normals)])
        point = covering(np.append(blasts, normals), y, np.append(owners, others), level)
        assert point.target == level
        for blast, bad in ((True, "normal"), (False, "blast")):
            p, _ = people(random, 1, blast=blast)
            wrong.append((point.decide(p) == bad).mean())
    error = np.std(wrong) / np.sqrt(len(wrong))
    assert np.mean(wrong) < 1 - level + 3 * error
    if num > 1 / (1 - level):  # with just enough people it is the furthest cell of all that decides
        assert np.mean(wrong) > 0.3 * (1 - level)


def test_a_quantile_of_cells_would_not_keep_it():
    """What one gets by taking the cells of nine people for ninety independent ones."""
    random = np.random.default_rng(1)
    wrong = []
    for _ in range(1500):
        normals, _ = people(random, 9, blast=False)
        p, _ = people(random, 1, blast=False)
        wrong.append((p > np.quantile(normals, 0.9, method="higher")).mean())
    assert np.mean(wrong) > 0.11


def test_fewer_people_hold_less_and_say_so():
    random = np.random.default_rng(0)
    (blasts, owners), (normals, others) = people(random, 20, blast=True), people(random, 5, blast=False)
    y = np.repeat([True, False], [len(blasts), len(normals)])
    point = covering(np.append(blasts, normals), y, np.append(owners, others), fitted_on="them")
    assert point.target == pytest.approx(5 / 6)
    assert "0.9 was asked and 5 subjects" in point.criterion
    assert (point.name, point.fitted_on) == ("covering-0.9", "them")


@given(st.integers(0, 10_000), st.integers(1, 8), st.floats(0.05, 0.85))
def test_the_quantile_by_its_definition(seed, num, level):
    random = np.random.default_rng(seed)
    owner = np.append(random.integers(0, num, 40), np.arange(num)).astype(str)
    scores = random.integers(0, 12, len(owner)) / 12
    level = min(level, num / (num + 1))
    found = group_quantile(scores, owner, level)
    shares = [np.mean([(scores[owner == name] <= limit).mean() for name in set(owner)]) for limit in scores]
    enough = scores[np.array(shares) * num / (num + 1) >= level - 1e-9]
    assert found == pytest.approx(enough.min())


def test_with_one_cell_a_person_it_is_the_order_statistic():
    scores = np.random.default_rng(0).random(19)
    assert group_quantile(scores, np.arange(19).astype(str), 0.95) == scores.max()
    assert group_quantile(scores, np.arange(19).astype(str), 0.9) == np.sort(scores)[17]


def test_classes_that_do_not_overlap_leave_nothing_open():
    p = np.array([0.1, 0.2, 0.8, 0.9])
    point = covering(p, p > 0.5, ["H1", "H2", "1", "2"], level=0.6)
    assert point.normal_below == point.blast_from == pytest.approx(0.5)
    assert point.decide(p).tolist() == ["normal", "normal", "blast", "blast"]


def test_what_cannot_be_fitted():
    with pytest.raises(UsageError, match="both classes"):
        covering([0.1, 0.2], [True, True], ["1", "2"])
    with pytest.raises(UsageError, match="between 0 and 1"):
        covering([0.1, 0.2], [True, False], ["1", "2"], level=1.0)
