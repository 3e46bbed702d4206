"""Mistakes that published results on these cells rest on: each must be said, and none may pass in silence."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from leukoscope.cohort.index import index
from leukoscope.cohort.splits import split
from leukoscope.evaluation.evaluate import evaluate
from leukoscope.evaluation.leak import NOT_CHECKED
from leukoscope.evaluation.table import PredictionTable


@pytest.fixture(scope="module")
def image_level(tiny_cohort):
    """Cells dealt out one by one, and the rows of their test part as a model would predict them."""
    cells = split(index(tiny_cohort), protocol="grouped-holdout", unit="image")
    test = cells.frame.filter(pl.col("split") == "test")
    random = np.random.default_rng(0)
    p = np.clip((test["label"] == "blast").to_numpy() * 0.4 + random.random(test.height) * 0.6, 0, 1)
    rows = test.select("cell_id", "subject_id", "label", "sha256").with_columns(blast_probability=p)
    return cells, PredictionTable(rows, {"leaky": cells.metadata.get("leaky", "")})


def test_the_same_person_in_training_and_in_test(image_level):
    cells, table = image_level
    report = evaluate(table, train=cells, draws=0)
    assert report.stamps == ["LEAKY", "SYNTHETIC", "LEAK FOUND"]
    assert report.leak.num_subjects == len(set(table.subjects))
    assert "its weights" in report.leak.summary


@pytest.mark.parametrize(
    ("role", "words"),
    [("validation", "its choice of epoch"), ("calibration", "its temperature and thresholds")],
)
def test_stopping_or_thresholds_fitted_on_the_cells_that_are_reported(make_table, role, words):
    table = make_table()
    names = sorted(set(table.subjects))
    fitted = pl.DataFrame({"subject_id": [*names, "99"], "role": [role] * len(names) + ["train"]})
    report = evaluate(table, train=fitted, draws=0)
    assert "LEAK FOUND" in report.stamps
    assert report.leak.num_by_role == {role: len(names)}
    assert words in report.leak.summary and "its weights" not in report.leak.summary


def test_nobody_looked(make_table):
    assert evaluate(make_table(), draws=0).leak == NOT_CHECKED


def test_the_majority_of_a_subject_given_as_accuracy_of_cells(make_table):
    table = make_table(cells=20)
    votes = table.frame.with_columns(
        blast_probability=(pl.col("blast_probability") >= 0.5).mean().over("subject_id").round(0)
    )
    voted = evaluate(PredictionTable(votes), draws=0)
    assert voted.metrics["accuracy"].estimate > evaluate(table, draws=0).metrics["accuracy"].estimate
    said = "judgements of subjects, not of cells"
    assert any(said in note for note in voted.notes)
    assert not any(said in note for note in evaluate(table, draws=0).notes)


def test_cells_counted_twice_under_two_names(make_table):
    table = make_table()
    hashed = table.frame.with_columns(sha256="file " + pl.col("cell_id"))
    twice = pl.concat([hashed, hashed.head(7).with_columns(cell_id="all_" + pl.col("cell_id"))])
    notes = evaluate(PredictionTable(twice), draws=0).notes
    assert any(note.startswith("7 judged cells are files that are in the table") for note in notes)
    assert not any("under another name" in note for note in evaluate(PredictionTable(hashed), draws=0).notes)


def test_a_model_fitted_on_copies_of_the_cells_judged(make_table):
    table = make_table()
    hashed = PredictionTable(table.frame.with_columns(sha256="file " + pl.col("cell_id")))
    copies = pl.DataFrame({"subject_id": ["99", "98"], "sha256": ["file cell_1", "file cell_2"]})
    report = evaluate(hashed, train=copies.with_columns(role=pl.lit("train")), draws=0)
    assert report.leak.num_copies == 2 and "LEAK FOUND" in report.stamps


def test_macro_f1_called_weighted(make_table):
    found = evaluate(make_table(blasts=20, normals=4), draws=0).metrics
    assert found["macro_f1"].estimate < found["weighted_f1"].estimate
