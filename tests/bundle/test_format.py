"""bundle.json: closed, typed, and counted from the split."""

from __future__ import annotations

import json

import polars as pl
import pytest
from pydantic import ValidationError

from leukoscope.bundle.format import (
    BundleInfo,
    Count,
    Privacy,
    TrainingData,
    fitting_cells,
    forbidding_flags,
)
from leukoscope.bundle.privacy import salted
from leukoscope.bundle.read import open_bundle
from leukoscope.cohort.manifest import COLUMNS, Manifest


def split_of(rows: list[tuple[str, str | None, str | None, str]], **metadata: str) -> Manifest:
    """A split of rows (cell, subject, label, role)."""
    cells, subjects, labels, roles = (list(column) for column in zip(*rows, strict=True))
    blank = {name: pl.Series(name, [None] * len(cells), dtype=kind) for name, kind in COLUMNS.items()}
    known = {"cell_id": cells, "path": cells, "subject_id": subjects, "label": labels, "split": roles}
    rest = {
        "source": [""] * len(cells),
        "quality": [""] * len(cells),
        "sha256": [f"{cell:0>64}" for cell in cells],
    }
    return Manifest(pl.DataFrame(blank | known | rest), "/nowhere", metadata)


SPLIT = [
    ("a", "1", "blast", "train"),
    ("b", "1", "blast", "train"),
    ("c", "2", "blast", "train"),
    ("d", "H1", "normal", "train"),
    ("e", "H2", "normal", "calibration"),
    ("f", "3", "blast", "test"),
    ("g", None, None, "unlabelled"),
]


def test_training_data_counts_cells_and_subjects_by_role_and_class():
    data = TrainingData.of(
        split_of(SPLIT, protocol="official", unit="subject", licence="CC BY 3.0", synthetic="true")
    )
    assert data.counts["train"] == {
        "blast": Count(num_cells=3, num_subjects=2),
        "normal": Count(num_cells=1, num_subjects=1),
    }
    assert data.counts["test"]["blast"].num_cells == 1
    assert data.counts["unlabelled"]["unlabelled"] == Count(num_cells=1, num_subjects=0), "nobody is known"
    assert (data.protocol, data.unit, data.licence) == ("official", "subject", "CC BY 3.0")
    assert data.synthetic and not data.leaky


def test_training_data_keeps_the_stamp_of_a_leaky_split():
    assert TrainingData.of(split_of(SPLIT, unit="image", leaky="true")).leaky


def test_fitting_cells_are_those_of_every_role_that_fits_and_no_other():
    cells = fitting_cells(split_of(SPLIT))
    assert cells.columns == ["subject_id", "sha256", "role"]
    assert cells["sha256"].str.strip_chars_start("0").to_list() == ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize(
    ("quality", "expected"),
    [
        (["", "border", ""], ("blank", "none", "not-segmented")),
        (["not-segmented"] * 2 + [""] * 38, ("blank", "none", "not-segmented")),  # 5 % is not more than 5 %
        (["not-segmented,dark"] * 3 + [""] * 37, ("blank", "none")),
        ([], ("blank", "none", "not-segmented")),
    ],
)
def test_a_flag_that_training_cells_carry_forbids_nothing(quality, expected):
    assert forbidding_flags(pl.Series(quality, dtype=pl.Utf8)) == expected


@pytest.mark.parametrize(
    "change",
    [
        {"views": 4},
        {"classes": ("normal", "normal")},
        {"classes": ("blast",)},
        {"positive_classes": ("all",)},
        {"positive_classes": ("normal", "blast")},
        {"positive_classes": ()},
        {"operating_points": ()},
        {"files": {"../model.onnx": "0"}},
        {"files": {"/etc/passwd": "0"}},
        {"files": {"a\\b": "0"}},
        {"files": {"bundle.json": "0"}},
        {"colour": "blue"},
    ],
)
def test_what_makes_no_sense_is_refused(tiny_bundle, change):
    fields = open_bundle(tiny_bundle).info.model_dump()
    BundleInfo.model_validate(fields)
    with pytest.raises(ValidationError):
        BundleInfo.model_validate(fields | change)


def test_the_quality_limits_of_a_model_know_its_field(tiny_bundle):
    info = open_bundle(tiny_bundle).info
    narrow = info.model_copy(update={"preprocess": info.preprocess.model_copy(update={"field": 100})})
    assert narrow.limits.field == 100


def test_salted_hashes_differ_with_the_salt_and_hide_the_name():
    first, second = (salted(["H10"], Privacy(hashed=True, salt=salt))[0] for salt in ("00", "01"))
    assert first != second and "H10" not in first and len(first) == 64


def test_a_bundle_of_32_bits_is_what_it_always_was(make_bundle, tmp_path):
    """Neither its schema nor its keys change, so neither does the id of any."""
    document = json.loads((make_bundle(tmp_path / "m.leuko") / "bundle.json").read_text())
    assert document["schema_version"] == 1
    assert not {"quantisation", "reference_readings", "median_sizes", "assumed_scale"} & set(document)
    assert open_bundle("starter").bundle_id == "1740b35f6084aa59"
