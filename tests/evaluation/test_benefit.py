"""Predictive values and net benefit, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from leukoscope.errors import UsageError
from leukoscope.evaluation.benefit import decision_curve, predictive_values
from leukoscope.evaluation.evaluate import evaluate
from leukoscope.evaluation.readings import Cells, Judgement


def judgement(table, draws=200):
    return Judgement(Cells(table.y, table.subjects, draws, 0), table.p, 0.5)


def test_at_the_tables_own_share_they_are_those_of_the_table(make_table):
    table = make_table(blasts=12, normals=11)
    model = judgement(table)
    (found,) = predictive_values(model, [float(table.y.mean())])
    for name in ("ppv", "npv"):
        assert getattr(found, name).estimate == pytest.approx(model.metrics[name].estimate)


def test_at_another_share_they_are_those_of_cells_weighted_to_it(make_table):
    table = make_table(blasts=12, normals=11)
    share = 0.05
    weights = np.where(table.y, share / table.y.mean(), (1 - share) / (1 - table.y.mean()))
    called = table.p >= 0.5
    (found,) = predictive_values(judgement(table), [share])
    assert found.ppv.estimate == pytest.approx((weights * table.y * called).sum() / (weights * called).sum())
    assert found.npv.estimate == pytest.approx(
        (weights * ~table.y * ~called).sum() / (weights * ~called).sum()
    )
    assert found.ppv.ci_low < found.ppv.estimate < found.ppv.ci_high


@pytest.mark.parametrize("share", [0, 1, -0.1, 30])
def test_what_is_no_share_is_refused(make_table, share):
    with pytest.raises(UsageError, match="between 0 and 1"):
        evaluate(make_table(), draws=0, prevalences=[share])


def test_net_benefit_by_its_definition(make_table):
    table = make_table(blasts=12, normals=11)
    found = decision_curve(judgement(table))
    for place in (3, 20, 45):
        threshold = found.threshold[place]
        called = table.p >= threshold
        odds = threshold / (1 - threshold)
        expected = (called & table.y).mean() - odds * (called & ~table.y).mean()
        assert found.model[place] == pytest.approx(expected)
        assert found.all_blasts[place] == pytest.approx(table.y.mean() - odds * (1 - table.y.mean()))
        assert found.model_low[place] < found.model[place] < found.model_high[place]


def test_one_class_has_no_curve(make_table):
    assert decision_curve(judgement(make_table(normals=0))) is None
    assert evaluate(make_table(normals=0), draws=0).decision_curve is None
