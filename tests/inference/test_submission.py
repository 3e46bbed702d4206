"""The challenge's file, as the challenge reads it."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import polars as pl
import pytest

from leukoscope.errors import TableError
from leukoscope.inference.predict import predict
from leukoscope.inference.predictor import Predictor
from leukoscope.inference.submission import check_numbered, submission


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
        {"1.bmp": 0.1, "01.bmp": 0.2},
        {"1.bmp": 0.1, "\u0662.bmp": 0.2},
        {"1.bmp": 0.1, "2 (copy).bmp": 0.2},
        {"1.bmp": 0.1, "": 0.2},
    ],
)
def test_files_that_are_not_one_to_n_are_refused(tmp_path, answers):
    with pytest.raises(TableError, match="each once"):
        submission(rows(answers), tmp_path / "s.zip")
    assert not (tmp_path / "s.zip").exists()


def test_pixels_without_a_name_are_refused(tmp_path):
    nameless = pl.DataFrame({"path": ["1.bmp", None], "blast_probability": [0.1, 0.2]})
    with pytest.raises(TableError, match="found 'pixels' where 2 should be"):
        submission(nameless, tmp_path / "s.zip")


def test_the_message_names_the_first_name_that_is_out_of_place():
    with pytest.raises(TableError, match=r"the files 1 to 3, each once; found 'a/4\.bmp' where 2 should be"):
        check_numbered(["a/4.bmp", "a/1.bmp", "a/x.bmp"])


def test_a_cell_without_an_answer_is_refused(tmp_path):
    with pytest.raises(TableError, match=r"2\.bmp has no probability"):
        submission(rows({"1.bmp": 0.1, "3.bmp": 0.3, "2.bmp": None}), tmp_path / "s.zip")
    assert not (tmp_path / "s.zip").exists()


def test_the_same_answers_are_the_same_file_and_anybody_may_read_it(tmp_path):
    paths = [submission(rows({"1.bmp": 0.1}), tmp_path / name) for name in ("a.zip", "b.zip")]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    (entry,) = zipfile.ZipFile(paths[0]).infolist()
    assert entry.external_attr >> 16 == 0o644


@pytest.fixture
def numbered(tmp_path, tiny_cohort):
    """The unlabelled cells of the tiny cohort, 1.bmp to 5.bmp, in a folder that may be changed."""
    cells = tiny_cohort / "C-NMC_Leukemia" / "testing_data" / "C-NMC_test_final_phase_data"
    return Path(shutil.copytree(cells, tmp_path / "C-NMC_test_final_phase_data"))


def test_wrong_names_are_found_before_a_cell_is_judged(tiny_bundle, numbered, tmp_path, monkeypatch):
    (numbered / "3.bmp").rename(numbered / "13.bmp")
    monkeypatch.setattr(Predictor, "judge", lambda *_: pytest.fail("it was judged"))
    with pytest.raises(TableError, match=r"found '4\.bmp' where 3 should be"):
        predict(tiny_bundle, numbered, out=tmp_path / "t.csv", submission=tmp_path / "s.zip")
    assert not list(tmp_path.glob("t.csv*"))


def test_an_unreadable_cell_leaves_the_rows_and_no_submission(tiny_bundle, numbered, tmp_path):
    (numbered / "3.bmp").write_bytes(b"")
    with pytest.raises(TableError, match=r"3\.bmp has no probability"):
        predict(tiny_bundle, numbered, out=tmp_path / "t.csv", submission=tmp_path / "s.zip")
    assert pl.read_csv(tmp_path / "t.csv").height == 5 and not (tmp_path / "s.zip").exists()


def test_lines_are_those_of_the_table_in_the_order_of_the_numbers(tiny_bundle, numbered, tmp_path):
    for number in range(5, 0, -1):  # more than ten, so that the order of names is another
        shutil.copy(numbered / f"{number}.bmp", numbered / f"{number + 5}.bmp")
    shutil.copy(numbered / "2.bmp", numbered / "11.bmp")
    predict(tiny_bundle, numbered, out=tmp_path / "t.csv", submission=tmp_path / "s.zip")
    table = pl.read_csv(tmp_path / "t.csv")
    by_number = {int(Path(row["path"]).stem): row["blast_probability"] for row in table.to_dicts()}
    expected = "".join(f"{int(by_number[number] >= 0.5)}\n" for number in range(1, 12))
    assert read(tmp_path / "s.zip") == expected
