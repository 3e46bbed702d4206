"""More than two classes."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from sklearn import metrics as sk

from leukoscope.evaluation.evaluate import evaluate
from leukoscope.evaluation.per_class import class_rows
from leukoscope.evaluation.readings import Cells
from leukoscope.evaluation.table import PredictionTable

NAMES = ["benign", "pre-B", "pro-B"]


def cells_of(table):
    return Cells(table.y, table.subjects, 200, 0)


@pytest.fixture
def table():
    random = np.random.default_rng(0)
    label = random.integers(0, 3, 120)
    p = random.dirichlet(np.ones(3), 120) + 0.4 * np.eye(3)[label]
    p /= p.sum(axis=1, keepdims=True)
    rows = {
        "cell_id": [str(n) for n in range(120)],
        "subject_id": [f"{k}-{n % 6}" for n, k in enumerate(label)],
        "label": [NAMES[k] for k in label],
        "blast_probability": p[:, 1:].sum(axis=1).clip(0, 1),
    }
    for place, name in enumerate(NAMES):
        rows[f"probability_{name}"] = p[:, place]
    metadata = {"classes": json.dumps(NAMES), "positive_classes": json.dumps(NAMES[1:])}
    return PredictionTable(pl.DataFrame(rows), metadata)


def test_each_class_against_the_rest_equals_scikit_learn(table):
    label = table.frame["label"].to_numpy()
    p = table.frame.select(f"probability_{name}" for name in NAMES).to_numpy()
    called = np.array(NAMES)[p.argmax(axis=1)]
    report = sk.classification_report(label, called, output_dict=True)
    matrix = sk.confusion_matrix(label, called, labels=NAMES)
    for place, row in enumerate(class_rows(table, cells_of(table))):
        expected = report[row.name]
        found = [row.metrics[name].estimate for name in ("ppv", "sensitivity", "f1")]
        assert found == pytest.approx([expected["precision"], expected["recall"], expected["f1-score"]])
        area = row.metrics["auroc"]
        assert area.estimate == pytest.approx(sk.roc_auc_score(label == row.name, p[:, place]))
        assert area.ci_low < area.estimate < area.ci_high
        assert (area.num_cells, area.num_subjects) == (120, 18)
        assert list(row.called.values()) == matrix[place].tolist()
        assert row.positive == (row.name != "benign")


def test_the_metrics_work_on_blasts_against_the_rest(table):
    report = evaluate(table, draws=50)
    y = table.frame["label"].to_numpy() != "benign"
    assert report.metrics["auroc"].estimate == pytest.approx(sk.roc_auc_score(y, table.p))
    assert len(report.classes) == 3
    assert {row.label for row in report.subjects} == set(NAMES)


def test_two_classes_need_no_table_of_classes(make_table):
    two = make_table()
    assert class_rows(two, cells_of(two)) == []


def test_a_class_without_cells_is_undefined(table):
    some = PredictionTable(table.frame.filter(pl.col("label") != "pro-B"), table.metadata)
    row = class_rows(some, cells_of(some))[2]
    found = [row.metrics[name].estimate for name in ("sensitivity", "f1", "auroc")]
    assert (row.num_cells, found) == (0, [None, None, None])
    assert "pro-B" in row.metrics["auroc"].reason
