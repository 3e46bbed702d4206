"""``leukoscope data``: from files to a split."""

from __future__ import annotations

import shutil

import polars as pl
import pytest

from leukoscope.cohort.manifest import Manifest


def test_from_files_to_a_split(leukoscope, tmp_path, tiny_cohort):
    manifest, split = tmp_path / "cells.parquet", tmp_path / "split.parquet"
    indexed = leukoscope("data", "index", tiny_cohort, "-o", manifest, "--json")
    assert indexed.code == 0
    assert indexed.document["num_cells"] == 8 * 6 + 5 == len(Manifest.read(manifest))
    assert indexed.document["num_subjects"] == 8
    assert indexed.document["num_unlabelled"] == 5
    assert indexed.document["classes"]["blast"] == {"num_cells": 24, "num_subjects": 4}
    assert indexed.document["synthetic"] is True

    made = leukoscope(
        "data", "split", manifest, "-o", split, "--protocol", "grouped-kfold", "--folds", 3, "--json"
    )
    assert made.code == 0
    assert made.document["protocol"] == "grouped-kfold"
    assert set(made.document["parts"]) == {"0", "1", "2"}
    assert sum(row["num_cells"] for part in made.document["parts"].values() for row in part.values()) <= 48
    assert Manifest.read(split).metadata["folds"] == "3"


def test_a_split_by_image_is_stamped_and_audited(leukoscope, tmp_path, tiny_cohort):
    split = tmp_path / "split.parquet"
    made = leukoscope(
        "data", "split", tiny_cohort, "-o", split, "--protocol", "grouped-holdout", "--unit", "image"
    )
    assert made.code == 0
    assert "[LEAKY, SYNTHETIC]" in made.out
    audited = leukoscope("data", "audit", split)
    assert audited.code == 1
    assert "subject" in audited.out


def test_a_split_by_subject_passes_the_audit(leukoscope, tiny_split):
    audited = leukoscope("data", "audit", tiny_split, "--json")
    assert audited.code == 0
    assert audited.document["findings"] == []


def test_check_exits_with_1_when_something_is_wrong(leukoscope, tmp_path, tiny_cohort):
    assert leukoscope("data", "check", tiny_cohort).code == 0
    copy = tmp_path / "copy"
    shutil.copytree(tiny_cohort, copy)
    broken = next(copy.rglob("*_all.bmp"))
    broken.write_bytes(broken.read_bytes()[:1000])
    checked = leukoscope("data", "check", copy, "--json")
    assert checked.code == 1
    assert checked.document["counts"] == {"unreadable": 1}
    shown = leukoscope("data", "check", copy)
    assert broken.name in shown.out
    assert "does not hold" in shown.out


def test_an_unreadable_cell_is_a_row_and_exit_code_1(leukoscope, tmp_path, tiny_cohort):
    copy = tmp_path / "copy"
    shutil.copytree(tiny_cohort, copy)
    next(copy.rglob("*_all.bmp")).write_bytes(b"")
    indexed = leukoscope("data", "index", copy, "-o", tmp_path / "cells.parquet", "--json")
    assert indexed.code == 1
    assert (indexed.document["num_cells"], indexed.document["num_unreadable"]) == (53, 1)


def test_classes_by_folder(leukoscope, tmp_path, tiny_cohort):
    for place, cell in enumerate(sorted(tiny_cohort.rglob("*_all.bmp"))[:4]):
        folder = tmp_path / "cells" / ("Benign" if place < 2 else "Early") / f"p{place}"
        folder.mkdir(parents=True)
        shutil.copy(cell, folder / "cell.bmp")
    out = tmp_path / "cells.parquet"
    unknown = leukoscope("data", "index", tmp_path / "cells", "-o", out)
    assert unknown.code == 2
    assert "Benign" in unknown.err
    assert "Early" in unknown.err
    options = ["--positive", "early-pre-B", "--rename", "Early=early-pre-B", "--subject-pattern", r"/(p\d)/"]
    indexed = leukoscope("data", "index", tmp_path / "cells", "-o", out, "--json", *options)
    assert indexed.code == 0
    assert indexed.document["positive_classes"] == ["early-pre-B"]
    assert Manifest.read(out).frame["subject_id"].sort().to_list() == ["P0", "P1", "P2", "P3"]


def test_synth_draws_what_was_asked_for(leukoscope, tmp_path):
    options = ["--subjects", 2, "--cells-per-subject", 1, "--unlabelled", 1, "--seed", 3]
    drawn = leukoscope("data", "synth", tmp_path / "cohort", "--json", *options)
    assert drawn.code == 0
    assert drawn.document["num_cells"] == len(list((tmp_path / "cohort").rglob("*.bmp"))) == 3
    again = leukoscope("data", "synth", tmp_path / "cohort", *options)
    assert again.code == 2


def test_fetch_says_what_it_needs(leukoscope, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "kagglehub", None)
    ran = leukoscope("data", "fetch", "cnmc2019", tmp_path / "out")
    assert ran.code == 2
    assert "leukoscope[fetch]" in ran.err


@pytest.mark.real
def test_real_cells(leukoscope, tmp_path, real_data):
    checked = leukoscope("data", "check", real_data, "--json")
    assert checked.code == 0, checked.document["counts"]
    assert checked.document["data_set"] == "C-NMC 2019"
    manifest, split = tmp_path / "cells.parquet", tmp_path / "split.parquet"
    assert leukoscope("data", "index", real_data, "-o", manifest).code == 0
    assert leukoscope("data", "split", manifest, "-o", split, "--protocol", "grouped-kfold").code == 0
    assert leukoscope("data", "audit", split).code == 0
    assert pl.read_parquet(manifest)["subject_id"].drop_nulls().n_unique() >= 45
