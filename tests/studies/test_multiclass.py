"""A cohort of four classes, three of them blasts, from a folder to the report and the bundle."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from leukoscope.bundle.read import open_bundle
from leukoscope.cli.main import main
from leukoscope.cohort.index import index
from leukoscope.evaluation.table import PredictionTable

CLASSES = ("benign", "early-pre-B", "pre-B", "pro-B")
SUBJECTS = 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Cells of four colours, in a folder for each class, with the subject in the name."""
    rng = np.random.default_rng(0)
    root = tmp_path_factory.mktemp("subtypes")
    y, x = np.mgrid[:96, :96] - 48
    colours = [(120, 60, 150), (200, 80, 90), (70, 160, 80), (60, 90, 200)]
    for number, name in enumerate(CLASSES):
        (root / name).mkdir()
        for subject in range(SUBJECTS):
            radius = 26 + rng.integers(0, 6)
            for cell in range(4):
                noise = rng.normal(0, 12, (96, 96, 3))
                picture = (
                    np.clip(np.array(colours[number]) + noise, 10, 255) * (np.hypot(x, y) < radius)[..., None]
                )
                Image.fromarray(picture.astype(np.uint8)).save(
                    root / name / f"{name[:2]}{subject}_{cell}.png"
                )
    return root


@pytest.fixture(scope="module")
def manifest(folder, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("manifest") / "cells.parquet"
    index(folder, subject_pattern=r"^([^_]+)_", positive=CLASSES[1:]).write(path)
    return path


@pytest.mark.parametrize(
    ("recipe", "settings"),
    [
        ("cnn-45px", ["model.arguments.stages=[[8],[8]]", "training.epochs=4"]),
        ("cnn-recall", ["training.epochs=2"]),
        ("inception", ["model.arguments.width=0.1", "training.epochs=1"]),
        ("efficientnet-b3-deep", ["model.name=resnet10t", "model.weights=none", "training.epochs=1"]),
    ],
)
def test_four_classes_go_the_whole_way(manifest, tmp_path, recipe, settings):
    words = ["--set", "training.batch_size=8", "--set", "preprocess.size=32"]
    words += [word for setting in settings for word in ("--set", setting)]
    run = tmp_path / "run"
    assert main(["train", "--recipe", recipe, "--data", str(manifest), "--out", str(run), *words]) == 0
    info = open_bundle(run / "model.leuko").info
    assert info.classes == CLASSES and info.positive_classes == CLASSES[1:]
    table = PredictionTable.read(run / "predictions.parquet")
    each = table.frame.select(f"probability_{name}" for name in CLASSES).to_numpy()
    np.testing.assert_allclose(each.sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(each[:, 1:].sum(1), table.frame["blast_probability"], atol=1e-5)
    report = tmp_path / "report"
    assert (
        main(
            [
                "evaluate",
                str(run / "predictions.parquet"),
                "--bundle",
                str(run / "model.leuko"),
                "-o",
                str(report),
            ]
        )
        == 0
    )
    document = json.loads((report / "report.json").read_text())
    assert document["metrics"]["auroc"]["num_subjects"] > 0
    assert "early-pre-B" in (report / "report.html").read_text()


def test_the_network_from_scratch_tells_the_four_apart(manifest, tmp_path):
    run = tmp_path / "run"
    settings = [
        "training.batch_size=8",
        "preprocess.size=32",
        "model.arguments.stages=[[8],[8]]",
        "training.epochs=8",
    ]
    words = [word for setting in settings for word in ("--set", setting)]
    assert main(["train", "--recipe", "cnn-45px", "--data", str(manifest), "--out", str(run), *words]) == 0
    frame = PredictionTable.read(run / "predictions.parquet").frame.filter(pl.col("split") == "test")
    each = frame.select(f"probability_{name}" for name in CLASSES).to_numpy()
    called = np.array(CLASSES)[each.argmax(1)]
    assert (called == frame["label"].to_numpy()).mean() > 0.9
