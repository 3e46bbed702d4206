"""Corrupted cells are predicted as if their files had been so."""

from __future__ import annotations

import shutil

import polars as pl

from leukoscope.bundle.read import open_bundle
from leukoscope.cells.corrupt import CORRUPTIONS
from leukoscope.cells.decode import decode
from leukoscope.cohort.index import index
from leukoscope.evaluation.corruptions import COLUMNS
from leukoscope.evaluation.evaluate import evaluate
from leukoscope.inference.corruptions import predict_corrupted
from leukoscope.inference.predictor import Predictor


def test_rows_are_those_of_corrupted_pictures(tiny_bundle, tiny_cohort):
    bundle, cells = open_bundle(tiny_bundle), index(tiny_cohort)
    found = predict_corrupted(bundle, cells)
    assert list(found) == list(CORRUPTIONS)
    pictures = [decode(cells.read_bytes(path)) for path in cells.frame["path"]]
    for corruption in (CORRUPTIONS[1], CORRUPTIONS[-1]):
        by_hand = Predictor(bundle).predict([corruption.apply(picture) for picture in pictures]).frame
        rows = found[corruption]
        assert rows.columns == list(COLUMNS)
        assert rows["cell_id"].to_list() == cells.frame["cell_id"].to_list()
        assert rows.drop("cell_id").equals(by_hand.select(COLUMNS[1:]))


def test_what_cannot_be_read_stays_a_row_and_is_judged_nowhere(tiny_bundle, tiny_cohort, tmp_path):
    cohort = tmp_path / "cohort"
    shutil.copytree(tiny_cohort, cohort)
    cells = index(cohort)
    damaged = cells.frame.filter(pl.col("label") == "blast")["path"][0]
    (cohort / damaged).write_bytes(b"BM, and nothing else")
    bundle = open_bundle(tiny_bundle)
    corrupted = predict_corrupted(bundle, cells, corruptions=CORRUPTIONS[:2])
    for rows in corrupted.values():
        unread = rows.filter(pl.col("blast_probability").is_null())
        assert unread.height == 1 and unread["reason"][0].startswith("unreadable")
    report = evaluate(Predictor(bundle).predict(cells), corrupted=corrupted, draws=0)
    assert report.num_unreadable == 1
    assert [row.differences["auroc"].num_cells for row in report.corruptions.rows] == [report.num_cells] * 2
