"""Operating points by name, against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from leukoscope.core.config import parse
from leukoscope.errors import ConfigError, UsageError
from leukoscope.evaluation.criteria import CRITERIA, fit_points
from leukoscope.evaluation.operating_points import least_cost, specificity_at_least, youden
from leukoscope.recipes.schema import Recipe

CELLS = st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=2, max_size=40).filter(
    lambda cells: len({blast for _, blast in cells}) == 2
)


def columns(cells):
    p, y = (np.array(column) for column in zip(*cells, strict=True))
    return p / 20, y


def every_threshold(p):
    return [*np.unique(p), 2.0]


def rates(p, y, threshold):
    return (p[y] >= threshold).mean(), (p[~y] < threshold).mean()


@given(CELLS, st.sampled_from([0.5, 0.9, 1.0]))
def test_specificity_is_held_and_no_lower_threshold_holds_it(cells, target):
    p, y = columns(cells)
    found = specificity_at_least(p, y, target).blast_from
    holding = [t for t in every_threshold(p) if rates(p, y, t)[1] >= target - 1e-12]
    assert (p >= found).tolist() == (p >= min(holding)).tolist()


@given(CELLS)
def test_youden_is_the_greatest_of_all_thresholds(cells):
    p, y = columns(cells)
    best = max(sum(rates(p, y, t)) for t in every_threshold(p))
    assert sum(rates(p, y, youden(p, y).blast_from)) == pytest.approx(best)
    false, true, _ = roc_curve(y, p)
    assert best - 1 == pytest.approx((true - false).max())


@given(CELLS, st.sampled_from([0.2, 1.0, 5.0, 100.0]), st.sampled_from([None, 0.01, 0.3, 0.9]))
def test_no_threshold_costs_less(cells, cost, prevalence):
    p, y = columns(cells)
    share = y.mean() if prevalence is None else prevalence

    def price(threshold):
        found, spared = rates(p, y, threshold)
        return cost * share * (1 - found) + (1 - share) * (1 - spared)

    found = least_cost(p, y, cost, prevalence).blast_from
    assert price(found) == pytest.approx(min(map(price, every_threshold(p))))


def test_a_rare_disease_moves_the_threshold_up_and_a_dear_miss_down():
    random = np.random.default_rng(0)
    y = random.random(4000) < 0.5
    p = 1 / (1 + np.exp(-(random.normal(0, 1, 4000) + np.where(y, 1, -1))))
    rare, common = (least_cost(p, y, 1, share).blast_from for share in (0.02, 0.5))
    dear = least_cost(p, y, 50, 0.5).blast_from
    assert dear < 0.2 < common < 0.8 < rare


def test_the_names_are_those_that_were_typed():
    p = np.array([0.1, 0.4, 0.6, 0.9])
    names = ["specificity-0.9", "youden", "cost-10", "cost-2.5@0.02", *CRITERIA]
    points = fit_points(p, p > 0.5, np.array(["H1", "H2", "1", "2"]), names, fitted_on="four")
    assert [point.name for point in points] == names
    assert {point.fitted_on for point in points} == {"four"}


IMPOSSIBLE = (
    *(
        "",
        "sensitivity",
        "sensitivity-",
        "sensitivity-2",
        "specificity-x",
        "youden-1",
        "f1-0.9",
        "covering-1",
    ),
    *("cost", "cost-0", "cost-1@1", "cost-1@2@3", "cost-inf", "cost-nan"),
)


@pytest.mark.parametrize("criterion", IMPOSSIBLE)
def test_what_nobody_can_fit(criterion):
    p, subjects = np.array([0.1, 0.9]), np.array(["H1", "1"])
    with pytest.raises(UsageError):
        fit_points(p, p > 0.5, subjects, [criterion], fitted_on="")


def test_one_class_is_not_enough():
    p, subjects = np.array([0.1, 0.9]), np.array(["1", "2"])
    for criterion in ("specificity-0.9", "youden", "cost-1", "covering-0.9"):
        with pytest.raises(UsageError):
            fit_points(p, p > 0, subjects, [criterion], fitted_on="")


def test_a_recipe_with_an_impossible_point_is_refused_before_training():
    recipe = {"name": "x", "title": "x", "source": "x", "model": {"name": "x"}, "preprocess": {"size": 8}}
    for points in (("best",), (), ("youden", "youden")):
        with pytest.raises(ConfigError, match="operating_points"):
            parse(Recipe, recipe | {"operating_points": points}, where="recipe x")
    assert parse(Recipe, recipe, where="recipe x").operating_points == CRITERIA
