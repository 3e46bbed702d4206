"""One row for every input, in order, and the same row however it came and in whatever company."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import shutil
import threading
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from polars.testing import assert_frame_equal

import leukoscope
from leukoscope.bundle.format import NoveltyLimit
from leukoscope.bundle.read import open_bundle
from leukoscope.cells.decode import decode
from leukoscope.cells.measure import measure
from leukoscope.cohort.index import index
from leukoscope.errors import BundleError, UsageError
from leukoscope.evaluation.table import COLUMNS, PredictionTable, class_columns
from leukoscope.inference.inputs import resolve
from leukoscope.inference.predictor import Predictor, load

JUDGED = [
    "decision",
    "reason",
    "blast_probability",
    "raw_probability",
    "ruler_probability",
    "novelty",
    "quality",
    "cell_width",
    "cell_height",
    "cell_area",
    "brightness",
    "stain",
    "bundle_id",
    "error",
    "probability_normal",
    "probability_blast",
    "logit_normal",
    "logit_blast",
]


@pytest.fixture(scope="module")
def predictor(tiny_bundle) -> Predictor:
    return load(tiny_bundle)


@pytest.fixture(scope="module")
def files(tiny_cohort) -> list[Path]:
    """Some drawn cells."""
    return sorted(tiny_cohort.rglob("*.bmp"))[:12]


@pytest.fixture(scope="module")
def images(files) -> list[np.ndarray]:
    return [decode(file) for file in files]


def same(left: pl.DataFrame, right: pl.DataFrame, *, columns: list[str] = JUDGED) -> None:
    assert_frame_equal(left.select(columns), right.select(columns), abs_tol=1e-5, rel_tol=0)


def test_the_columns_are_those_that_were_promised(predictor, files):
    frame = predictor.predict(files[0]).frame
    assert dict(frame.schema) == COLUMNS | class_columns(["normal", "blast"])
    promised = """cell_id, path, sha256, subject_id, label, split, fold, decision, reason, blast_probability,
        raw_probability, ruler_probability, novelty, quality, cell_width, cell_height, cell_area, brightness,
        stain, bundle_id, error"""
    assert frame.columns[:21] == [name.strip() for name in promised.split(",")]


def test_a_row_is_what_the_parts_say_of_the_cell(predictor, files, images, tiny_bundle):
    info = open_bundle(tiny_bundle).info
    table = predictor.predict(files)
    ramp = np.linspace(2, 0, 32)[:, None] * np.linspace(1, 0.5, 32)[None, :]
    for row, file, image in zip(table.frame.iter_rows(named=True), files, images, strict=True):
        seen = info.preprocess.apply(image)
        embedding = (seen * ramp[..., None] / 255).mean((0, 1))
        logits = embedding @ np.array([[4, -4], [1, -1], [-2, 2]]) + [-0.2, 0.2]
        assert row["logit_blast"] == pytest.approx(logits[1], abs=1e-5)
        odds = logits[1] - logits[0]
        assert row["raw_probability"] == pytest.approx(1 / (1 + np.exp(-odds)), abs=1e-6)
        assert row["blast_probability"] == pytest.approx(1 / (1 + np.exp(-odds / 2)), abs=1e-6)
        assert row["probability_blast"] == pytest.approx(row["blast_probability"], abs=1e-9)
        away = np.sqrt(np.mean((embedding - np.eye(3)) ** 2, axis=1))
        assert row["novelty"] == pytest.approx(np.sort(away)[1], abs=1e-5)
        facts = measure(image)
        assert (row["cell_width"], row["cell_area"]) == (facts.cell_width, facts.cell_area)
        area, aspect = (
            np.log(facts.cell_width * facts.cell_height),
            np.log(facts.cell_width / facts.cell_height),
        )
        ruler = 1.2 * (area - 10.5) / 0.4 + 0.1 * aspect / 0.1 + 0.3
        assert row["ruler_probability"] == pytest.approx(1 / (1 + np.exp(-ruler)), abs=1e-9)
        assert row["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
        expected = "blast" if row["blast_probability"] >= 0.6 else "indeterminate"
        expected = "normal" if row["blast_probability"] < 0.4 else expected
        assert row["decision"] == expected


def test_arrays_paths_bytes_folders_zips_and_manifests_give_the_same_rows(predictor, tiny_cohort, tmp_path):
    manifest = index(tiny_cohort)
    paths = [tiny_cohort / path for path in manifest.frame["path"]]
    expected = predictor.predict(manifest).frame
    archive = shutil.make_archive(str(tmp_path / "cohort"), "zip", tiny_cohort)
    for place in (tiny_cohort, archive):
        same(predictor.predict(place).frame, expected, columns=expected.columns)
    same(predictor.predict(paths).frame, expected)
    same(predictor.predict([str(path) for path in paths]).frame, expected)
    same(predictor.predict([path.read_bytes() for path in paths]).frame, expected)
    pixels = [decode(path) for path in paths]
    same(predictor.predict(pixels).frame, expected)
    same(predictor.predict(iter(pixels)).frame, expected)
    assert len({image.shape for image in pixels[-5:]}) == 1
    same(predictor.predict(np.stack(pixels[-5:])).frame, expected[-5:])
    with_pillow = [Image.open(path) for path in paths[:3]]
    same(predictor.predict(with_pillow).frame, expected[:3])


@settings(max_examples=25)
@given(data=st.data())
def test_company_order_and_batch_size_change_nothing(tiny_bundle, predictor, images, data):
    order = data.draw(st.lists(st.integers(0, len(images) - 1), min_size=1, max_size=15))
    batch_size = data.draw(st.integers(1, 9))
    workers = data.draw(st.integers(1, 3))
    other = Predictor(tiny_bundle, batch_size=batch_size, workers=workers)
    expected = predictor.predict(images).frame[order]
    found = other.predict([images[place] for place in order]).frame
    same(found, expected)
    assert found["cell_id"].to_list() == [f"image_{place}" for place in range(len(order))]


def test_rows_come_in_chunks_of_the_batch_size(tiny_bundle, images):
    chunks = list(Predictor(tiny_bundle, batch_size=5).rows(resolve(images)))
    assert [chunk.height for chunk in chunks] == [5, 5, 2]
    assert [chunk.schema for chunk in chunks[1:]] == [chunks[0].schema] * 2


def bmp(image: np.ndarray) -> bytes:
    return cv2.imencode(".bmp", image)[1].tobytes()


BROKEN = {
    "empty.bmp": b"",
    "text.bmp": b"this is no image",
    "cut.bmp": bmp(np.full((40, 40, 3), 90, np.uint8))[:-500],
    "huge.bmp": b"BM" + b"\0" * 16 + (10**6).to_bytes(4, "little") * 2 + b"\1\0\x18\0" + b"\0" * 24,
}


def test_broken_files_are_rows_where_they_were(predictor, files, tmp_path):
    folder = tmp_path / "mixed"
    folder.mkdir()
    for place, file in enumerate(files[:6]):
        shutil.copy(file, folder / f"{2 * place}.bmp")
    for place, data in enumerate(BROKEN.values()):
        (folder / f"{2 * place + 1}.bmp").write_bytes(data)
    (folder / "9.bmp").symlink_to(folder / "nowhere")
    frame = predictor.predict(folder).frame
    assert frame["cell_id"].to_list() == [*(f"{place}.bmp" for place in range(10)), "10.bmp"]
    broken = frame.filter(pl.col("error").is_not_null())
    assert broken["cell_id"].to_list() == ["1.bmp", "3.bmp", "5.bmp", "7.bmp", "9.bmp"]
    assert set(broken["decision"]) == {"indeterminate"}
    assert (broken["reason"] == "unreadable: " + broken["error"]).all()
    empty = [name for name in frame.columns if "probability" in name or "logit" in name or "cell_w" in name]
    assert broken.select(empty).null_count().row(0) == (5,) * len(empty)
    assert not any(str(folder) in text for text in broken["error"]), "the path has its own column"
    assert broken["sha256"][1] == hashlib.sha256(BROKEN["text.bmp"]).hexdigest()
    good = frame.filter(pl.col("error").is_null())
    same(good, predictor.predict(files[:6]).frame)
    assert predictor.predict(folder).num_unreadable == 5


def test_a_batch_of_broken_files_only_is_rows_too(predictor, tmp_path):
    for name, data in BROKEN.items():
        (tmp_path / name).write_bytes(data)
    frame = predictor.predict(tmp_path).frame
    assert frame.height == 4 and frame["error"].null_count() == 0


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((4, 4)), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8), "text", None, 7],
)
def test_pixels_of_another_kind_are_a_row_that_says_so(predictor, images, pixels):
    if isinstance(pixels, str):
        with pytest.raises(UsageError):
            predictor.predict([images[0], pixels])
        return
    frame = predictor.predict([images[0], pixels, images[1]]).frame
    assert frame["error"].is_null().to_list() == [True, False, True]
    assert "uint8 (H, W, 3)" in frame["error"][1] or "pixels" in frame["error"][1]


def test_blank_and_strange_images_are_indeterminate_and_keep_their_probability(predictor):
    black, grey = np.zeros((450, 450, 3), np.uint8), np.full((450, 450, 3), 128, np.uint8)
    noise = np.random.default_rng(0).integers(1, 255, (450, 450, 3), dtype=np.uint8)
    frame = predictor.predict([black, grey, noise]).frame
    assert frame["reason"].to_list() == ["quality: blank", "quality: blank", "quality: not-segmented"]
    assert frame["decision"].unique().to_list() == ["indeterminate"]
    assert frame["blast_probability"].null_count() == 0
    assert frame["ruler_probability"].null_count() == 3, "sizes are unknown, so the ruler is silent"


def test_a_novel_cell_is_indeterminate(make_bundle, tmp_path, images):
    bundle = make_bundle(tmp_path / "m.leuko", novelty=NoveltyLimit(distance=1e-6, k=1))
    frame = load(bundle).predict(images).frame
    assert set(frame["reason"]) == {"novel"}
    plain = load(make_bundle(tmp_path / "n.leuko", novelty=None)).predict(images).frame
    assert plain["novelty"].null_count() == plain.height
    assert plain["blast_probability"].equals(frame["blast_probability"])


def test_a_bundle_without_a_ruler_leaves_it_empty(make_bundle, tmp_path, images):
    frame = load(make_bundle(tmp_path / "m.leuko", ruler=None)).predict(images).frame
    assert frame["ruler_probability"].null_count() == frame.height


def test_more_classes_add_columns_and_change_nothing_else(make_bundle, tmp_path, images):
    """Three classes cannot come from a graph of two; the graph says so before any cell is read."""
    with pytest.raises(BundleError, match="names 3"):
        load(make_bundle(tmp_path / "m.leuko", classes=("a", "b", "c"), positive_classes=("b", "c")))


def test_views_are_the_bundles_unless_asked_otherwise(make_bundle, tmp_path, tiny_bundle, images):
    eight = load(make_bundle(tmp_path / "m.leuko", views=8)).predict(images).frame
    asked = load(tiny_bundle, views=8).predict(images).frame
    one = load(tiny_bundle).predict(images).frame
    columns = [name for name in JUDGED if name != "bundle_id"]
    same(eight, asked, columns=columns)
    assert np.abs(eight["logit_blast"].to_numpy() - one["logit_blast"].to_numpy()).max() > 1e-5
    turned = [np.ascontiguousarray(np.rot90(image)) for image in images]
    again = load(tiny_bundle, views=8).predict(turned).frame
    difference = np.abs(again["logit_blast"].to_numpy() - asked["logit_blast"].to_numpy()).max()
    assert difference < 1e-3, "the centre of a turned cell may be one pixel off"


def test_metadata_say_what_the_rows_come_from(make_bundle, tmp_path, tiny_cohort, files):
    from leukoscope.bundle.format import TrainingData

    bundle = make_bundle(tmp_path / "m.leuko", training_data=TrainingData(leaky=True))
    table = load(bundle).predict(tiny_cohort)
    assert table.is_leaky and table.is_synthetic
    assert table.metadata["bundle_id"] == open_bundle(bundle).bundle_id == table.frame["bundle_id"][0]
    assert json.loads(table.metadata["classes"]) == ["normal", "blast"]
    assert table.positive_classes == ("blast",)
    assert (Path(table.metadata["root"]) / table.frame["path"][0]).is_file()
    copied = shutil.copy(files[0], tmp_path / "alone.bmp")
    assert not load(make_bundle(tmp_path / "n.leuko")).predict(copied).is_synthetic


def test_the_table_survives_a_file(predictor, tiny_cohort, tmp_path):
    table = predictor.predict(tiny_cohort)
    for name in ("t.csv", "t.parquet", "t.jsonl"):
        again = PredictionTable.read(table.write(tmp_path / name))
        same(again.frame, table.frame, columns=table.frame.columns)


def test_no_more_than_a_few_batches_are_under_way(tiny_bundle, images):
    under_way, most, lock = 0, 0, threading.Lock()

    def cells():
        nonlocal under_way, most
        for place in itertools.count():
            with lock:
                under_way += 1
                most = max(most, under_way)
            yield images[place % len(images)]

    predictor = Predictor(tiny_bundle, batch_size=8, workers=2)
    for chunk in itertools.islice(predictor.rows(resolve(cells())), 20):
        under_way -= chunk.height
    assert most <= 4 * 8


@pytest.mark.parametrize(
    "wrong", [{"views": 2}, {"batch_size": -1}, {"workers": -1}, {"threads": -1}, {"backend": "abacus"}]
)
def test_impossible_settings_are_refused(tiny_bundle, wrong):
    with pytest.raises(UsageError):
        Predictor(tiny_bundle, **wrong)


def test_references_fewer_than_k_are_refused(make_bundle, tmp_path):
    bundle = make_bundle(tmp_path / "m.leuko", novelty=NoveltyLimit(distance=1.0, k=4))
    with pytest.raises(BundleError, match="fewer than k"):
        load(bundle)


def test_the_package_offers_load(tiny_bundle, images):
    assert leukoscope.load(tiny_bundle).predict(images[0]).frame.height == 1


def test_every_mode_of_a_file_reads_as_its_pixels(predictor, images, tmp_path):
    """A cell saved in another lossless format is the same cell."""
    image = images[0]
    expected = predictor.predict(image).frame
    for name in ("c.png", "c.tif", "c.webp"):
        buffer = io.BytesIO()
        Image.fromarray(image).save(
            buffer, {"png": "PNG", "tif": "TIFF", "webp": "WEBP"}[name[2:]], lossless=True
        )
        (tmp_path / name).write_bytes(buffer.getvalue())
        same(predictor.predict(tmp_path / name).frame, expected)


@pytest.mark.real
def test_every_real_cell_is_read_and_keeps_its_identity(predictor, real_data):
    table = predictor.predict(real_data)
    manifest = index(real_data)
    assert table.num_unreadable == 0
    for column in ("cell_id", "path", "sha256", "subject_id", "label", "fold", "cell_width", "cell_area"):
        assert table.frame[column].equals(manifest.frame[column]), column
