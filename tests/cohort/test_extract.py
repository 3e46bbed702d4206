"""From photographs to single cells: what is written, what is set aside, and what bad input comes to."""

from __future__ import annotations

import json

import cv2
import numpy as np
import polars as pl
import pytest

from leukoscope.cells.decode import decode
from leukoscope.cells.measure import measure
from leukoscope.cohort import extract as module
from leukoscope.cohort.extract import MANIFEST, PHOTOGRAPHS, extract
from leukoscope.cohort.manifest import Manifest
from leukoscope.cohort.smears import SmearSettings
from leukoscope.cohort.synthetic_smear import synthesize_smear
from leukoscope.errors import UsageError


def save(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return path


@pytest.fixture(scope="module")
def smears():
    return [
        synthesize_smear(seed=seed, width=800, height=600, white_cells=3, touching_pairs=1, red_cells=45)
        for seed in (21, 22)
    ]


@pytest.fixture(scope="module")
def photographs(smears, tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    save(folder / "a.png", smears[0].image)
    save(folder / "b.tif", smears[1].image)
    return folder


@pytest.fixture(scope="module")
def done(photographs, tmp_path_factory):
    return extract([photographs], tmp_path_factory.mktemp("out") / "cells", subject_id="S7")


def overlap(one, other):
    """Intersection over union of two boxes ``x, y, width, height``."""
    wide, high = (min(one[k] + one[k + 2], other[k] + other[k + 2]) - max(one[k], other[k]) for k in (0, 1))
    shared = max(wide, 0) * max(high, 0)
    return shared / (one[2] * one[3] + other[2] * other[3] - shared)


def rows_of(done):
    return done.manifest.frame.rows(named=True)


def test_every_white_cell_has_a_row(done, smears):
    assert [photograph.num_cells for photograph in done.photographs] == [len(s.cells) for s in smears]
    assert done.num_unreadable == 0
    frame = Manifest.read(done.out / MANIFEST).frame
    assert frame.equals(done.manifest.frame)
    assert set(frame["photograph_id"]) == {"a", "b"}
    assert frame["subject_id"].unique().to_list() == ["S7"]
    assert frame["label"].null_count() == len(frame)


def test_boxes_are_those_of_the_truth(done, smears):
    frame = done.manifest.frame
    for name, smear in zip("ab", smears, strict=True):
        found = frame.filter(pl.col("photograph_id") == name).select("^box_.*$").rows()
        for cell in smear.cells:
            assert max(overlap(box, cell.box) for box in found) > 0.8


def test_pictures_are_in_the_style_of_cnmc(done):
    for row in rows_of(done):
        image = decode(done.out / row["path"])
        facts = measure(image)
        assert image.shape == (450, 450, 3)
        assert facts.segmented
        assert (facts.cell_width, facts.cell_area) == (row["cell_width"], row["cell_area"])
        assert abs(facts.cell_x + facts.cell_width / 2 - 225) <= 1
        factor = row["photograph_micrometres_per_pixel"] / row["micrometres_per_pixel"]
        assert facts.cell_width == pytest.approx(row["box_width"] * factor, abs=2)


def test_the_scale_is_that_of_the_red_cells(done):
    for row in rows_of(done):
        assert row["scale_source"] in ("red-cells", "other-photographs")
        assert row["photograph_micrometres_per_pixel"] == pytest.approx(0.1, rel=0.07)


def test_what_is_no_single_cell_is_set_aside(done):
    for row in rows_of(done):
        flags = set(row["flags"].split(",")) - {""}
        assert row["single"] == (not flags & {"edge", "doublet", "smudge", "platelets", "debris"})
        passed = row["single"] and not flags & {"lobed", "granular"}
        assert row["path"].startswith("cells/" if passed else "set-aside/")
    written = {
        p.relative_to(done.out).as_posix() for d in ("cells", "set-aside") for p in (done.out / d).glob("*")
    }
    assert written == {row["path"] for row in rows_of(done)}


def test_outlines_are_geojson_around_the_boxes(done):
    for photograph in done.photographs:
        document = json.loads((done.out / "outlines" / f"{photograph.photograph_id}.geojson").read_text())
        assert document["type"] == "FeatureCollection"
        rows = {
            row["cell_id"]: row for row in rows_of(done) if row["photograph_id"] == photograph.photograph_id
        }
        assert len(document["features"]) == len(rows)
        for feature in document["features"]:
            row = rows[feature["properties"]["cell_id"]]
            assert json.loads(row["outline"]) == feature["geometry"]
            ring = np.array(feature["geometry"]["coordinates"][0])
            assert (ring[0] == ring[-1]).all()
            corner, size = (row["box_x"], row["box_y"]), (row["box_width"], row["box_height"])
            assert (ring.min(axis=0) >= corner).all()
            assert (ring.max(axis=0) <= np.add(corner, size)).all()


def test_each_photograph_has_an_overlay(done, smears):
    for name, smear in zip("ab", smears, strict=True):
        shown = decode(done.out / "overlays" / f"{name}.png")
        assert shown.shape == smear.image.shape
        assert (shown != smear.image).any()


def test_order_changes_nothing(done, photographs, tmp_path):
    again = extract([photographs / "b.tif", photographs / "a.png"], tmp_path / "x", subject_id="S7")
    assert again.manifest.frame.equals(done.manifest.frame)


def test_a_given_scale_is_taken(photographs, tmp_path):
    made = extract(
        [photographs / "a.png"], tmp_path / "x", SmearSettings(pixel_size=0.1, target_pixel_size=0.1)
    )
    for row in rows_of(made):
        assert row["scale_source"] == "given"
        assert row["cell_width"] == row["box_width"]


def test_nothing_known_is_said(tmp_path):
    save(tmp_path / "white.png", np.full((200, 300, 3), 230, np.uint8))
    made = extract([tmp_path / "white.png"], tmp_path / "x")
    assert made.photographs[0].scale.source == "assumed"
    assert len(made.manifest) == 0
    assert Manifest.read(tmp_path / "x" / MANIFEST).frame.is_empty()
    assert json.loads((tmp_path / "x" / "outlines" / "white.geojson").read_text())["features"] == []


def test_bad_files_are_named_and_the_others_done(photographs, tmp_path):
    (tmp_path / "text.jpg").write_text("no photograph")
    whole = (photographs / "b.tif").read_bytes()
    (tmp_path / "half.tif").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.png").write_bytes(b"")
    made = extract([tmp_path, photographs / "a.png"], tmp_path / "x", SmearSettings(pixel_size=0.1))
    errors = {photograph.photograph_id: photograph.error for photograph in made.photographs}
    assert made.num_unreadable == 3
    assert "text beginning" in errors["text"]
    assert errors["half"]
    assert "zero bytes" in errors["empty"]
    assert not errors["a"]
    assert set(made.manifest.frame["photograph_id"]) == {"a"}
    told = json.loads((tmp_path / "x" / PHOTOGRAPHS).read_text())
    assert {one["photograph_id"]: one["error"] for one in told} == errors


def test_an_interruption_keeps_what_is_finished(photographs, tmp_path, monkeypatch):
    whole = module._Work._keep

    def stop_at_b(self, found, cell_id):
        if cell_id == "b_2":
            raise KeyboardInterrupt
        return whole(self, found, cell_id)

    monkeypatch.setattr(module._Work, "_keep", stop_at_b)
    with pytest.raises(KeyboardInterrupt):
        extract([photographs], tmp_path / "x", SmearSettings(pixel_size=0.1))
    kept = Manifest.read(tmp_path / "x" / MANIFEST).frame
    assert set(kept["photograph_id"]) == {"a"}
    pictures = {p.name for d in ("cells", "set-aside") for p in (tmp_path / "x" / d).glob("*.png")}
    assert pictures == {row["path"].split("/")[1] for row in kept.rows(named=True)}


def test_a_photograph_is_called_as_its_file(photographs, tmp_path):
    save(tmp_path / "Field_A.png", decode(photographs / "a.png")[:200, :260])
    made = extract(
        [tmp_path / "Field_A.png", photographs / "a.png"], tmp_path / "x", SmearSettings(pixel_size=0.1)
    )
    assert [photograph.photograph_id for photograph in made.photographs] == ["Field_A", "a"]


def test_two_of_one_name_are_two(photographs, tmp_path):
    image = decode(photographs / "a.png")[:200, :260]
    for folder in ("one", "two"):
        save(tmp_path / folder / "field.png", image)
    made = extract([tmp_path / "one", tmp_path / "two"], tmp_path / "x", SmearSettings(pixel_size=0.1))
    assert len({photograph.photograph_id for photograph in made.photographs}) == 2
    assert made.manifest.frame["cell_id"].is_unique().all()


def test_windows_give_what_the_whole_gives(done, photographs, tmp_path, monkeypatch):
    monkeypatch.setattr("leukoscope.cells.segmentation.tiles.WINDOW", 450)
    made = extract([photographs / "a.png"], tmp_path / "x")
    boxes = made.manifest.frame.select("^box_.*$").rows()
    whole = done.manifest.frame.filter(pl.col("photograph_id") == "a").filter(pl.col("single"))
    assert len(whole)
    for box in whole.select("^box_.*$").rows():
        assert min(np.abs(np.subtract(box, other)).max() for other in boxes) <= 3


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"smears": ["no-such.png"]}, "no such file"),
        ({"smears": ["."]}, "no photograph"),
    ],
)
def test_wrong_usage_writes_nothing(photographs, tmp_path, monkeypatch, given, words):
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    with pytest.raises(UsageError, match=words):
        extract(**{"smears": [photographs], "out": "x", **given})
    assert not list(empty.iterdir())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"pixel_size": 0.0}, "Received: 0.0"),
        ({"pixel_size": float("nan")}, "nan"),
        ({"target_pixel_size": 50.0}, "50.0"),
        ({"segmenter": "stein"}, "unknown segmenter"),
    ],
)
def test_settings_that_cannot_be_are_refused(given, words):
    with pytest.raises(UsageError, match=words):
        SmearSettings(**given)


def test_an_extraction_is_not_written_over(done, photographs):
    with pytest.raises(UsageError, match="already holds"):
        extract([photographs], done.out)


def test_light_and_stain_change_colours_and_nothing_else(smears, tmp_path):
    tilted = smears[0].image * np.linspace(0.6, 1.0, 800)[None, :, None] * np.array([1.0, 0.9, 0.75])
    save(tmp_path / "a.png", np.rint(tilted).astype(np.uint8))
    frames = {}
    for name, settings in {
        "plain": SmearSettings(pixel_size=0.1),
        "even": SmearSettings(pixel_size=0.1, flat_field=True),
        "reinhard": SmearSettings(pixel_size=0.1, flat_field=True, normalise="reinhard"),
        "macenko": SmearSettings(pixel_size=0.1, normalise="macenko"),
    }.items():
        frames[name] = extract([tmp_path / "a.png"], tmp_path / name, settings).manifest.frame
    coloured = ("sha256", "brightness", "stain", "quality")
    for name in ("even", "reinhard", "macenko"):
        assert frames[name].drop(coloured).equals(frames["plain"].drop(coloured))
        assert (frames[name]["sha256"] != frames["plain"]["sha256"]).all()
    for row in frames["plain"].rows(named=True):
        before, after = (decode(tmp_path / name / row["path"]) for name in ("plain", "macenko"))
        assert np.array_equal(before.any(axis=2), after.any(axis=2))  # black stays black, and nothing else


def test_an_unknown_stain_normalisation_is_refused():
    with pytest.raises(UsageError, match="unknown normalisation"):
        SmearSettings(normalise="vahadane")
