"""Copies of training pictures among the judged ones, found by what they show."""

from __future__ import annotations

import hashlib

import cv2
import numpy as np
import polars as pl
import pytest

from leukoscope.cohort.cell_drawing import draw_cell
from leukoscope.cohort.index import index
from leukoscope.cohort.synthetic_people import Look
from leukoscope.errors import UsageError
from leukoscope.evaluation.evaluate import evaluate
from leukoscope.evaluation.table import PredictionTable

SUBJECT = r"(?P<subject_id>S\d+)_"


def drawn(seed):
    random = np.random.default_rng(seed)
    return draw_cell(
        Look(random.uniform(50, 80), 1.2, random.random(), 2, (66, 28, 79), 1.0), random, side=240
    )


@pytest.fixture
def cohort(tmp_path):
    """Cells of S1 and S2 that trained; of S3 and S4 that are judged, one of them turned, one mirrored and
    darker, three their own; and a turned one of S1 again."""
    pictures = {
        **{f"blast/S1_{n}.png": drawn(n) for n in range(3)},
        **{f"normal/S2_{n}.png": drawn(10 + n) for n in range(3)},
        "blast/S3_turned.png": np.rot90(drawn(0)),
        "normal/S4_mirrored.png": np.uint8(drawn(11)[::-1] * 0.9),
        "blast/S1_again.png": np.rot90(drawn(2)),
        "blast/S3_own.png": drawn(20),
        "normal/S4_own.png": drawn(21),
        "normal/S4_other.png": drawn(22),
    }
    for name, image in pictures.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        assert cv2.imwrite(str(tmp_path / name), np.ascontiguousarray(image[..., ::-1]))
    made = index(tmp_path, layout="folder", subject_pattern=SUBJECT)
    trained = pl.col("path").str.contains(r"S[12]_\d")
    role = pl.when(trained).then(pl.lit("train")).otherwise(pl.lit("test")).alias("split")
    return made.with_frame(made.frame.with_columns(role), kind="split", protocol="by hand")


def table_of(cells):
    rows = cells.part("test").frame.select("cell_id", "subject_id", "label", "sha256")
    return PredictionTable(rows.with_columns(blast_probability=pl.lit(0.5)))


def shown(leak):
    return {(pair.cell_id, pair.fitted_cell_id) for pair in leak.near_copies}


EXPECTED = {
    ("blast/S3_turned.png", "blast/S1_0.png"),
    ("normal/S4_mirrored.png", "normal/S2_1.png"),
}


def test_near_copies_of_other_people_are_found(cohort):
    leak = evaluate(table_of(cohort), train=cohort, data=cohort, draws=0, near=True).leak
    assert leak.found and leak.num_near_copies == 2 and shown(leak) == EXPECTED
    assert leak.num_subjects == 1  # S1, whose near copy says nothing more
    assert "2 judged cells of other subjects show a cell that fitted it" in leak.summary
    assert leak.near_note == "pictures of 6 judged cells were compared with those of 6 that fitted it"


@pytest.mark.parametrize("salt", [None, "5a17"])
def test_a_bundle_knows_the_files_that_fitted_it(cohort, salt):
    trained = cohort.part("train").frame.select("subject_id", "sha256").with_columns(role=pl.lit("train"))
    privacy = {"hashed": salt is not None, "salt": salt or ""}
    if salt:
        named = [
            [hashlib.sha256(f"{salt}:{one}".encode()).hexdigest() for one in column] for column in trained
        ]
        trained = trained.with_columns(subject_id=pl.Series(named[0]), sha256=pl.Series(named[1]))
    leak = evaluate(
        table_of(cohort), bundle_info={"privacy": privacy}, train=trained, data=cohort, draws=0, near=True
    ).leak
    assert shown(leak) == EXPECTED and leak.num_subjects == 1


def test_folds_are_compared_with_other_folds(cohort):
    in_folds = cohort.with_frame(
        cohort.frame.with_columns(
            fold=pl.when(pl.col("split") == "train").then(0).otherwise(1).cast(pl.Int32), split=pl.lit("test")
        ),
        protocol="grouped-kfold",
        folds="2",
    )
    table = table_of(in_folds)
    table = PredictionTable(table.frame.with_columns(fold=in_folds.frame["fold"]))
    leak = evaluate(table, train=in_folds, data=in_folds, draws=0, near=True).leak
    assert shown(leak) == EXPECTED | {(other, cell) for cell, other in EXPECTED}


def test_pictures_that_were_not_compared_are_said(cohort):
    leak = evaluate(table_of(cohort), train=cohort, data=cohort, draws=0).leak
    assert (leak.near_note, leak.num_near_copies) == ("near copies not looked for", None)
    strangers = pl.DataFrame({"subject_id": ["9"], "sha256": ["f" * 64], "role": ["train"]})
    leak = evaluate(table_of(cohort), train=strangers, data=cohort, draws=0, near=True).leak
    assert leak.near_note == "near copies not looked for: no training picture is at hand"
    assert not leak.found
    with pytest.raises(UsageError, match="near copies"):
        evaluate(table_of(cohort), train=cohort, draws=0, near=True)


def test_unreadable_pictures_are_counted(cohort):
    (cohort.root / "blast/S3_turned.png").write_bytes(b"no picture")
    leak = evaluate(table_of(cohort), train=cohort, data=cohort, draws=0, near=True).leak
    assert shown(leak) == EXPECTED - {("blast/S3_turned.png", "blast/S1_0.png")}
    assert leak.near_note.endswith("; 1 of them could not be read or have no inside to compare")
