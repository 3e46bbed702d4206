"""The challenge's file, as the challenge reads it."""

from __future__ import annotations

import zipfile

import polars as pl
import pytest

from leukoscope.errors import TableError
from leukoscope.inference.submission import submission


def rows(answers: dict[str, float | None]) -> pl.DataFrame:
    return pl.DataFrame(
        {"path": list(answers), "blast_probability": list(answers.values())},
        schema={"path": pl.Utf8, "blast_probability": pl.Float64},
    )


def read(path) -> str:
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["isbi_valid.predict"]
        return archive.read("isbi_valid.predict").decode()


def test_lines_are_in_the_order_of_the_numbers_not_of_the_names(tmp_path):
    answers = {
        f"C-NMC_test/{number}.bmp": float(number % 3 == 0) for number in (10, 1, 2, 11, 3, 4, 5, 6, 7, 8, 9)
    }
    text = read(submission(rows(answers), tmp_path / "s.zip"))
    assert text == "0\n0\n1\n0\n0\n1\n0\n0\n1\n0\n0\n"


def test_the_threshold_itself_is_a_blast(tmp_path):
    path = submission(rows({"1.bmp": 0.5, "2.bmp": 0.4999, "3.bmp": 0.7}), tmp_path / "s.zip")
    assert read(path) == "1\n0\n1\n"
    assert read(submission(rows({"1.bmp": 0.5}), path, threshold=0.6)) == "0\n"


@pytest.mark.parametrize(
    "answers",
    [
        {"1.bmp": 0.1, "3.bmp": 0.1},
        {"1.bmp": 0.1, "a/1.bmp": 0.1},
        {"0.bmp": 0.1, "1.bmp": 0.1},
        {"1.bmp": 0.1, "cell.bmp": 0.2},
    ],
)
def test_files_that_are_not_one_to_n_are_refused(tmp_path, answers):
    with pytest.raises(TableError, match="each once"):
        submission(rows(answers), tmp_path / "s.zip")
    assert not (tmp_path / "s.zip").exists()


def test_a_cell_without_an_answer_is_refused(tmp_path):
    with pytest.raises(TableError, match=r"2\.bmp has no probability"):
        submission(rows({"1.bmp": 0.1, "2.bmp": None}), tmp_path / "s.zip")
