"""``leukoscope study``: exit codes, and what it prints; the runs themselves are made up here."""

from __future__ import annotations

import sys

import pytest

from leukoscope.studies.crew import Worker
from leukoscope.studies.outcome import Outcome

SUITE = "title: One\nrecipes: [cnn-45px]\nweights: none\n"
SKIPPED = Outcome(status="skipped", reason="needs about 41 GB, 20 GB are free")


@pytest.fixture
def suite(tmp_path):
    path = tmp_path / "one.yaml"
    path.write_text(SUITE)
    return path


def runs_end_with(monkeypatch, outcome):
    def do(self, job):
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    monkeypatch.setattr(Worker, "do", do)


def test_what_the_machine_cannot_hold_is_no_failure(leukoscope, tmp_path, tiny_cohort, suite, monkeypatch):
    runs_end_with(monkeypatch, SKIPPED)
    out = tmp_path / "out"
    ran = leukoscope("study", suite, "--data", tiny_cohort, "--out", out)
    assert ran.code == 0, ran.err
    assert "skipped: needs about 41 GB, 20 GB are free" in ran.out
    assert str(out / "study.html") in ran.out and str(out / "study.csv") in ran.out
    assert "run 1 of 2: cnn-45px, by image, random weights, seed 0" in ran.err


def test_a_failed_run_is_1_and_says_why(leukoscope, tmp_path, tiny_cohort, suite, monkeypatch):
    runs_end_with(monkeypatch, Outcome(status="failed", reason="too hot"))
    ran = leukoscope("study", suite, "--data", tiny_cohort, "--out", tmp_path / "out")
    assert ran.code == 1
    assert "cnn-45px, by image, weights=none: too hot" in ran.out


def test_an_interruption_is_130_and_says_how_to_go_on(leukoscope, tmp_path, tiny_cohort, suite, monkeypatch):
    runs_end_with(monkeypatch, KeyboardInterrupt())
    ran = leukoscope("study", suite, "--data", tiny_cohort, "--out", tmp_path / "out")
    assert ran.code == 130
    assert "the same command goes on" in ran.err
    assert (tmp_path / "out" / "study.html").is_file()


def test_json_is_one_document(leukoscope, tmp_path, tiny_cohort, suite, monkeypatch):
    runs_end_with(monkeypatch, SKIPPED)
    words = ["study", suite, "--data", tiny_cohort, "--out", tmp_path / "out", "--seeds", "2", "--json"]
    document = leukoscope(*words).document
    (row,) = document["rows"]
    assert row["recipe"] == "cnn-45px" and row["readings"]["none"]["image"]["status"] == "skipped"
    assert document["failed"] == [] and not document["interrupted"]


@pytest.mark.parametrize(
    ("words", "said", "hint"),
    [
        (["study", "seed"], "there is no suite 'seed'", "did you mean 'seeds'?"),
        (["study", "quick", "--set", "training.epoch=2"], "unknown key 'training.epoch'", "training.epochs"),
        (["study", "quick", "--only", "vgg61"], "has no recipe 'vgg61'", "did you mean 'vgg16'?"),
        (["study", "quick", "--weights", "nowhere"], "expected a folder", "safetensors"),
    ],
)
def test_wrong_usage_is_2_and_two_lines(leukoscope, tmp_path, tiny_cohort, words, said, hint):
    ran = leukoscope(*words, "--data", tiny_cohort, "--out", tmp_path / "out")
    assert ran.code == 2
    error, advice = ran.err.splitlines()
    assert said in error and hint.split(".")[-1] in advice
    assert not (tmp_path / "out").exists()


def test_a_split_is_refused(leukoscope, tmp_path, tiny_split, suite):
    ran = leukoscope("study", suite, "--data", tiny_split, "--out", tmp_path / "out")
    assert ran.code == 2 and "is a split" in ran.err


def test_mlflow_that_is_not_there_names_its_extra(leukoscope, tmp_path, tiny_cohort, suite, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow.tracking", None)
    ran = leukoscope("study", suite, "--data", tiny_cohort, "--out", tmp_path / "out", "--tracker", "mlflow")
    assert ran.code == 2 and "leukoscope[mlflow]" in ran.err
