"""A cross-validated table fold by fold."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn import metrics as sk

from leukoscope.cohort.official import official_index
from leukoscope.evaluation import metrics
from leukoscope.evaluation.evaluate import evaluate
from leukoscope.evaluation.folds import SHOWN
from leukoscope.evaluation.table import PredictionTable


@pytest.fixture
def table(make_table):
    """Three folds; in fold 1 there are three normal subjects."""
    made = make_table(blasts=18, normals=15, cells=20)
    names = made.frame["subject_id"].unique(maintain_order=True).to_list()
    normals = [name for name in names if name.startswith("H")]
    blasts = [name for name in names if name not in normals]
    fold = {name: place % 3 for place, name in enumerate(blasts)}
    fold |= dict.fromkeys(normals[:3], 1) | {name: 2 * (place % 2) for place, name in enumerate(normals[3:])}
    column = made.frame["subject_id"].replace_strict(fold, return_dtype=pl.Int32)
    return PredictionTable(made.frame.with_columns(fold=column), made.metadata)


def test_each_fold_reads_what_its_rows_alone_read(table):
    found = evaluate(table, draws=200).folds
    assert [row.fold for row in found.rows] == ["0", "1", "2"]
    for number, row in enumerate(found.rows):
        own = PredictionTable(table.frame.filter(pl.col("fold") == number).drop("fold"))
        alone = evaluate(own, draws=0)
        assert (row.num_cells, row.num_blasts) == (alone.num_cells, alone.num_blasts)
        assert row.num_blast_subjects + row.num_normal_subjects == alone.num_subjects
        for name in SHOWN:
            assert row.metrics[name].estimate == pytest.approx(alone.metrics[name].estimate, abs=1e-12)


def test_few_subjects_are_named_and_have_no_interval(table):
    found = evaluate(table, draws=200).folds
    row = found.rows[1]
    assert row.num_normal_subjects == 3
    assert row.metrics["specificity"].ci_low is None
    assert row.metrics["specificity"].reason == "no interval: 3 subjects in a class, 5 are needed"
    assert row.metrics["sensitivity"].ci_low is not None
    few = [note for note in found.notes if note.startswith("Fold ")]
    assert len(few) == 1
    assert "Fold 1 has 3 normal subjects: H1, H2, H3." in few[0]
    assert f"({row.num_normals:,})" in few[0] and "specificity" in few[0]


def test_several_folds_of_few_people_share_a_note(make_table):
    frame = make_table(blasts=30, normals=8).frame
    number = pl.col("subject_id").str.extract(r"(\d+)").cast(pl.Int32)
    found = evaluate(PredictionTable(frame.with_columns(fold=number % 3)), draws=0).folds
    few = [note for note in found.notes if "few normal subjects" in note]
    assert len(few) == 1 and few[0].startswith("3 folds have few normal subjects: fold 0 H3, H6 (")
    cells = frame.filter(pl.col("subject_id").is_in(["H3", "H6"])).height
    assert f"fold 0 H3, H6 ({cells:,} cells); fold 1 H1, H4, H7 (" in few[0]
    assert not any("blast subjects" in note for note in found.notes)


def test_the_mean_within_folds_stands_beside_the_pooled_area(table):
    """A model whose scores are shifted by the fold ranks worse pooled, and no worse within."""
    shifted = table.frame.with_columns(blast_probability=(pl.col("blast_probability") + pl.col("fold")) / 3)
    report = evaluate(PredictionTable(shifted), draws=100)
    areas = [
        sk.roc_auc_score(part["label"] == "blast", part["blast_probability"])
        for _, part in shifted.group_by("fold", maintain_order=True)
    ]
    assert report.folds.mean_auroc.estimate == pytest.approx(np.mean(areas), abs=1e-12)
    assert report.metrics["auroc"].estimate < report.folds.mean_auroc.estimate - 0.05
    assert any(f"{np.mean(areas):.3f}" in note for note in report.folds.notes)
    assert report.folds.mean_auroc.reason == "no interval: 3 subjects in a class, 5 are needed"


def test_the_mean_has_an_interval_where_every_fold_has_enough_people(make_table):
    made = make_table(blasts=24, normals=24, cells=20)
    number = made.frame["subject_id"].str.extract("([0-9]+)").cast(pl.Int32) % 3
    found = evaluate(PredictionTable(made.frame.with_columns(fold=number)), draws=300).folds
    area = found.mean_auroc
    assert area.ci_low < area.estimate < area.ci_high
    widths = [row.metrics["auroc"].ci_high - row.metrics["auroc"].ci_low for row in found.rows]
    assert area.ci_high - area.ci_low < min(widths)  # folds are drawn each for itself


def test_the_spread_is_that_of_the_folds(table):
    found = evaluate(table, draws=0).folds
    for name in SHOWN:
        values = [row.metrics[name].estimate for row in found.rows]
        spread = found.spread[name]
        assert spread.mean == pytest.approx(np.mean(values))
        assert spread.standard_deviation == pytest.approx(np.std(values, ddof=1))
        assert (spread.lowest, spread.highest, spread.num_folds) == (min(values), max(values), 3)


def test_the_calibration_error_keeps_its_bins_while_subjects_are_drawn(table):
    row = evaluate(table, draws=300).folds.rows[0]
    part = table.frame.filter(pl.col("fold") == 0)
    y, p = (part["label"] == "blast").to_numpy(), part["blast_probability"].to_numpy()
    assert row.metrics["ece"].estimate == pytest.approx(float(metrics.ece(y, p)), abs=1e-12)
    assert row.metrics["ece"].ci_low < row.metrics["ece"].ci_high


def test_a_fold_of_one_class_is_undefined_and_not_in_the_mean(table):
    one = table.frame.filter((pl.col("fold") != 1) | (pl.col("label") == "blast"))
    found = evaluate(PredictionTable(one), draws=50).folds
    assert found.rows[1].metrics["auroc"].estimate is None
    assert found.rows[1].num_normal_subjects == 0
    assert found.spread["auroc"].num_folds == 2
    both = [found.rows[place].metrics["auroc"].estimate for place in (0, 2)]
    assert found.mean_auroc.estimate == pytest.approx(np.mean(both))


def test_only_pooled_rows_of_several_folds_are_read(table):
    for other in (
        table.frame.with_columns(fold=0),
        table.frame.with_columns(fold=pl.when(pl.col("fold") == 1).then(None).otherwise("fold")),
        table.frame.with_columns(split=pl.lit("validation")),
    ):
        assert evaluate(PredictionTable(other), draws=0).folds is None


def test_subjects_may_be_unknown(table):
    found = evaluate(
        PredictionTable(table.frame.with_columns(subject_id=pl.lit(None, pl.Utf8))), draws=50
    ).folds
    assert found.rows[1].num_normal_subjects is None
    assert not any(note.startswith("Fold ") for note in found.notes)


def test_the_three_healthy_people_of_the_official_fold_1():
    """1,163 healthy cells of fold_1 of C-NMC 2019 are of three people."""
    index = official_index().filter(pl.col("split") == "training")
    rows = index.select("fold", "label", cell_id="uid_name", subject_id="subject")
    chance = np.random.default_rng(0).random(rows.height)
    found = evaluate(PredictionTable(rows.with_columns(blast_probability=chance)), draws=0).folds
    assert [(row.num_cells, row.num_normal_subjects) for row in found.rows] == [
        (3527, 9),
        (3581, 3),
        (3553, 14),
    ]
    few = [note for note in found.notes if note.startswith("Fold ")]
    assert len(few) == 1
    assert few[0].startswith("Fold 1 has 3 normal subjects: ") and "(1,163)" in few[0]
