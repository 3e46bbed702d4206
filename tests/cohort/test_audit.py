"""Each way in which somebody came to be on both sides of a published split, put into files and found."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest

from leukoscope.cohort.audit import audit
from leukoscope.cohort.cell_drawing import Look, draw_cell
from leukoscope.cohort.index import index
from leukoscope.cohort.manifest import Manifest
from leukoscope.cohort.splits import split
from leukoscope.errors import DuplicateCellError, ManifestError


def drawn(seed: int, side: int = 240) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return draw_cell(Look(rng.uniform(50, 80), 1.2, rng.random(), 2, (66, 28, 79), 1.0), rng, side=side)


def write(root: Path, pictures: dict[str, np.ndarray]) -> Path:
    for name, image in pictures.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(root / name), np.ascontiguousarray(image[..., ::-1]))
    return root


def with_roles(cohort: Manifest, role: Callable[[str], str], **columns: pl.Expr) -> Manifest:
    """The cohort as a split in which ``role`` says the role of each path."""
    roles = pl.Series("split", [role(path) for path in cohort.frame["path"]], dtype=pl.String)
    return cohort.with_frame(cohort.frame.with_columns(roles, **columns), kind="split", protocol="by hand")


def by_fold(path: str) -> str:
    return "test" if "fold_2" in path else "train"


def c_nmc(name: str, fold: int) -> str:
    return f"C-NMC_training_data/fold_{fold}/{name.rsplit('_', 1)[1]}/{name}.bmp"


def cells_of(*names: str, root: Path, copies: bool = False) -> Manifest:
    """Cells of C-NMC names, dealt over fold 0 and fold 2 in turn; with ``copies`` all are one picture."""
    pictures = {c_nmc(name, place % 2 * 2): drawn(0 if copies else place) for place, name in enumerate(names)}
    return index(write(root, pictures))


def found(report) -> list[tuple[str, str | None, str | None]]:
    return [(one.kind, one.subject_a, one.subject_b) for one in report.findings]


@pytest.mark.parametrize(
    ("one", "other", "group"),
    [
        ("20", "21", "20+21"),
        ("51", "75", "51+75+78"),
        ("78", "75", "51+75+78"),
        ("H2", "H6", "H2+H4+H5+H6"),
        ("H4", "H5", "H2+H4+H5+H6"),
        ("H3", "H10", "H3+H10"),
    ],
)
def test_subjects_that_share_pictures_belong_together(tmp_path, one, other, group):
    ending = "hem" if one.startswith("H") else "all"
    cohort = cells_of(f"UID_{one}_1_1_{ending}", f"UID_{other}_2_1_{ending}", root=tmp_path)
    report = audit(with_roles(cohort, by_fold))
    assert found(report) == [("duplicate-group", one, other)]
    assert report.findings[0].shared == group
    # A table from elsewhere, which knows of no groups, is held against the official index by its names.
    bare = with_roles(cohort, by_fold, duplicate_group=pl.lit(None, pl.String))
    assert found(audit(bare, near=False)) == [("duplicate-group", one, other)]


def test_two_numbers_for_one_set_of_pictures_are_found_in_the_pictures(tmp_path):
    cohort = cells_of("UID_20_16_1_all", "UID_21_16_1_all", root=tmp_path, copies=True)
    report = audit(with_roles(cohort, by_fold))
    assert found(report) == [("duplicate-group", "20", "21"), ("exact-copy", "20", "21")]
    assert not report.holds
    assert "UID_20_16_1_all (train) and UID_21_16_1_all (test) are the same file" in report.sentences()


def test_an_id_in_lower_case_is_the_same_subject(tmp_path):
    cohort = cells_of("UID_H3_1_1_hem", "UID_h3_2_1_hem", root=tmp_path)
    assert cohort.frame["subject_id"].to_list() == ["H3", "H3"]
    as_written = pl.col("cell_id").str.extract("UID_([Hh]3)").alias("subject_id")
    for subjects in (pl.col("subject_id"), as_written):
        report = audit(with_roles(cohort, by_fold, subject_id=subjects))
        assert [(one.kind, one.shared) for one in report.findings] == [("subject", "H3")]


def test_a_number_with_and_without_the_h_are_two_people(tmp_path):
    cohort = cells_of("UID_7_1_1_all", "UID_H7_1_1_hem", root=tmp_path)
    assert audit(with_roles(cohort, by_fold)).holds
    merged = audit(with_roles(cohort, by_fold, subject_id=pl.lit("7")))
    assert found(merged) == [("subject", "7", "7")]
    assert any("several classes" in note for note in merged.notes)
    assert any("its name says 'H7'" in note for note in merged.notes)


def test_a_subject_key_with_the_photograph_in_it_is_seen_through(tmp_path):
    cohort = cells_of("UID_H12_1_1_hem", "UID_H12_2_1_hem", "UID_12_1_1_all", root=tmp_path)
    report = audit(with_roles(cohort, by_fold, subject_id=pl.col("photograph_id")))
    assert found(report) == [("subject", "H12_1", "H12_2")]
    assert report.findings[0].shared == "H12"


def test_a_split_by_image_is_found_and_says_so(tiny_cohort):
    report = audit(split(index(tiny_cohort), protocol="official", unit="image"), near=False)
    assert {one.kind for one in report.findings} == {"subject"}
    assert any("LEAKY" in note for note in report.notes)


@pytest.mark.parametrize("protocol", ["official", "grouped-kfold", "merged-holdout"])
def test_a_split_by_subject_holds(tiny_cohort, protocol):
    report = audit(split(index(tiny_cohort), protocol=protocol, folds=3))
    assert report.holds, report.sentences()
    assert report.sentences()[0] == "nobody is on two sides"


def test_copies_that_were_augmented_before_the_split_are_found(tmp_path):
    originals = {f"blast/cell_{seed}.png": drawn(seed) for seed in range(4)}
    changed = {
        "normal/flipped.png": drawn(0)[::-1],
        "normal/rotated.png": np.rot90(drawn(1)),
        "normal/brighter.png": np.uint8(np.clip(drawn(2) * 1.1, 0, 255)),
        "normal/other.png": drawn(9),
    }
    cohort = index(write(tmp_path, originals | changed), layout="folder")
    report = audit(with_roles(cohort, lambda path: "train" if path.startswith("blast") else "test"))
    assert [(one.kind, one.cell_a, one.cell_b) for one in report.findings] == [
        ("near-copy", "blast/cell_0.png", "normal/flipped.png"),
        ("near-copy", "blast/cell_1.png", "normal/rotated.png"),
        ("near-copy", "blast/cell_2.png", "normal/brighter.png"),
    ]
    assert all(one.similarity > 0.9 for one in report.findings)
    assert any("the subjects of 8 cells" in note for note in report.notes)


def test_one_folder_under_two_spellings(tmp_path):
    cell = {"fold_0/ALL/UID_4_1_1_all.bmp": drawn(0), "fold_0/hem/UID_H9_1_1_hem.bmp": drawn(1)}
    twice = cell | {"fold_0/all/UID_4_1_1_all.bmp": drawn(0)}
    with pytest.raises(DuplicateCellError):
        index(write(tmp_path / "C-NMC_training_data", twice))
    # A table may give the two files two ids.
    table = pl.DataFrame(
        {"path": list(twice), "cell_id": ["1", "2", "3"], "label": ["blast", "normal", "blast"]}
    )
    table.write_csv(tmp_path / "C-NMC_training_data" / "cells.csv")
    cohort = index(tmp_path / "C-NMC_training_data" / "cells.csv", positive=["blast"])
    report = audit(with_roles(cohort, lambda path: "test" if "/all/" in path else "train"))
    assert [one.kind for one in report.findings] == ["subject", "exact-copy"]


def test_equal_pixels_in_another_format_or_on_a_larger_square_are_copies(tmp_path):
    padded = cv2.copyMakeBorder(drawn(1), 30, 30, 30, 30, cv2.BORDER_CONSTANT)
    pictures = {"a/0.bmp": drawn(0), "a/1.bmp": drawn(1), "b/0.png": drawn(0), "b/1.bmp": padded}
    cohort = index(write(tmp_path, pictures), layout="folder", positive=["a"])
    sides = with_roles(cohort, lambda path: "train" if path.startswith("a") else "test")
    report = audit(sides)
    assert [(one.kind, one.cell_a, one.cell_b, one.shared) for one in report.findings] == [
        ("exact-copy", "a/0.bmp", "b/0.png", "pixels"),
        ("exact-copy", "a/1.bmp", "b/1.bmp", "pixels"),
    ]
    assert "the same picture in two files" in report.findings[0].sentence()
    unread = audit(sides, near=False)
    assert unread.holds and "not checked: the pictures themselves" in unread.notes[-1]


def test_each_fold_is_a_side(tiny_cohort):
    made = split(index(tiny_cohort), protocol="grouped-kfold", folds=3)
    person = made.frame["subject_id"].drop_nulls()[0]
    first = (pl.col("subject_id") == person).fill_null(False) & pl.col("cell_id").is_first_distinct()
    place = made.frame.select(first.arg_true()).item(0, 0)
    moved = made.frame.with_row_index().with_columns(
        pl.when(pl.col("index") == place).then((pl.col("fold") + 1) % 3).otherwise("fold").alias("fold")
    )
    report = audit(made.with_frame(moved.drop("index")), near=False)
    assert [(one.kind, one.shared) for one in report.findings] == [("subject", person)]
    assert {report.findings[0].side_a, report.findings[0].side_b} < {"fold 0", "fold 1", "fold 2"}
    assert sorted((report.findings[0].num_a, report.findings[0].num_b)) == [1, 5]


def test_what_could_not_be_looked_at_is_said(tmp_path):
    cohort = cells_of("UID_7_1_1_all", "UID_H8_1_1_hem", "UID_9_1_1_all", "UID_H9_1_1_hem", root=tmp_path)
    made = with_roles(cohort, by_fold)
    (tmp_path / cohort.frame["path"][0]).unlink()
    (tmp_path / cohort.frame["path"][1]).write_bytes(b"BM")
    write(tmp_path, {cohort.frame["path"][2]: drawn(77)})
    write(tmp_path, {cohort.frame["path"][3]: np.zeros((50, 50, 3), np.uint8)})
    notes = " ".join(audit(made).notes)
    assert "2 pictures that could not be read" in notes
    assert "1 pictures without an inside" in notes
    assert "2 files have changed since they were indexed" in notes
    gone = made.with_frame(made.frame)
    for path in sorted(tmp_path.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    tmp_path.rmdir()
    assert any("4 pictures that could not be read" in note for note in audit(gone).notes)


def test_a_report_is_json_and_short_in_words(tiny_cohort):
    report = audit(split(index(tiny_cohort), protocol="official", unit="image"), near=False)
    read = json.loads(json.dumps(report.to_json()))
    assert read["holds"] is False and len(read["findings"]) == read["counts"]["subject"] > 2
    assert read["findings"][0]["kind"] == "subject"
    lines = report.sentences(limit=2)
    assert f"and {len(report.findings) - 2} more subjects" in lines
    assert sum("first UID_" in line for line in lines) == 2


def test_only_a_split_can_be_audited(tiny_cohort):
    with pytest.raises(ManifestError, match="expected a split"):
        audit(index(tiny_cohort))


@pytest.mark.real
def test_real_cells_split_by_subject_hold(real_data):
    report = audit(split(index(real_data), protocol="grouped-kfold", folds=3))
    assert report.holds, report.sentences()
