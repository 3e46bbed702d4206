"""``leukoscope predict`` as a function: files written, counted, summed up by subject."""

from __future__ import annotations

import shutil
import zipfile

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from leukoscope.errors import UsageError
from leukoscope.evaluation.by_subject import by_subject
from leukoscope.evaluation.table import PredictionTable
from leukoscope.inference.predict import predict
from leukoscope.inference.predictor import load


@pytest.fixture
def cohort(tiny_cohort, tmp_path):
    """A cohort with one broken file."""
    folder = shutil.copytree(tiny_cohort, tmp_path / "cohort")
    next(folder.rglob("UID_*_all.bmp")).write_bytes(b"broken")
    return folder


@pytest.mark.parametrize("name", ["out.csv", "out.parquet", "out.jsonl"])
def test_what_is_written_is_what_python_gives(tiny_bundle, cohort, tmp_path, name):
    done = predict(tiny_bundle, cohort, out=tmp_path / name)
    table = load(tiny_bundle).predict(cohort)
    assert_frame_equal(PredictionTable.read(tmp_path / name).frame, table.frame)
    assert (done.num_cells, done.num_unreadable) == (len(table.frame), 1)
    assert done.table is None and done.subjects is None
    assert PredictionTable.read(tmp_path / name).is_synthetic


def test_without_a_file_the_table_comes_back(tiny_bundle, cohort):
    done = predict(tiny_bundle, cohort)
    assert_frame_equal(done.table.frame, load(tiny_bundle).predict(cohort).frame)
    assert done.num_unreadable == done.table.num_unreadable == 1


@pytest.mark.parametrize("out", [None, "out.csv", "out.parquet"])
def test_subjects_are_summed_up_with_and_without_a_table(tiny_bundle, cohort, tmp_path, out):
    path = tmp_path / "subjects.csv"
    done = predict(tiny_bundle, cohort, out=out and tmp_path / out, by_subject=path)
    expected = by_subject(load(tiny_bundle).predict(cohort).frame)
    assert_frame_equal(done.subjects, expected)
    assert done.subjects["num_unreadable"].sum() == 1
    written = pl.read_csv(path, schema_overrides={"subject_id": pl.Utf8})
    assert written["stamp"].unique().to_list() == ["SYNTHETIC"]
    assert written["num_cells"].to_list() == expected["num_cells"].to_list()


def test_one_person_can_be_named(tiny_bundle, cohort, tmp_path):
    done = predict(tiny_bundle, cohort, by_subject=tmp_path / "s.parquet", subject_id="P7")
    assert done.subjects["subject_id"].to_list() == ["P7"]
    assert done.subjects["num_cells"].to_list() == [done.num_cells]


def test_a_submission_answers_every_numbered_file(tiny_bundle, tiny_cohort, tmp_path):
    folder = tiny_cohort / "C-NMC_Leukemia/testing_data/C-NMC_test_final_phase_data"
    for out in (None, tmp_path / "out.csv"):
        done = predict(tiny_bundle, folder, out=out, submission=tmp_path / "s.zip")
        with zipfile.ZipFile(tmp_path / "s.zip") as archive:
            lines = archive.read("isbi_valid.predict").decode().splitlines()
        assert len(lines) == done.num_cells and set(lines) <= {"0", "1"}


def test_an_output_that_cannot_be_is_said_before_the_work(tiny_bundle, cohort, tmp_path):
    for wrong in ({"out": tmp_path / "t.xlsx"}, {"by_subject": tmp_path / "t.html"}):
        with pytest.raises(UsageError, match="ending in"):
            predict(tiny_bundle, cohort, **wrong)
    assert not list(tmp_path.glob("t.*"))
