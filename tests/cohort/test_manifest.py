"""A manifest is what it was after writing and reading, and refuses to be what it is not."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leukoscope.cohort.manifest import COLUMNS, SCHEMA_VERSION, Manifest
from leukoscope.errors import ImageNotFoundError, LayoutError, ManifestError

ROWS = [
    {"cell_id": "a", "subject_id": "1", "label": "blast", "path": "x/a.bmp", "width": 450, "brightness": 0.5},
    {"cell_id": "b", "subject_id": "H1", "label": "normal", "fold": 2},
    {"cell_id": "c", "quality": "unreadable: no image"},
]


@pytest.fixture
def manifest(make_manifest):
    return make_manifest(ROWS, layout="folder", synthetic="true", leaky="false")


def test_survives_writing_and_reading(manifest, tmp_path):
    path = manifest.write(tmp_path / "deep" / "m.parquet")
    back = Manifest.read(path)
    assert back.frame.equals(manifest.frame)
    assert dict(back.frame.schema) == dict(COLUMNS)
    assert back.root == path.parent / manifest.root
    assert dict(manifest.metadata).items() <= dict(back.metadata).items()
    assert (back.metadata["kind"], back.metadata["schema_version"]) == ("manifest", str(SCHEMA_VERSION))
    assert not back.is_split


def test_says_what_it_is(manifest):
    assert (manifest.is_synthetic, manifest.is_leaky, len(manifest)) == (True, False, 3)
    assert manifest.classes == ("normal", "blast")
    assert manifest.positive_classes == ("blast",)
    np.testing.assert_array_equal(manifest.labels, [1, 0, -1])


def test_labels_follow_the_classes(make_manifest):
    kinds = '["benign", "pre-B", "pro-B"]'
    rows = [
        {"cell_id": str(number), "label": label} for number, label in enumerate(["pro-B", "benign", None])
    ]
    np.testing.assert_array_equal(make_manifest(rows, classes=kinds).labels, [2, 0, -1])


def test_parts_of_a_split(manifest):
    roles = pl.Series("split", ["train", "test", "unlabelled"])
    made = manifest.with_frame(manifest.frame.with_columns(roles), kind="split")
    assert made.is_split
    assert made.part("test").frame["cell_id"].to_list() == ["b"]
    with pytest.raises(ManifestError, match="unknown part 'valid'"):
        made.part("valid")
    with pytest.raises(ManifestError, match="expected a split"):
        manifest.part("test")


@settings(max_examples=6, deadline=None)
@given(st.permutations(range(3)))
def test_fingerprint_does_not_know_the_order(order):
    frame = pl.DataFrame(
        {
            "cell_id": ["a", "b", "c"],
            "sha256": ["1", "2", "3"],
            "label": ["x", None, "x"],
            "subject_id": ["s", "t", None],
        }
    )
    assert _fingerprint(frame[list(order)]) == _fingerprint(frame)


def _fingerprint(frame):
    missing = [
        pl.lit("" if kind == pl.String else None).cast(kind).alias(name) for name, kind in COLUMNS.items()
    ]
    full = frame.with_columns(column for column in missing if column.meta.output_name() not in frame.columns)
    return Manifest(full, ".", {"classes": '["x"]'}).fingerprint()


@pytest.mark.parametrize("column", ["cell_id", "sha256", "label", "subject_id"])
def test_fingerprint_knows_what_a_cell_is(manifest, column):
    changed = manifest.frame.with_columns(
        pl.when(pl.col("cell_id") == "a").then(pl.lit("normal")).otherwise(pl.col(column)).alias(column)
    )
    assert manifest.with_frame(changed).fingerprint() != manifest.fingerprint()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.drop("stain"), "columns are missing: stain"),
        (lambda frame: frame.with_columns(cell_id=pl.lit("a")), "cell_id 'a' is there twice"),
        (lambda frame: frame.with_columns(label=pl.lit("ALL")), "label 'ALL' is none of: blast, normal"),
        (lambda frame: frame.with_columns(width=pl.lit("wide")), "a column of another type"),
        (lambda frame: frame.with_columns(path=pl.lit(None)), "empty values in: path"),
        (lambda frame: frame.with_columns(split=pl.lit("valid")), "split 'valid' is none of"),
    ],
)
def test_refuses_rows_that_are_no_manifest(manifest, change, message):
    with pytest.raises(ManifestError, match=message):
        manifest.with_frame(change(manifest.frame))


def test_refuses_files_that_are_none(manifest, tmp_path):
    with pytest.raises(ManifestError, match="no such file"):
        Manifest.read(tmp_path / "gone.parquet")
    (tmp_path / "text.parquet").write_text("cell_id,label")
    with pytest.raises(ManifestError, match="expected a Parquet file"):
        Manifest.read(tmp_path / "text.parquet")
    manifest.frame.write_parquet(tmp_path / "plain.parquet")
    with pytest.raises(ManifestError, match="got another Parquet file"):
        Manifest.read(tmp_path / "plain.parquet")
    metadata = {"kind": "manifest", "root": "x", "schema_version": str(SCHEMA_VERSION + 1)}
    manifest.frame.write_parquet(tmp_path / "new.parquet", metadata=metadata)
    with pytest.raises(ManifestError, match="this Leukoscope reads up to") as caught:
        Manifest.read(tmp_path / "new.parquet")
    assert "update Leukoscope" in caught.value.hint


def test_reads_the_images_it_names(tmp_path, make_manifest):
    (tmp_path / "x").mkdir()
    (tmp_path / "x/a.bmp").write_bytes(b"pixels")
    manifest = make_manifest(ROWS)
    with pytest.raises(LayoutError, match="nowhere"):
        manifest.read_bytes("x/a.bmp")
    there = Manifest(manifest.frame, tmp_path)
    assert there.read_bytes("x/a.bmp") == b"pixels"
    assert there.images().names() == ["x/a.bmp"]
    with pytest.raises(ImageNotFoundError):
        there.read_bytes("x/b.bmp")


def test_a_manifest_that_lies_beside_its_images_travels_with_them(manifest, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    here = Manifest(manifest.frame, Path(), manifest.metadata)
    (tmp_path / "moved" / "x").mkdir(parents=True)
    (tmp_path / "moved" / "x" / "a.bmp").write_bytes(b"pixels")
    back = Manifest.read(here.write("moved/m.parquet"))
    assert back.read_bytes("x/a.bmp") == b"pixels"
    (tmp_path / "split").mkdir()
    assert Manifest.read(back.write("split/s.parquet")).read_bytes("x/a.bmp") == b"pixels"


def test_a_failed_write_leaves_what_was_there(manifest, tmp_path, monkeypatch):
    path = manifest.write(tmp_path / "m.parquet")
    before = path.read_bytes()
    monkeypatch.setattr(pl.DataFrame, "write_parquet", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        manifest.write(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["m.parquet"]
