"""``leukoscope bundle`` and ``leukoscope export``."""

from __future__ import annotations

import shutil

import numpy as np
import polars as pl
import pytest

from leukoscope.bundle.read import open_bundle
from leukoscope.evaluation.quantisation import Budget, Quantisation, stand_in
from leukoscope.evaluation.table import PredictionTable


def quantisation(budget=Budget()):  # noqa: B008 - frozen
    """One decision of a hundred is another one, and 7 of 2,400 pairs are out of order."""
    p = np.linspace(0.01, 0.99, 100)
    rows = {"cell_id": [f"c{n}" for n in range(100)], "subject_id": [f"s{n % 10}" for n in range(100)]}
    rows |= {"label": ["normal"] * 40 + ["blast"] * 60, "reason": [None] * 100}
    p_after = p.copy()
    p_after[39], p_after[46] = p[46] + 0.0001, p[39]
    tables = [
        PredictionTable(pl.DataFrame(rows | {"blast_probability": values, "decision": decisions}))
        for values, decisions in (
            (p, ["normal"] * 40 + ["blast"] * 60),
            (p, ["normal"] * 40 + ["blast"] * 60),
            (p_after, ["normal"] * 41 + ["blast"] * 59),
        )
    ]
    people = {
        "num_range_cells": 9,
        "num_range_subjects": 3,
        "num_fitting_cells": 8,
        "num_fitting_subjects": 4,
    }
    found = stand_in(*tables, draws=0)
    return Quantisation(of_bundle="0" * 16, way="plain", **people, budget=budget, measured=found)


def test_show(leukoscope, tiny_bundle):
    opened = open_bundle(tiny_bundle)
    shown = leukoscope("bundle", "show", tiny_bundle)
    assert shown.code == 0
    assert shown.out.startswith(f"bundle {opened.bundle_id}")
    assert "not for diagnosis" in shown.out
    document = leukoscope("bundle", "show", tiny_bundle, "--json").document
    assert document["bundle_id"] == opened.bundle_id
    assert document["classes"] == ["normal", "blast"]


def test_verify_finds_what_was_altered(leukoscope, tmp_path, tiny_bundle):
    assert leukoscope("bundle", "verify", tiny_bundle).code == 0
    copy = tmp_path / "copy.leuko"
    shutil.copytree(tiny_bundle, copy)
    (copy / "CARD.md").write_text("another card")
    (copy / "note.txt").write_text("a note")
    ran = leukoscope("bundle", "verify", copy, "--json")
    assert ran.code == 1
    assert ran.document["holds"] is False
    assert {name for name, state in ran.document["files"].items() if state == "altered"} == {"CARD.md"}
    assert ran.document["files"]["note.txt"] == "unlisted"
    assert leukoscope("predict", copy, "x.bmp").code == 2


def test_export_to_a_zip_and_back_is_the_same_bundle(leukoscope, tmp_path, tiny_bundle):
    first = leukoscope("export", tiny_bundle, "-o", tmp_path / "one.leuko.zip", "--json").document
    again = leukoscope("export", tmp_path / "one.leuko.zip", "-o", tmp_path / "two.leuko", "--json").document
    assert first["bundle_id"] == again["bundle_id"] == open_bundle(tiny_bundle).bundle_id
    for file in tiny_bundle.iterdir():
        assert (tmp_path / "two.leuko" / file.name).read_bytes() == file.read_bytes()


def test_a_private_export_names_nobody(leukoscope, tmp_path, tiny_bundle):
    out = tmp_path / "private.leuko"
    made = leukoscope("export", tiny_bundle, "-o", out, "--private", "--json").document
    assert made["private"] is True
    ours, theirs = open_bundle(tiny_bundle), open_bundle(out)
    names = set(ours.subjects["subject_id"]) | set(ours.subjects["sha256"])
    assert not names & {value for column in theirs.subjects for value in column.to_list()}
    assert theirs.overlap(["H2", "H3"], []).subjects == ("H2",)
    again = leukoscope("export", out, "-o", tmp_path / "again.leuko", "--private", "--json").document
    assert again == made | {"bundle": str(tmp_path / "again.leuko")}


def test_export_of_a_run_takes_its_bundle(leukoscope, tmp_path, tiny_bundle):
    shutil.copytree(tiny_bundle, tmp_path / "run" / "model.leuko")
    made = leukoscope("export", tmp_path / "run", "-o", tmp_path / "out.leuko", "--json").document
    assert made["bundle_id"] == open_bundle(tiny_bundle).bundle_id


def test_export_leaves_other_folders_alone(leukoscope, tmp_path, tiny_bundle):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    for options in ([], ["--private"]):
        assert leukoscope("export", tiny_bundle, "-o", tmp_path / "notes", *options).code == 2
    assert (tmp_path / "notes" / "mine.txt").read_text() == "mine"


def test_subjects_of_a_private_bundle_are_still_found_by_evaluate(leukoscope, tmp_path, tiny_bundle):
    out = tmp_path / "private.leuko"
    leukoscope("export", tiny_bundle, "-o", out, "--private")
    rows = {"cell_id": ["a", "b"], "subject_id": ["1", "H9"], "label": ["blast", "normal"]}
    pl.DataFrame(rows | {"blast_probability": [0.9, 0.1]}).write_csv(tmp_path / "cells.csv")
    leak = leukoscope("evaluate", tmp_path / "cells.csv", "--bundle", out, "--json").document["leak"]
    assert (leak["found"], leak["subjects"]) == (True, ["1"])


@pytest.fixture
def measured(monkeypatch, tiny_bundle):
    """``export --int8`` without NNCF: what would be measured, and whether a bundle is written."""
    from leukoscope.bundle.export import export_bundle
    from leukoscope.inference import int8

    asked = []

    def export_int8(source, data, out, *, budget, private):
        asked.append((source, data, budget, private))
        found = quantisation(budget)
        return int8.Int8Export(export_bundle(tiny_bundle, out) if found.holds else None, found)

    monkeypatch.setattr(int8, "export_int8", export_int8)
    return asked


def test_int8_within_the_budget_is_written_and_says_what_it_cost(leukoscope, tmp_path, tiny_bundle, measured):
    words = ("export", tiny_bundle, "-o", tmp_path / "o.leuko", "--int8", "--calibration-data", tmp_path)
    ran = leukoscope(*words)
    assert ran.code == 0 and open_bundle(tmp_path / "o.leuko")
    for said in ("decisions changed", "1.00%, allowed 2.0%", "+0.0029, allowed 0.0050", "fitted nothing"):
        assert said in ran.out
    document = leukoscope(*words, "--private", "--json").document
    assert document["holds"] and document["quantisation"]["budget"] == {"decisions": 0.02, "auroc": 0.005}
    assert measured[0][:2] == (str(tiny_bundle), tmp_path) and [private for *_, private in measured] == [
        False,
        True,
    ]


def test_int8_beyond_the_budget_is_exit_code_1_and_no_bundle(leukoscope, tmp_path, tiny_bundle, measured):
    words = ("export", tiny_bundle, "-o", tmp_path / "o.leuko", "--int8", "--calibration-data", tmp_path)
    ran = leukoscope(*words, "--budget-decisions", "0.005")
    assert ran.code == 1 and "BEYOND THE BUDGET" in ran.out and ran.err.startswith("hint: ")
    ran = leukoscope(*words, "--budget-auroc", "0", "--json")
    assert (ran.code, ran.document["bundle"], ran.document["holds"]) == (1, None, False)
    assert not (tmp_path / "o.leuko").exists()


def test_int8_and_its_cells_go_together(leukoscope, tmp_path, tiny_bundle):
    for words in (["--int8"], ["--calibration-data", tmp_path]):
        ran = leukoscope("export", tiny_bundle, "-o", tmp_path / "o.leuko", *words)
        assert ran.code == 2 and "--int8" in ran.err and not (tmp_path / "o.leuko").exists()
