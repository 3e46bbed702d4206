"""Metrics with their intervals and reasons."""

from __future__ import annotations

import numpy as np
import pytest

from leukoscope.evaluation import metrics
from leukoscope.evaluation.readings import Cells, Judgement, read_calls


def judgement(table, *, draws=200, ids=True):
    return Judgement(Cells(table.y, table.subjects if ids else None, draws, seed=0), table.p, 0.5)


def test_every_metric_has_an_estimate_within_its_interval(make_table):
    found = judgement(make_table()).metrics
    assert tuple(found) == metrics.NAMES
    for name, metric in found.items():
        assert metric.ci_low <= metric.ci_high, name
        assert metric.reason is None
        if not name.startswith("ece"):  # resampling adds error of its own to a calibration error
            assert metric.ci_low <= metric.estimate <= metric.ci_high, name


def test_what_a_number_rests_on(make_table):
    table = make_table()
    found = judgement(table).metrics
    called = table.p >= 0.5
    assert found["sensitivity"].num_cells == table.y.sum()
    assert found["sensitivity"].num_subjects == 8
    assert found["specificity"].num_cells == (~table.y).sum()
    assert found["specificity"].num_subjects == 7
    assert found["ppv"].num_cells == called.sum()
    assert found["npv"].num_cells == (~called).sum()
    assert found["auroc"].num_cells == len(called)
    assert found["auroc"].num_subjects == 15
    assert found["auroc"].threshold is None
    assert found["accuracy"].threshold == 0.5


def test_without_subjects_there_is_no_interval(make_table):
    metric = judgement(make_table(), ids=False).metrics["auroc"]
    assert metric.estimate is not None
    assert (metric.ci_low, metric.num_subjects) == (None, None)
    assert "subjects" in metric.reason


def test_few_normal_subjects_leave_sensitivity_its_interval(make_table):
    """Fold 1 of C-NMC has three healthy subjects: its specificity is a statistic of three."""
    found = judgement(make_table(normals=3)).metrics
    assert found["specificity"].ci_low is None
    assert "3 subjects" in found["specificity"].reason
    assert found["auroc"].ci_low is None
    assert found["sensitivity"].ci_low is not None


def test_one_class_only(make_table):
    found = judgement(make_table(blasts=0)).metrics
    assert found["auroc"].estimate is None
    assert found["auroc"].reason == "undefined: there are no blasts"
    assert found["specificity"].ci_low is not None
    assert found["brier"].ci_low is not None


def test_no_cells_at_all():
    empty = Judgement(Cells(np.zeros(0, bool), None, 100, 0), np.zeros(0), 0.5)
    assert all(metric.estimate is None for metric in empty.metrics.values())
    assert all(metric.reason.startswith("undefined") for metric in empty.metrics.values())


def test_no_draws_no_interval(make_table):
    metric = judgement(make_table(), draws=0).metrics["auroc"]
    assert metric.reason == "no interval: no draws were asked for"


def test_calls_with_a_middle(make_table):
    """Indeterminate cells lower sensitivity and specificity, and are in no predictive value."""
    y = np.array([True, True, True, False, False])
    cells = Cells(y, None, 0, 0)
    blast = np.array([True, False, False, True, False])
    normal = np.array([False, True, False, False, True])
    found = read_calls(cells, blast, normal)
    values = {name: metric.estimate for name, metric in found.items()}
    expected = {"sensitivity": 1 / 3, "specificity": 1 / 2, "ppv": 1 / 2, "npv": 1 / 2}
    assert values == pytest.approx(expected | {"share_indeterminate": 1 / 5})
    assert (found["ppv"].num_cells, found["npv"].num_cells) == (2, 2)
    assert (found["sensitivity"].num_cells, found["share_indeterminate"].num_cells) == (3, 5)


def test_calls_at_one_threshold_are_the_metrics(make_table):
    table = make_table()
    found = judgement(table)
    calls = read_calls(found.cells, table.p >= 0.5, table.p < 0.5)
    for name in ("sensitivity", "specificity", "ppv", "npv"):
        assert calls[name].model_copy(update={"threshold": 0.5}) == found.metrics[name]
    assert calls["share_indeterminate"].estimate == 0
