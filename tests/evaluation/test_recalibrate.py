"""Tables calibrated on other people."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from scipy.special import logit

from leukoscope.errors import UsageError
from leukoscope.evaluation.calibrators import fit_calibration
from leukoscope.evaluation.evaluate import evaluate
from leukoscope.evaluation.recalibrate import Wanted, calibrate
from leukoscope.evaluation.table import PredictionTable


@pytest.fixture
def halves(make_table):
    """Rows to judge, and rows of other people to fit on, from a program that knows no logits."""
    whole = make_table(blasts=16, normals=14, seed=3).frame
    others = pl.col("subject_id").is_in([str(n) for n in range(1, 9)] + [f"H{n}" for n in range(1, 8)])
    return PredictionTable(whole.filter(~others)), PredictionTable(whole.filter(others))


def z_of(frame):
    return np.stack([np.zeros(frame.height), logit(frame["blast_probability"].to_numpy())], axis=1)


def test_the_other_peoples_cells_fit_and_these_are_judged(halves):
    table, on = halves
    calibrated, limits = calibrate(table, on, Wanted("platt", ("youden", "cost-5@0.1")))
    expected = fit_calibration(z_of(on.frame), on.y.astype(int), on.frame["subject_id"].to_numpy(), "platt")
    np.testing.assert_allclose(calibrated.p, expected.apply(z_of(table.frame))[:, 1], atol=1e-6)
    point = limits[""].points[0]
    assert calibrated.frame["decision"].to_list() == point.decide(calibrated.p).tolist()
    report = evaluate(calibrated, draws=0)
    assert list(report.operating_points) == ["youden", "cost-5@0.1"]
    reading = report.operating_points["youden"]
    assert reading.sensitivity.estimate == pytest.approx((calibrated.p >= point.blast_from)[table.y].mean())
    assert reading.fitted_on == f"{on.frame.height} cells of 15 calibration subjects"
    assert report.to_json()["operating_points"]["youden"]["target"] is None


def test_the_tables_own_calibration_rows_serve_and_are_not_judged(halves):
    table, on = halves
    rows = [
        one.frame.with_columns(split=pl.lit(role)) for one, role in ((table, "test"), (on, "calibration"))
    ]
    together, limits = calibrate(PredictionTable(pl.concat(rows)))
    apart, expected = calibrate(table, on)
    assert limits[""].calibration == expected[""].calibration
    report = evaluate(together, draws=0)
    assert report.num_cells == table.frame.height
    assert report.metrics["brier"].estimate == evaluate(apart, draws=0).metrics["brier"].estimate


def test_each_fold_is_fitted_on_the_others(make_table):
    frame = make_table(blasts=12, normals=12).frame
    fold = pl.col("subject_id").str.extract(r"(\d+)").cast(pl.Int32) % 2
    calibrated, limits = calibrate(PredictionTable(frame.with_columns(fold=fold)))
    assert set(limits) == {"0", "1"}
    others, here = (calibrated.frame["fold"] == kept for kept in (1, 0))
    y = (frame["label"] == "blast").to_numpy().astype(int)
    expected = fit_calibration(z_of(frame)[others], y[others], frame["subject_id"].to_numpy()[others])
    np.testing.assert_allclose(calibrated.p[here], expected.apply(z_of(frame)[here])[:, 1], atol=1e-6)
    reading = evaluate(calibrated, draws=0).operating_points["sensitivity-0.95"]
    assert set(reading.thresholds_by_fold) == {"0", "1"}
    assert json.loads(calibrated.metadata["calibration"])["0"]["method"] == "temperature"


def test_a_test_subject_fits_nothing(halves):
    table, on = halves
    smuggled = PredictionTable(pl.concat([on.frame, table.frame.head(1).with_columns(cell_id=pl.lit("new"))]))
    with pytest.raises(UsageError, match=r"refused.*1 of"):
        calibrate(table, smuggled)
    with pytest.raises(UsageError, match="refused"):
        calibrate(table, table)


def test_nor_does_a_test_file_under_another_name(halves):
    with_files = [
        PredictionTable(
            one.frame.with_columns(sha256=pl.Series([f"{side}{n}" for n in range(one.frame.height)]))
        )
        for side, one in enumerate(halves)
    ]
    calibrate(*with_files)
    stolen = with_files[1].frame.with_columns(
        sha256=pl.when(pl.int_range(pl.len()) == 0).then(pl.lit("00")).otherwise(pl.col("sha256"))
    )
    with pytest.raises(UsageError, match="refused"):
        calibrate(with_files[0], PredictionTable(stolen))


def test_unknown_people_are_refused(halves):
    table, on = halves
    nobody = PredictionTable(on.frame.with_columns(subject_id=pl.lit(None, pl.Utf8)))
    with pytest.raises(UsageError, match="whose cells"):
        calibrate(table, nobody)


def test_a_subject_in_two_folds_is_refused(make_table):
    frame = make_table().frame.with_row_index("fold").with_columns(pl.col("fold").cast(pl.Int32) % 2)
    with pytest.raises(UsageError, match="refused"):
        calibrate(PredictionTable(frame))


def test_rows_that_trained_or_are_judged_calibrate_nothing(halves):
    table, on = halves
    for role in ("train", "test"):
        with pytest.raises(UsageError, match="role"):
            calibrate(table, PredictionTable(on.frame.with_columns(split=pl.lit(role))))
    with pytest.raises(UsageError, match="nothing to fit"):
        calibrate(table)


def test_what_quality_forbade_stays_open_and_what_lay_between_is_decided_anew(halves):
    table, on = halves
    size = table.frame.height
    reason = [["novel", "between thresholds", None, "unreadable: x"][n % 4] for n in range(size)]
    frame = table.frame.with_columns(
        reason=pl.Series(reason),
        decision=pl.Series(["normal" if why is None else "indeterminate" for why in reason]),
        blast_probability=pl.when(pl.int_range(pl.len()) % 4 == 3).then(None).otherwise("blast_probability"),
    )
    calibrated, limits = calibrate(PredictionTable(frame), on, Wanted("temperature", ("covering-0.8",)))
    for n, row in enumerate(calibrated.frame.iter_rows(named=True)):
        if n % 4 in (0, 3):
            assert (row["decision"], row["reason"]) == ("indeterminate", reason[n])
        else:
            called = limits[""].points[0].decide([row["blast_probability"]])[0]
            assert row["decision"] == called
            assert row["reason"] == ("between thresholds" if called == "indeterminate" else None)


def test_three_classes_need_logits(make_table):
    frame = make_table().frame.with_columns(
        label=pl.when(pl.col("label") == "normal").then(pl.lit("benign")).otherwise(pl.lit("pro-B"))
    )
    said = {"classes": '["benign", "pre-B", "pro-B"]', "positive_classes": '["pre-B", "pro-B"]'}
    fold = pl.col("subject_id").str.extract(r"(\d+)").cast(pl.Int32) % 2
    with pytest.raises(UsageError, match="logits"):
        calibrate(PredictionTable(frame.with_columns(fold=fold), said))
