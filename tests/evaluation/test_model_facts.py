"""Operating points of a bundle on the judged cells."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from leukoscope.errors import ConfigError, TableError
from leukoscope.evaluation.evaluate import evaluate
from leukoscope.evaluation.operating_points import OperatingPoint
from leukoscope.evaluation.table import PredictionTable


def point(low, high=None, name="mine"):
    high = low if high is None else high
    return OperatingPoint(
        name=name, criterion="sensitivity at least", target=0.9, normal_below=low, blast_from=high
    )


def test_frozen_thresholds_beside_the_metrics(make_table):
    table = make_table()
    report = evaluate(table, bundle_info={"operating_points": [point(0.2).model_dump()]}, draws=50)
    found = report.operating_points["mine"]
    assert found.sensitivity.estimate == (table.p[table.y] >= 0.2).mean()
    assert found.specificity.estimate == (table.p[~table.y] < 0.2).mean()
    assert found.share_indeterminate.estimate == 0
    assert found.sensitivity.ci_low < found.sensitivity.ci_high
    assert report.metrics["sensitivity"].estimate == (table.p[table.y] >= 0.5).mean()


def test_two_thresholds_leave_some_indeterminate(make_table):
    table = make_table()
    points = {"operating_points": [point(0.3, 0.7)]}
    found = evaluate(table, bundle_info=points, draws=50).operating_points["mine"]
    assert found.share_indeterminate.estimate == pytest.approx(((table.p >= 0.3) & (table.p < 0.7)).mean())
    assert found.npv.estimate == pytest.approx((~table.y[table.p < 0.3]).mean())


def test_out_of_fold_rows_are_read_at_thresholds_of_the_other_folds(make_table):
    table = make_table()
    fold = pl.Series(np.arange(len(table.p)) % 2).cast(pl.Int32)
    by_fold = {"0": [point(0.1).model_dump()], "1": [point(0.9).model_dump()]}
    folded = PredictionTable(table.frame.with_columns(fold=fold), {"operating_points": json.dumps(by_fold)})
    other = {"operating_points": [point(0.5)]}
    found = evaluate(folded, bundle_info=other, draws=50).operating_points["mine"]
    called = table.p >= np.where(fold.to_numpy() == 0, 0.1, 0.9)
    assert found.sensitivity.estimate == pytest.approx(called[table.y].mean())
    assert found.thresholds_by_fold == {"0": (0.1, 0.1), "1": (0.9, 0.9)}
    assert found.blast_from is None


def test_a_fold_without_thresholds_is_an_error(make_table):
    table = make_table()
    by_fold = json.dumps({"0": [point(0.1).model_dump()]})
    frame = table.frame.with_columns(fold=pl.lit(3, pl.Int32))
    with pytest.raises(TableError, match="folds '3'"):
        evaluate(PredictionTable(frame, {"operating_points": by_fold}), draws=0)


def test_an_unknown_key_is_named(make_table):
    wrong = {"operating_points": [{**point(0.1).model_dump(), "treshold": 1}]}
    with pytest.raises(ConfigError, match="treshold"):
        evaluate(make_table(), bundle_info=wrong, draws=0)


def test_no_bundle_no_operating_points(make_table):
    assert evaluate(make_table(), draws=0).operating_points == {}
