"""``leukoscope calibrate``: other people fit, these are judged."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from leukoscope.evaluation.table import PredictionTable


@pytest.fixture
def tables(tmp_path):
    """Two tables of the same program, of different people, as CSV."""
    random = np.random.default_rng(0)
    paths = []
    for name, first in (("judged", 0), ("others", 100)):
        subject = np.repeat(np.arange(first, first + 20), 15)
        y = subject % 2 == 1
        odds = random.normal(0, 1, 300) + np.where(y, 0.5, -0.5)
        path = tmp_path / f"{name}.csv"
        pl.DataFrame(
            {
                "cell_id": [f"{name}{n}" for n in range(300)],
                "subject_id": subject.astype(str),
                "label": np.where(y, "blast", "normal"),
                "blast_probability": 1 / (1 + np.exp(-6 * odds)),
            }
        ).write_csv(path)
        paths.append(path)
    return paths


def test_other_people_calibrate_and_evaluate_reads_the_points(leukoscope, tables, tmp_path):
    out = tmp_path / "calibrated.parquet"
    words = ("calibrate", tables[0], "--on", tables[1], "-o", out, "--point", "cost-10@0.1")
    ran = leukoscope(*words)
    assert ran.code == 0
    assert "cost-10@0.1" in ran.out and "300 cells of 20 calibration subjects" in ran.out
    assert "log loss of subjects left out: temperature" in ran.out
    document = leukoscope(*words, "--json").document
    limits = document["limits"][""]
    assert limits["operating_points"][0]["name"] == "cost-10@0.1"
    before, after = (leukoscope("evaluate", path, "--json").document for path in (tables[0], out))
    assert after["metrics"]["ece"]["estimate"] < before["metrics"]["ece"]["estimate"] / 2
    assert list(after["operating_points"]) == ["cost-10@0.1"]


def test_a_csv_says_what_it_does_not_keep(leukoscope, tables, tmp_path):
    ran = leukoscope("calibrate", tables[0], "--on", tables[1], "-o", tmp_path / "out.csv")
    assert ran.code == 0 and "keeps no operating points" in ran.err
    assert PredictionTable.read(tmp_path / "out.csv").frame["decision"].is_in(["blast", "normal"]).all()


def test_what_is_refused(leukoscope, tables, tmp_path):
    out = tmp_path / "out.parquet"
    for words, said in (
        ([tables[0], "--on", tables[0]], "refused"),
        ([tables[0]], "nothing to fit"),
        ([tables[0], "--on", tables[1], "--point", "best"], "no operating point 'best'"),
        ([tables[0], "--on", tables[1], "--point", "cost-0"], "cost above 0"),
        ([tables[0], "--on", tmp_path / "none.csv"], "no such file"),
    ):
        ran = leukoscope("calibrate", *words, "-o", out)
        assert ran.code == 2
        assert said in ran.err and "hint:" in ran.err
        assert not out.exists()
