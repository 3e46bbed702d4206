"""``leukoscope compare``: tables side by side."""

from __future__ import annotations

import json

import polars as pl
import pytest


@pytest.fixture
def tables(tmp_path, tiny_split):
    """Two runs' predictions, and a third in another format."""
    labelled = pl.read_parquet(tiny_split).drop_nulls("label").sort("cell_id")
    paths = []
    for run, step in (("first", 7), ("second", 3)):
        chance = pl.Series(
            "blast_probability", [(step * place) % 10 / 10 for place in range(labelled.height)]
        )
        path = tmp_path / run / "predictions.parquet"
        path.parent.mkdir()
        labelled.select("cell_id", "subject_id", "label", chance).write_parquet(path)
        paths.append(path)
    third = tmp_path / "first" / "predictions.csv"
    pl.read_parquet(paths[1]).write_csv(third)
    return [*paths, third]


def test_two_tables_named_by_their_runs(leukoscope, tables, tmp_path):
    ran = leukoscope("compare", *tables[:2], "-o", tmp_path / "report", "--json")
    assert ran.code == 0
    assert ran.document == json.loads((tmp_path / "report" / "report.json").read_text())
    assert ran.document["names"] == ["first", "second"]
    shown = leukoscope("compare", *tables[:2], "-o", tmp_path / "report")
    assert "first less second" in shown.out
    assert f"report: {tmp_path / 'report' / 'report.html'}" in shown.out


def test_three_tables_and_the_cells_for_pictures(leukoscope, tables, tiny_split, tmp_path):
    ran = leukoscope("compare", *tables, "--data", tiny_split, "-o", tmp_path / "report")
    assert ran.code == 0
    assert ran.out.count("first/predictions.csv") == 4  # two pairs, two metrics
    assert "data:image/jpeg" in (tmp_path / "report" / "report.html").read_text()


def test_what_cannot_be_compared(leukoscope, tables, tmp_path):
    for words, said in (
        ([tables[0], tables[0]], "given twice"),
        ([tables[0]], "2 to 12 tables"),
        ([tables[0], tmp_path / "none.csv"], "no such file"),
        ([tables[0], tables[1], "--threshold", 3], "threshold"),
    ):
        ran = leukoscope("compare", *words, "-o", tmp_path / "report")
        assert ran.code == 2
        assert said in ran.err and "hint:" in ran.err
        assert not (tmp_path / "report").exists()
