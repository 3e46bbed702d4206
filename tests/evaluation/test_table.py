"""Reading, checking and writing prediction tables."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from leukoscope.errors import TableError
from leukoscope.evaluation.table import COLUMNS, PredictionTable, class_columns, stamps

ROWS = {
    "cell_id": ["a", "b", "c", "d"],
    "subject_id": ["5", "H5", None, "05"],
    "label": ["blast", "normal", "blast", None],
    "blast_probability": [0.75, 0.25, None, 0.5],
}


@pytest.fixture
def frame():
    return pl.DataFrame(ROWS)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_every_format_gives_the_rows_back(frame, suffix, tmp_path):
    full = frame.with_columns(
        fold=pl.Series([0, 1, None, 2], dtype=pl.Int32), error=pl.Series([None, None, "empty", None]), extra=7
    )
    path = PredictionTable(full).write(tmp_path / f"cells{suffix}")
    again = PredictionTable.read(path).frame
    kept = [name for name in full.columns if name != "extra"]
    assert again.select(kept).equals(full.select(kept))
    assert again["subject_id"].to_list() == ["5", "H5", None, "05"]


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_stamps_travel_in_every_format(frame, suffix, tmp_path):
    stamped = PredictionTable(frame, {"leaky": "true", "synthetic": "false"})
    again = PredictionTable.read(stamped.write(tmp_path / f"cells{suffix}"))
    assert (again.is_leaky, again.is_synthetic) == (True, False)
    assert "stamp" not in again.frame.columns


def test_an_honest_csv_has_no_stamp(frame, tmp_path):
    text = PredictionTable(frame).write(tmp_path / "cells.csv").read_text()
    assert text.splitlines()[0] == "cell_id,subject_id,label,blast_probability"


def test_parquet_keeps_the_metadata(frame, tmp_path):
    metadata = {"bundle_id": "abc", "classes": json.dumps(["normal", "blast"])}
    path = PredictionTable(frame, metadata).write(tmp_path / "cells.parquet")
    assert PredictionTable.read(path).metadata == metadata


def test_a_table_of_another_program_will_do(tmp_path):
    path = tmp_path / "theirs.csv"
    path.write_text(
        "blast_probability,cell_id,label,subject_id,note\n0.5,1,blast,7,x\n1e-3,2,normal,H7,\nnan,3,normal,,\n"
    )
    table = PredictionTable.read(path)
    assert table.p.tolist() == [0.5, 0.001]
    assert table.subjects.tolist() == ["7", "H7"]
    assert table.num_unreadable == 1
    assert table.frame["note"].to_list() == ["x", None, None]


def test_what_is_judged_and_what_is_not(frame):
    table = PredictionTable(frame)
    assert table.judged["cell_id"].to_list() == ["a", "b"]
    assert (table.num_unreadable, table.num_unlabelled) == (1, 1)
    np.testing.assert_array_equal(table.y, [True, False])


def test_an_error_keeps_a_row_out_even_with_a_probability(frame):
    table = PredictionTable(frame.with_columns(error=pl.Series(["damaged", None, None, None])))
    assert table.judged["cell_id"].to_list() == ["b"]


@pytest.mark.parametrize("missing", ROWS)
def test_a_missing_column_is_named(frame, missing):
    with pytest.raises(TableError, match=f"missing: {missing}"):
        PredictionTable(frame.drop(missing))


@pytest.mark.parametrize("value", [-0.01, 1.2, float("inf")])
def test_no_probability_is_an_error_that_names_the_cell(frame, value):
    wrong = frame.with_columns(blast_probability=pl.Series([0.1, 0.2, 0.3, value]))
    with pytest.raises(TableError, match="cell 'd'"):
        PredictionTable(wrong)


def test_text_in_a_number_column_names_the_column(tmp_path):
    path = tmp_path / "theirs.csv"
    path.write_text("cell_id,subject_id,label,blast_probability\na,1,blast,high\n")
    with pytest.raises(TableError, match=r"theirs\.csv: column 'blast_probability'"):
        PredictionTable.read(path)


def test_unknown_labels_are_listed(frame):
    table = PredictionTable(frame.with_columns(label=pl.Series(["ALL", "HEM", "ALL", None])))
    with pytest.raises(TableError, match="'ALL', 'HEM'"):
        table.judged  # noqa: B018


def test_positive_classes_can_be_named_while_reading(tmp_path):
    path = tmp_path / "theirs.csv"
    path.write_text("cell_id,subject_id,label,blast_probability\na,1,ALL,0.5\nb,2,HEM,0.5\n")
    table = PredictionTable.read(path, positive=["ALL"])
    assert table.y.tolist() == [True, False]
    assert table.classes == ("HEM", "ALL")


def test_several_positive_classes():
    names = ["benign", "pre-B", "pro-B"]
    rows = {name: [1 / 3] * 3 for name in (f"probability_{name}" for name in names)}
    frame = (
        pl.DataFrame({**ROWS, "label": [*names, None]})
        .head(3)
        .with_columns(**{k: pl.Series(v) for k, v in rows.items()})
    )
    table = PredictionTable(
        frame.with_columns(blast_probability=0.5), {"positive_classes": json.dumps(names[1:])}
    )
    assert table.classes == tuple(names)
    assert table.y.tolist() == [False, True, True]


@pytest.mark.parametrize("name", ["nothing.csv", "nothing.parquet"])
def test_no_file(tmp_path, name):
    with pytest.raises(TableError, match="no such file"):
        PredictionTable.read(tmp_path / name)


def test_not_a_table(tmp_path):
    (tmp_path / "cells.parquet").write_bytes(b"not parquet at all")
    with pytest.raises(TableError, match="cannot be read as parquet"):
        PredictionTable.read(tmp_path / "cells.parquet")
    with pytest.raises(TableError, match=r"ending in \.parquet, \.csv, \.jsonl, found '\.xlsx'"):
        PredictionTable.read(tmp_path / "cells.xlsx")


def test_the_columns_are_those_of_the_command_line_document():
    known = ["cell_id", "path", "sha256", "subject_id", "label", "split", "fold", "decision", "reason"]
    scores = ["blast_probability", "raw_probability", "ruler_probability", "novelty", "quality"]
    measures = ["cell_width", "cell_height", "cell_area", "brightness", "stain"]
    assert list(COLUMNS) == [*known, *scores, *measures, "bundle_id", "error"]
    assert list(class_columns(["x"])) == ["probability_x", "logit_x"]


def test_no_stamp():
    assert stamps({"leaky": "false"}) == ""


def test_all_and_hem_are_understood_where_the_file_names_no_classes(tmp_path):
    rows = {"cell_id": ["a", "b", "c"], "subject_id": ["1", "H1", "2"], "blast_probability": [0.9, 0.2, 0.5]}
    path = tmp_path / "theirs.csv"
    pl.DataFrame(rows | {"label": ["ALL", "hem", None]}).write_csv(path)
    assert PredictionTable.read(path).frame["label"].to_list() == ["blast", "normal", None]
    assert PredictionTable.read(path, positive=["ALL"]).y.tolist() == [True, False]
    pl.DataFrame(rows | {"label": ["ALL", "hem", "pre-B"]}).write_csv(path)
    with pytest.raises(TableError, match="'pre-B'") as caught:
        _ = PredictionTable.read(path).y
    assert "--positive" in caught.value.hint


def test_a_class_that_counts_as_blast_must_be_there(tmp_path):
    rows = {"cell_id": ["a", "b"], "subject_id": ["1", "H1"], "blast_probability": [0.9, 0.2]}
    path = tmp_path / "theirs.csv"
    pl.DataFrame(rows | {"label": ["1", "0"]}).write_csv(path)
    assert PredictionTable.read(path, positive=["1"]).y.tolist() == [True, False]
    with pytest.raises(TableError, match="no cell has the label '2'"):
        PredictionTable.read(path, positive=["2"])
    columns = {"label": ["ALL", "HEM"], "probability_ALL": [0.9, 0.2], "probability_HEM": [0.1, 0.8]}
    with pytest.raises(TableError, match="'blast' among the classes"):
        _ = PredictionTable(pl.DataFrame(rows | columns)).y
