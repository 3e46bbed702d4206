"""``leukoscope predict``: one row for every image."""

from __future__ import annotations

import polars as pl
import pytest

from leukoscope.evaluation.table import COLUMNS, PredictionTable


def test_rows_go_to_the_file_that_was_asked_for(leukoscope, tmp_path, tiny_bundle, tiny_split):
    tables = []
    for suffix in ("csv", "parquet", "jsonl"):
        out = tmp_path / f"cells.{suffix}"
        ran = leukoscope("predict", tiny_bundle, tiny_split, "-o", out, "--by-subject", tmp_path / "s.csv")
        assert (ran.code, ran.out) == (0, f"{out}: 53 rows\n")
        tables.append(PredictionTable.read(out).frame)
    for table in tables:
        assert table.columns[: len(COLUMNS)] == list(COLUMNS)
        assert table["cell_id"].to_list() == pl.read_parquet(tiny_split)["cell_id"].to_list()
        assert (table["blast_probability"] - tables[0]["blast_probability"]).abs().max() < 1e-9
    assert pl.read_csv(tmp_path / "s.csv")["num_cells"].sum() == 53


def test_without_out_the_table_is_on_the_screen(leukoscope, tiny_bundle, tiny_cohort):
    folder = tiny_cohort / "C-NMC_Leukemia" / "testing_data"
    ran = leukoscope("predict", tiny_bundle, folder)
    assert ran.code == 0
    assert [line.split()[0] for line in ran.out.splitlines()] == [
        "cell_id",
        *(f"final_{n}" for n in range(1, 6)),
    ]
    assert "not for diagnosis" in ran.err
    rows = leukoscope("predict", tiny_bundle, folder, "--json", "--subject", "P7").document["rows"]
    assert [row["subject_id"] for row in rows] == ["P7"] * 5


def test_what_cannot_be_read_is_a_row_and_exit_code_1(leukoscope, tmp_path, tiny_bundle, tiny_cohort):
    (tmp_path / "empty.bmp").write_bytes(b"")
    good = next(tiny_cohort.rglob("*_hem.bmp"))
    ran = leukoscope("predict", tiny_bundle, tmp_path / "empty.bmp", good, tmp_path / "missing.png", "--json")
    assert ran.code == 1
    assert (ran.document["num_cells"], ran.document["num_unreadable"]) == (3, 2)
    rows = ran.document["rows"]
    assert [row["decision"] == "indeterminate" and bool(row["error"]) for row in rows] == [True, False, True]
    assert [row["blast_probability"] is None for row in rows] == [True, False, True]


@pytest.mark.parametrize("out", ["cells.xlsx", "."])
def test_an_output_that_cannot_be_written_is_refused_first(leukoscope, tiny_bundle, tiny_cohort, out):
    ran = leukoscope("predict", tiny_bundle, tiny_cohort, "-o", out)
    assert ran.code == 2
    assert not ran.out


def test_a_gallery_shows_the_ends_of_the_table(leukoscope, tmp_path, tiny_bundle, tiny_cohort):
    page, out = tmp_path / "gallery.html", tmp_path / "cells.csv"
    ran = leukoscope("predict", tiny_bundle, tiny_cohort, "-o", out, "--gallery", page, "--json")
    assert (ran.code, ran.document["gallery"]) == (0, str(page))
    text = page.read_text()
    rows = pl.read_csv(out).sort("blast_probability")
    assert text.count("<img ") == 40
    assert rows["cell_id"][-1] in text and rows["cell_id"][0] in text
    assert rows["cell_id"][rows.height // 2] not in text
    assert rows["bundle_id"][0] in text
    without = leukoscope("predict", tiny_bundle, tiny_cohort, "--gallery", tmp_path / "again.html")
    assert without.code == 0 and "again.html" in without.err
    assert (tmp_path / "again.html").read_text() == text


def test_a_gallery_of_another_ending_is_refused_first(leukoscope, tmp_path, tiny_bundle, tiny_cohort):
    out = tmp_path / "cells.csv"
    ran = leukoscope("predict", tiny_bundle, tiny_cohort, "-o", out, "--gallery", tmp_path / "g.pdf")
    assert ran.code == 2 and ".html" in ran.err
    assert not out.exists()
