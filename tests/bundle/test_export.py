"""A bundle written again is the same bundle, unless its names are taken out."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from leukoscope.bundle.export import export_bundle, restate_bundle
from leukoscope.bundle.format import SUBJECTS
from leukoscope.bundle.read import open_bundle, verify_bundle
from leukoscope.bundle.write import write_bundle
from leukoscope.errors import BundleError
from leukoscope.evaluation.people import PersonReading


@pytest.mark.parametrize("name", ["again.leuko", "again.zip"])
def test_a_copy_keeps_its_id_and_every_byte(tiny_bundle, tmp_path, name):
    first, again = open_bundle(tiny_bundle), open_bundle(export_bundle(tiny_bundle, tmp_path / name))
    assert again.bundle_id == first.bundle_id
    assert all(again.read(file) == first.read(file) for file in first.info.files)
    assert verify_bundle(tmp_path / name).holds
    back = export_bundle(tmp_path / name, tmp_path / "back.leuko")
    assert open_bundle(back).bundle_id == first.bundle_id


def test_a_private_copy_differs_in_names_only(tiny_bundle, tmp_path):
    first = open_bundle(tiny_bundle)
    private = open_bundle(export_bundle(first, tmp_path / "p.leuko", private=True))
    assert private.bundle_id != first.bundle_id
    assert private.onnx == first.onnx and np.array_equal(private.novelty, first.novelty)
    assert private.subjects["role"].equals(first.subjects["role"])
    assert set(private.subjects["subject_id"]).isdisjoint(first.subjects["subject_id"])
    assert private.overlap(["H2", "H3"], ["a" * 64]) == first.overlap(["H2", "H3"], ["a" * 64])
    again = open_bundle(export_bundle(private, tmp_path / "pp.leuko", private=True))
    assert again.bundle_id == private.bundle_id, "hashes are not hashed again"


def test_weights_go_along(tiny_bundle, tmp_path):
    pytest.importorskip("safetensors")
    first = open_bundle(tiny_bundle)
    weights = {"w": np.arange(4.0, dtype=np.float32)}
    rows = pl.DataFrame({"subject_id": ["1"], "sha256": ["a" * 64], "role": ["train"]})
    path = write_bundle(
        tmp_path / "w.leuko", first.info, onnx=b"x", subjects=rows, novelty=np.eye(3), weights=weights
    )
    private = open_bundle(export_bundle(path, tmp_path / "p.leuko", private=True))
    assert np.array_equal(private.weights()["w"], weights["w"])


def test_an_altered_bundle_is_not_passed_on(make_bundle, tmp_path):
    path = make_bundle(tmp_path / "m.leuko")
    opened = open_bundle(path)
    (path / SUBJECTS).write_bytes(b"other")
    for source in (path, opened):
        with pytest.raises(BundleError):
            export_bundle(source, tmp_path / "n.leuko")
    assert [file.name for file in tmp_path.iterdir()] == ["m.leuko"]


def test_more_facts_change_the_card_and_the_id_and_nothing_else(tiny_bundle, tmp_path):
    point = open_bundle(tiny_bundle).info.operating_points[0].name
    people = (PersonReading(label="normal", num_cells=30, num_judged=25, blast_fraction=0.04),)
    path = restate_bundle(tiny_bundle, tmp_path / "m.leuko", reference_readings={point: people})
    before, after = open_bundle(tiny_bundle), open_bundle(path)
    assert after.bundle_id != before.bundle_id and verify_bundle(path).holds
    assert after.info.reference_readings == {point: people} and "0.040" in after.card
    changed = {name for name, digest in after.info.files.items() if before.info.files[name] != digest}
    assert changed == {"CARD.md"}
    back = restate_bundle(path, path, reference_readings=None)
    assert open_bundle(back).bundle_id == before.bundle_id


def test_readings_at_an_unknown_operating_point_are_refused(tiny_bundle, tmp_path):
    with pytest.raises(BundleError, match="no operating point"):
        restate_bundle(tiny_bundle, tmp_path / "m.leuko", reference_readings={"other": ()})
    assert list(tmp_path.iterdir()) == []


def test_other_folders_are_left_alone(tiny_bundle, tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(BundleError, match="something else"):
        export_bundle(tiny_bundle, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]
