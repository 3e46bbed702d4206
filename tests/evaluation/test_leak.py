"""Overlap of judged cells with those that fitted the model."""

from __future__ import annotations

import hashlib
from pathlib import Path

import polars as pl
import pytest

from leukoscope.cohort.manifest import COLUMNS, Manifest
from leukoscope.errors import TableError
from leukoscope.evaluation.leak import check_leak

JUDGED = pl.DataFrame(
    {"subject_id": ["1", "1", "2", "H3", None], "sha256": ["a", "b", "c", "d", "e"], "fold": [0, 0, 1, 1, 2]}
)


def manifest(rows, **metadata):
    frame = pl.DataFrame(rows).with_columns(cell_id=pl.int_range(pl.len()).cast(pl.String))
    filled = {"path": "x", "source": "s", "quality": ""}
    missing = [
        pl.lit(filled.get(name), kind).alias(name)
        for name, kind in COLUMNS.items()
        if name not in frame.columns
    ]
    return Manifest(frame.with_columns(missing), Path("nowhere"), metadata)


def test_nobody_in_common():
    leak = check_leak(JUDGED, pl.DataFrame({"subject_id": ["7"], "sha256": ["z"], "role": ["train"]}))
    assert not leak.found
    assert "no judged subject" in leak.summary


@pytest.mark.parametrize("role", ["train", "validation", "calibration"])
def test_a_subject_that_fitted_anything_is_found(role):
    leak = check_leak(JUDGED, pl.DataFrame({"subject_id": ["1"], "sha256": ["z"], "role": [role]}))
    assert leak.found
    assert (leak.subjects, leak.num_cells, leak.num_copies) == (("1",), 2, 0)


def test_test_rows_of_a_split_fit_nothing():
    rows = {"subject_id": ["1", "7"], "sha256": ["a", "z"], "split": ["test", "train"]}
    assert not check_leak(JUDGED, manifest(rows)).found


def test_the_same_file_under_another_subject_is_found():
    leak = check_leak(JUDGED, pl.DataFrame({"subject_id": ["7"], "sha256": ["d"], "role": ["train"]}))
    assert (leak.num_copies, leak.num_subjects) == (1, 0)
    assert leak.summary == "1 of the judged files fitted it"


def test_a_duplicate_group_on_both_sides_is_found():
    rows = {
        "subject_id": ["2", "7", "H3"],
        "sha256": ["x", "y", "z"],
        "split": ["test", "train", "test"],
        "duplicate_group": ["2+7", "2+7", None],
    }
    leak = check_leak(JUDGED, manifest(rows))
    assert (leak.related_subjects, leak.subjects, leak.num_cells) == (("2",), (), 1)


def test_in_folds_only_other_folds_count():
    rows = {
        "subject_id": ["1", "2", "H3", "H9"],
        "sha256": ["a", "c", "d", "z"],
        "fold": [0, 1, 1, 1],
        "duplicate_group": [None, None, "H3+H9", "H3+H9"],
    }
    assert not check_leak(JUDGED, manifest(rows, protocol="grouped-kfold")).found
    moved = {**rows, "fold": [0, 2, 1, 0]}
    leak = check_leak(JUDGED, manifest(moved, protocol="grouped-kfold"))
    assert (leak.subjects, leak.related_subjects, leak.num_copies) == (("2",), ("H3",), 1)


def test_folds_must_be_known():
    split = manifest({"subject_id": ["1"], "sha256": ["a"], "fold": [0]}, protocol="grouped-kfold")
    with pytest.raises(TableError, match="fold of every cell"):
        check_leak(JUDGED.drop("fold"), split)


def test_a_private_bundle_still_tells():
    def salted(value):
        return hashlib.sha256(f"5a17:{value}".encode()).hexdigest()

    rows = {
        "subject_id": [salted("H3"), salted("9")],
        "sha256": [salted("q"), salted("e")],
        "role": ["train"] * 2,
    }
    leak = check_leak(JUDGED, pl.DataFrame(rows), salt="5a17")
    assert (leak.subjects, leak.num_copies) == (("H3",), 1)
    assert not check_leak(JUDGED, pl.DataFrame(rows)).found


def test_a_table_without_hashes_is_checked_by_subject():
    train = pl.DataFrame({"subject_id": ["2"], "sha256": ["c"], "role": ["train"]})
    leak = check_leak(JUDGED.select("subject_id"), train)
    assert (leak.subjects, leak.num_copies) == (("2",), 0)
