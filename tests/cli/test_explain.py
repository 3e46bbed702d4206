"""``leukoscope explain`` and ``predict --explain``."""

from __future__ import annotations

import sys

import pytest


def test_it_says_which_method_was_used_and_what_the_checks_found(
    leukoscope, tmp_path, tiny_bundle, tiny_cohort
):
    cells = tiny_cohort / "C-NMC_Leukemia" / "testing_data"
    ran = leukoscope("explain", tiny_bundle, cells, "-o", tmp_path / "out")
    assert ran.code == 0
    assert "by occlusion (the bundle has no class map)" in ran.out
    assert "what the network has learned?" in ran.out and "blurred first?" in ran.out
    assert "A map is no cause" in ran.err and "not for diagnosis" in ran.err and "[SYNTHETIC]" in ran.err
    assert len(list((tmp_path / "out").glob("*.png"))) == 5
    assert (tmp_path / "out" / "explain.html").is_file() and (tmp_path / "out" / "explain.json").is_file()


def test_broken_images_are_rows_and_exit_code_1(leukoscope, tmp_path, tiny_bundle, tiny_cohort):
    (tmp_path / "empty.bmp").write_bytes(b"")
    good = next(tiny_cohort.rglob("*_hem.bmp"))
    words = ("explain", tiny_bundle, tmp_path / "empty.bmp", good, "-o", tmp_path / "out")
    ran = leukoscope(*words, "--json")
    assert ran.code == 1
    assert [bool(cell["error"]) for cell in ran.document["cells"]] == [True, False]
    ran = leukoscope(*words)
    assert ran.code == 1 and "1 of 2 images have no map" in ran.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--method", "cam"), "--method occlusion"),
        (("--method", "integrated-gradients"), "--method occlusion"),
        (("--method", "magic"), "leukoscope explain --help"),
        (("--data", "no/such/cohort"), "check the path"),
    ],
)
def test_what_cannot_be_done_is_two_lines_and_nothing_is_written(
    leukoscope, tmp_path, tiny_bundle, tiny_cohort, words, said
):
    ran = leukoscope("explain", tiny_bundle, tiny_cohort, "-o", tmp_path / "out", *words)
    assert ran.code == 2 and not ran.out
    assert [line.partition(":")[0] for line in ran.err.splitlines()] == ["error", "hint"]
    assert said in ran.err
    assert not (tmp_path / "out").exists()


def test_a_missing_extra_is_named(leukoscope, tmp_path, tiny_bundle, tiny_cohort, monkeypatch):
    monkeypatch.setitem(sys.modules, "captum", None)
    ran = leukoscope("explain", tiny_bundle, tiny_cohort, "-o", tmp_path / "out", "--method", "grad-cam++")
    assert ran.code == 2 and 'pip install "leukoscope[explain]"' in ran.err


@pytest.mark.parametrize("command", ["explain", "predict"])
def test_a_file_is_no_folder(leukoscope, tmp_path, tiny_bundle, tiny_cohort, command):
    (tmp_path / "out").write_text("mine")
    flag = "-o" if command == "explain" else "--explain"
    ran = leukoscope(command, tiny_bundle, tiny_cohort, flag, tmp_path / "out")
    assert ran.code == 2 and "is a file" in ran.err and not ran.out
    assert (tmp_path / "out").read_text() == "mine"


def test_predict_explains_the_cells_that_it_judges(leukoscope, tmp_path, tiny_bundle, tiny_cohort):
    cells = tiny_cohort / "C-NMC_Leukemia" / "testing_data"
    out, maps = tmp_path / "cells.csv", tmp_path / "maps"
    ran = leukoscope("predict", tiny_bundle, cells, "-o", out, "--explain", maps)
    assert (ran.code, ran.out) == (0, f"{out}: 5 rows\n")
    assert "A map is no cause" in ran.err and str(maps / "explain.html") in ran.err
    document = leukoscope("predict", tiny_bundle, cells, "--explain", maps, "--json").document
    assert [cell["blast_probability"] for cell in document["explain"]["cells"]] == [
        row["blast_probability"] for row in document["rows"]
    ]
