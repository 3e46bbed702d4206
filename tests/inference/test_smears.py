"""Photographs as inputs: the same rows as cutting out first, what is counted apart, and another scale."""

from __future__ import annotations

import cv2
import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from leukoscope.bundle.read import open_bundle
from leukoscope.cells.corrupt import scaled
from leukoscope.cells.scale import CNMC_MICROMETRES_PER_PIXEL, CNMC_SCALE_SOURCE
from leukoscope.cells.segmentation.found import FLAGS, NO_CELL, NOT_LYMPHOID, NOT_SINGLE, why_not_judged
from leukoscope.cohort.extract import extract
from leukoscope.cohort.manifest import Manifest
from leukoscope.cohort.smears import ORIGIN_COLUMNS, SmearSettings
from leukoscope.cohort.synthetic_smear import synthesize_smear
from leukoscope.errors import UsageError
from leukoscope.evaluation.by_subject import by_subject
from leukoscope.evaluation.table import PredictionTable
from leukoscope.inference import smears as module
from leukoscope.inference.predict import predict
from leukoscope.inference.predictor import load
from leukoscope.inference.smears import moved_by_scale, resolve_smears

SETTINGS = SmearSettings(pixel_size=0.1)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    for name, seed in (("a", 41), ("b", 42), ("c", 43)):
        field = synthesize_smear(seed=seed, width=700, height=600, white_cells=4, touching_pairs=1)
        cv2.imwrite(str(folder / f"{name}.png"), cv2.cvtColor(field.image, cv2.COLOR_RGB2BGR))
    return folder


@pytest.fixture(scope="module")
def done(tiny_bundle, photographs):
    return predict(tiny_bundle, photographs, smear=SETTINGS, subject_id="S1")


def test_rows_are_those_of_cells_cut_out_first(done, tiny_bundle, photographs, tmp_path):
    cut = extract([photographs], tmp_path / "x", SETTINGS, subject_id="S1")
    is_cell = [NO_CELL.isdisjoint(flags.split(",")) for flags in cut.manifest.frame["flags"]]
    frame = predict(tiny_bundle, cut.manifest).table.frame.filter(pl.Series(is_cell))
    other = ("path", "sha256")  # of a file of its own, which these have not
    assert_frame_equal(done.table.frame.drop(other), frame.drop(other))
    assert done.photographs == cut.photographs
    assert done.num_cells == sum(photograph.num_cells for photograph in cut.photographs) >= 15


def test_each_row_says_where_its_cell_lies(done):
    frame = done.table.frame
    assert frame.schema.items() >= ORIGIN_COLUMNS.items()
    assert set(frame["path"]) == set(frame["photograph"])
    assert {path.rpartition("/")[2] for path in frame["path"]} == {"a.png", "b.png", "c.png"}
    assert frame["scale_source"].unique().to_list() == ["given"]


def test_results_carry_their_origin(tiny_bundle, photographs, done):
    inputs = resolve_smears(photographs, SETTINGS, subject_id="S1")
    results = list(load(tiny_bundle).predict_each(inputs))
    rows = done.table.frame.rows(named=True)
    assert [result.origin._asdict() for result in results] == [
        {name: row[name] for name in ORIGIN_COLUMNS} | {"flags": row["flags"] or ""} for row in rows
    ]
    assert [result.decision for result in results] == done.table.frame["decision"].to_list()


@pytest.mark.parametrize("flag", FLAGS)
def test_what_is_no_single_lymphoid_cell_is_indeterminate(tiny_bundle, photographs, tmp_path, flag):
    cut = extract([photographs / "a.png"], tmp_path / "x", SETTINGS)
    frame = cut.manifest.frame.with_columns(flags=pl.lit(flag))
    rows = predict(tiny_bundle, Manifest(frame, cut.manifest.root, cut.manifest.metadata)).table.frame
    plain = predict(tiny_bundle, tmp_path / "x" / "cells").table.frame
    words = {
        **dict.fromkeys(NOT_LYMPHOID, "not a lymphoid cell"),
        **dict.fromkeys(NOT_SINGLE, "not a single cell"),
        **dict.fromkeys(NO_CELL, "no cell"),
    }
    if flag in words:
        assert rows["decision"].unique().to_list() == ["indeterminate"]
        assert rows["reason"].unique().to_list() == [f"{words[flag]}: {flag}"]
    else:
        assert flag == "touching"
        judged = rows.filter(pl.col("path").str.starts_with("cells/"))
        assert judged["decision"].to_list() == plain["decision"].to_list()
    assert rows["blast_probability"].null_count() == 0  # what the model says stands there all the same


def test_several_flags_give_the_strongest_reason():
    assert why_not_judged(["granular", "lobed", "edge"]) == "not a single cell: edge"
    assert why_not_judged(["lobed", "granular"]) == "not a lymphoid cell: lobed,granular"
    assert why_not_judged(["debris", "edge"]) == "no cell: debris"
    assert why_not_judged(["touching"]) is why_not_judged([]) is None


def test_they_are_counted_apart_and_in_no_share(done):
    reasons = [
        "not a lymphoid cell: lobed",
        "not a single cell: edge",
        "no cell: debris",
        None,
        None,
        "novel",
    ]
    decisions = ["indeterminate"] * 3 + ["blast", "normal", "indeterminate"]
    frame = done.table.frame.head(6).with_columns(
        reason=pl.Series(reasons),
        decision=pl.Series(decisions),
        blast_probability=pl.Series([0.9] * 3 + [0.8, 0.1, 0.3]),
    )
    (row,) = by_subject(frame).rows(named=True)
    counts = {name: row[name] for name in row if name.startswith("num_")}
    assert counts == {
        "num_cells": 6, "num_blast": 1, "num_normal": 1, "num_indeterminate": 1,
        "num_not_lymphoid": 1, "num_not_single": 2, "num_unreadable": 0,
    }  # fmt: skip
    assert row["blast_fraction"] == 0.5
    assert row["mean_probability"] == pytest.approx((0.8 + 0.1 + 0.3) / 3)
    plain = by_subject(frame.drop(ORIGIN_COLUMNS))
    assert "num_not_lymphoid" not in plain.columns


def test_the_summary_of_a_file_is_that_of_the_table(done, tiny_bundle, photographs, tmp_path):
    out, subjects = tmp_path / "cells.csv", tmp_path / "subjects.parquet"
    found = predict(tiny_bundle, photographs, smear=SETTINGS, subject_id="S1", out=out, by_subject=subjects)
    assert_frame_equal(found.subjects, by_subject(done.table.frame))
    assert_frame_equal(PredictionTable.read(out).frame.select(done.table.frame.columns), done.table.frame)
    assert found.scale_moves == done.scale_moves


@pytest.mark.parametrize("name", ["out.csv", "out.parquet", "out.jsonl"])
def test_an_interrupted_run_goes_on(tiny_bundle, photographs, tmp_path, monkeypatch, name):
    whole = predict(tiny_bundle, photographs, smear=SETTINGS, out=tmp_path / f"whole-{name}", batch_size=2)
    read = module.read_photograph

    def stop_at_c(path):
        if path.name == "c.png":
            raise KeyboardInterrupt
        return read(path)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "read_photograph", stop_at_c)
        predict(tiny_bundle, photographs, smear=SETTINGS, out=tmp_path / name, batch_size=2)
    again = predict(tiny_bundle, photographs, smear=SETTINGS, out=tmp_path / name, batch_size=2, resume=True)
    assert again.num_cells == whole.num_cells
    frames = [PredictionTable.read(tmp_path / one).frame for one in (name, f"whole-{name}")]
    assert_frame_equal(*frames)


def test_a_photograph_that_cannot_be_read_is_a_row(tiny_bundle, photographs, tmp_path):
    broken = tmp_path / "broken.tif"
    broken.write_text("no photograph")
    empty = tmp_path / "empty.png"
    cv2.imwrite(str(empty), np.full((300, 400, 3), 235, np.uint8))
    found = predict(tiny_bundle, [broken, empty, photographs / "a.png"], smear=SETTINGS)
    row = found.table.frame.filter(pl.col("cell_id") == "broken").row(0, named=True)
    assert "text beginning" in row["error"] and row["decision"] == "indeterminate"
    assert row["photograph"] is None
    assert found.num_unreadable == 1
    told = {one.photograph_id: one for one in found.photographs}
    assert told["broken"].error and told["empty"].num_cells == 0
    assert told["a"].num_cells == found.num_cells - 1


def test_without_any_cell_the_table_is_empty(tiny_bundle, tmp_path):
    cv2.imwrite(str(tmp_path / "empty.png"), np.full((300, 400, 3), 235, np.uint8))
    found = predict(tiny_bundle, tmp_path, smear=SmearSettings(), out=tmp_path / "out.csv")
    assert found.num_cells == 0 and found.scale_moves is None
    assert PredictionTable.read(tmp_path / "out.csv").frame.is_empty()


def test_the_bundle_says_the_scale(photographs, make_bundle, tmp_path):
    from leukoscope.cells.preprocess import Preprocess

    bundle = make_bundle(
        tmp_path / "b.leuko", preprocess=Preprocess(field=384, size=32, micrometres_per_pixel=0.1)
    )
    frame = predict(bundle, photographs / "a.png", smear=SETTINGS).table.frame
    assert frame["cell_width"].to_list() == frame["box_width"].to_list()


def test_what_a_bundle_assumes_of_its_scale_is_taken_where_none_is_known(photographs, make_bundle, tmp_path):
    from leukoscope.bundle.export import restate_bundle
    from leukoscope.bundle.format import AssumedScale

    plain = make_bundle(tmp_path / "plain.leuko")
    scale = AssumedScale(micrometres_per_pixel=0.1, source="assumed: for this test")
    bundle = restate_bundle(plain, tmp_path / "b.leuko", assumed_scale=scale)
    frame = predict(bundle, photographs / "a.png", smear=SETTINGS).table.frame
    assert frame["cell_width"].to_list() == frame["box_width"].to_list()
    assert "0.1 micrometres per pixel (assumed: for this test)" in (bundle / "CARD.md").read_text()


def test_the_starter_says_which_scale_it_assumes():
    said = open_bundle("starter").info.assumed_scale
    assert (said.micrometres_per_pixel, said.source) == (CNMC_MICROMETRES_PER_PIXEL, CNMC_SCALE_SOURCE)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"engine": "ray", "out": "x.parquet"}, "the engine ray needs each cell as a file"),
        ({"gallery": "x.html"}, "a gallery needs each cell as a file"),
        ({"submission": "x.zip"}, "a submission needs each cell as a file"),
        ({"inputs": np.zeros((9, 9, 3), np.uint8)}, "expected paths of photographs"),
        ({"inputs": [b"bytes"]}, "Received: bytes"),
        ({"inputs": "no-such.png"}, "no such file"),
    ],
)
def test_what_photographs_cannot_do_is_told_first(
    tiny_bundle, photographs, tmp_path, monkeypatch, given, words
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=words):
        predict(tiny_bundle, **{"inputs": photographs, "smear": SETTINGS, **given})
    assert not list(tmp_path.iterdir())


def test_another_scale_is_as_if_the_cell_were_larger(done, tiny_bundle, photographs, tmp_path):
    """By hand: the cells that may be judged, each resized, each judged alone."""
    cut = extract([photographs], tmp_path / "x", SETTINGS)
    files = cut.manifest.frame.filter(pl.col("path").str.starts_with("cells/"))["path"]
    images = [cv2.cvtColor(cv2.imread(str(cut.out / path)), cv2.COLOR_BGR2RGB) for path in files]
    predictor = load(tiny_bundle)
    changes, called = [], 0
    for image in images:
        as_found, *others = (predictor.predict_one(scaled(image, factor)) for factor in (1.0, 0.9, 1.1))
        changes.append(max(abs(other.blast_probability - as_found.blast_probability) for other in others))
        called += any(other.decision != as_found.decision for other in others)
    moves = done.scale_moves
    assert moves.num_cells == len(images) >= 10
    assert moves.median_change == pytest.approx(np.median(changes), abs=1e-4)
    assert moves.tenth_change == pytest.approx(np.quantile(changes, 0.9), abs=1e-4)
    assert moves.num_decisions_changed == called
    assert moves.median_change > 0


def test_no_cell_no_word_about_scale(tiny_bundle):
    assert moved_by_scale(load(tiny_bundle), []) is None
