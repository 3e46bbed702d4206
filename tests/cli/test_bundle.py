"""``leukoscope bundle`` and ``leukoscope export``."""

from __future__ import annotations

import shutil

import polars as pl

from leukoscope.bundle.read import open_bundle


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
