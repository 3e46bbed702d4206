"""``leukoscope train`` and ``leukoscope demo``, on a few small cells."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from leukoscope.cli import demo
from leukoscope.errors import TrainingInterruptedError
from leukoscope.studies.run import Run

FEW = ["--set", "training.epochs=1"]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LEUKOSCOPE_CACHE", str(tmp_path / "cache"))


def test_train_writes_a_run_and_says_so(leukoscope, tmp_path, tiny_split):
    out = tmp_path / "run"
    words = ["train", "--recipe", "cnn-45px", "--data", tiny_split, "--out", out, "--device", "cpu", *FEW]
    ran = leukoscope(*words, "--json")
    assert ran.code == 0
    assert ran.document["bundle"] == str(out / "model.leuko")
    assert set(ran.document["metrics"]) >= {"auroc", "weighted_f1"}
    names = {
        "config.yaml",
        "provenance.json",
        "metrics.jsonl",
        "curves.svg",
        "predictions.parquet",
        "checkpoints",
    }
    assert names | {"model.leuko"} <= {path.name for path in out.iterdir()}
    again = leukoscope(*words)
    assert again.code == 2
    assert "--resume" in again.err
    judged = leukoscope("evaluate", out / "predictions.parquet", "--bundle", out / "model.leuko", "--json")
    assert judged.document["metrics"]["auroc"]["estimate"] == ran.document["metrics"]["auroc"]["estimate"]
    assert leukoscope("bundle", "verify", out / "model.leuko").code == 0


def test_train_without_its_extra_says_which(tmp_path, tiny_split):
    words = ["train", "--recipe", "cnn-45px", "--data", str(tiny_split), "--out", str(tmp_path / "run")]
    code = (
        "import sys; sys.modules['lightning'] = None; from leukoscope.cli.main import main; "
        f"sys.exit(main({words!r}))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert "leukoscope[train]" in ran.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (
            Run(Path("run"), Path("run/model.leuko"), Path("run/p.parquet"), 2, {}, True),
            "best epoch so far is in run/",
        ),
        (TrainingInterruptedError("folds before 1 are finished", hint="--resume goes on"), "folds before 1"),
        (KeyboardInterrupt(), "finished epochs are in run"),
    ],
    ids=["after an epoch", "between folds", "before the first epoch"],
)
def test_an_interrupted_training_is_130_and_one_line(leukoscope, monkeypatch, outcome, said):
    def train(*_given, **_named):
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    monkeypatch.setattr("leukoscope.studies.run.train", train)
    ran = leukoscope("train", "--recipe", "cnn-45px", "--data", "x", "--out", "run")
    assert ran.code == 130
    assert ran.err.startswith("interrupted: ")
    assert said in ran.err
    assert "--resume" in ran.err
    assert len(ran.err.splitlines()) == 1


@pytest.fixture
def small_demo(monkeypatch):
    """The demo with fewer and smaller things in it, called by the program's name."""
    monkeypatch.setattr("sys.argv", ["leukoscope"])
    cohort = {"subjects": 8, "cells_per_subject": 6, "unlabelled": 5, "seed": 7}
    monkeypatch.setattr(demo, "COHORT", cohort)
    monkeypatch.setattr(demo, "RECIPE", "cnn-45px")
    monkeypatch.setattr(demo, "SETTINGS", ("training.epochs=1",))


def test_the_whole_way(leukoscope, tmp_path, small_demo):
    out = tmp_path / "demo"
    ran = leukoscope("demo", "--out", out)
    assert ran.code == 0, ran.err
    assert "[SYNTHETIC]" in ran.out
    assert "size of the cell alone" in ran.out
    assert str(out / "report" / "report.html") in ran.out
    assert (out / "report" / "report.html").is_file()
    assert pl.read_csv(out / "unlabelled.csv").height == 5
    commands = [line.split() for line in ran.out.splitlines()[-3:]]
    for _program, *words in commands:
        if words[0] != "train":
            assert leukoscope(*words).code == 0, words

    drawn = next((out / "cohort").rglob("*.bmp"))
    before = drawn.stat().st_mtime_ns, (out / "run" / "provenance.json").stat().st_mtime_ns
    assert leukoscope("demo", "--out", out).code == 0
    assert drawn.stat().st_mtime_ns == before[0], "the same cells are not drawn again"
    assert (out / "run" / "provenance.json").stat().st_mtime_ns != before[1], "the model is made anew"


def test_cells_of_ones_own(leukoscope, tmp_path, small_demo, tiny_cohort, monkeypatch):
    monkeypatch.setattr(demo, "OWN_SETTINGS", ("training.epochs=1",))
    out = tmp_path / "demo"
    ran = leukoscope("demo", "--data", tiny_cohort, "--out", out)
    assert ran.code == 0, ran.err
    assert not (out / "cohort").exists()
    assert json.loads((out / "demo.json").read_text())["data"] == str(tiny_cohort)


def test_a_folder_with_something_else_is_left_alone(leukoscope, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    ran = leukoscope("demo", "--out", tmp_path)
    assert ran.code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
