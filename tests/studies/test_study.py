"""A study: its runs end as they should and are not repeated, its rows are the runs' own figures, its page
says what there is and what there is not."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import accuracy_score, f1_score, log_loss, recall_score, roc_auc_score

from leukoscope.cohort.open import open_cohort
from leukoscope.errors import MissingExtraError, UsageError
from leukoscope.evaluation.compare import compare
from leukoscope.evaluation.table import PredictionTable
from leukoscope.recipes import load_recipe
from leukoscope.studies import conduct as conduct_module
from leukoscope.studies import study as study_module
from leukoscope.studies.conduct import conduct
from leukoscope.studies.crew import ONE_THREAD, Worker
from leukoscope.studies.outcome import Cost, Energy, Job, Need, Outcome, fingerprint, read_outcome
from leukoscope.studies.study import study
from leukoscope.studies.study_page import Facts, render
from leukoscope.studies.study_rows import Finished, failed, read_rows
from leukoscope.studies.study_splits import Parting, Partings
from leukoscope.studies.study_table import write_table
from leukoscope.studies.study_words import joules, size
from leukoscope.studies.suite import Suite, entries
from leukoscope.studies.tracker import open_tracker
from leukoscope.studies.worker import PRELOADED

SUITE = """
title: Two small recipes
recipes: [cnn-baseline, cnn-small]
max_size: 32
max_epochs: 2
settings: [training.batch_size=8]
weights: none
"""


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEUKOSCOPE_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    from leukoscope.cohort.synth import synthesize

    out = tmp_path_factory.mktemp("cohort") / "people"
    source = synthesize(out, subjects=14, cells_per_subject=5, unlabelled=3, seed=3)
    return open_cohort(source).write(out.with_suffix(".parquet"))


def make_job(cohort: Path, folder: Path, **changes: object) -> Job:
    parting = Parting(protocol="grouped-holdout", unit="subject", seed=0)
    partings = Partings(open_cohort(cohort), folder / "splits", 3)
    partings.make(parting, seed=0)
    given: dict[str, object] = {
        "source": "cnn-baseline",
        "name": "cnn-baseline",
        "settings": ("preprocess.size=32", "training.epochs=1", "training.batch_size=8"),
        "reading": "subject",
        "weights": "none",
        "seed": 0,
        "parting": parting,
        "split": partings.path(parting),
        "folder": folder / "run",
        "device": "cpu",
    }
    return Job.model_validate(given | changes)


class TestOneRun:
    def test_is_done_and_leaves_its_cost(self, cohort, tmp_path):
        outcome = conduct(make_job(cohort, tmp_path))
        assert outcome.status == "done" and outcome == read_outcome(tmp_path / "run")
        assert outcome.weights == "random" and outcome.best_epochs == (1,)
        assert outcome.cost is not None and outcome.cost.predicted_per_second
        rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
        assert outcome.cost.seconds == pytest.approx(sum(row["seconds"] for row in rows))
        assert not (tmp_path / "run" / "checkpoints").exists()
        assert (tmp_path / "run" / "model.leuko").is_dir()

    def test_folds_are_pooled_and_nothing_is_shipped(self, cohort, tmp_path):
        parting = Parting(protocol="grouped-kfold", unit="image", seed=0)
        partings = Partings(open_cohort(cohort), tmp_path / "splits", 3)
        partings.make(parting, seed=0)
        outcome = conduct(
            make_job(
                cohort,
                tmp_path,
                parting=parting,
                split=partings.path(parting),
                reading="image",
                keep_models=False,
            )
        )
        assert outcome.status == "done" and len(outcome.best_epochs) == 3
        rows = PredictionTable.read(tmp_path / "run" / "predictions.parquet").frame
        assert rows["split"].unique().to_list() == ["test"]
        split = pl.read_parquet(partings.path(parting))
        assert sorted(rows["cell_id"]) == sorted(split.drop_nulls("fold")["cell_id"])
        assert not list((tmp_path / "run").rglob("model.leuko"))

    def test_what_the_machine_cannot_hold_is_skipped_and_says_so(self, cohort, tmp_path, monkeypatch):
        monkeypatch.setattr(conduct_module, "free_bytes", lambda device: 1000)
        outcome = conduct(make_job(cohort, tmp_path))
        assert outcome.status == "skipped"
        assert re.fullmatch(r"needs about [\d.]+ GB, 0.0 GB are free", outcome.reason)
        assert not (tmp_path / "run" / "config.yaml").exists()

    def test_what_would_take_too_long_is_skipped_and_says_so(self, cohort, tmp_path, monkeypatch):
        monkeypatch.setattr(conduct_module, "machine_rate", lambda device: 1000.0)
        outcome = conduct(make_job(cohort, tmp_path, hours=0.5))
        assert outcome.status == "skipped" and "the limit is 0.5" in outcome.reason

    def test_a_counted_need_is_not_counted_again(self, cohort, tmp_path, monkeypatch):
        need = Need(parameters=1, multiply_adds=1, weight_bytes=10**18, activation_bytes=0)
        monkeypatch.setattr(conduct_module, "measure_need", lambda *_: pytest.fail("counted again"))
        assert conduct(make_job(cohort, tmp_path, need=need)).status == "skipped"

    def test_an_error_is_its_outcome(self, cohort, tmp_path):
        job = make_job(cohort, tmp_path, settings=("model.arguments.stages=[[8]]", "preprocess.size=1"))
        outcome = conduct(job)
        assert outcome.status == "failed" and outcome.reason and outcome.hint

    def test_a_defect_is_its_outcome_too(self, cohort, tmp_path, monkeypatch):
        def defect(*_: object, **__: object) -> None:
            raise ZeroDivisionError("by zero")

        monkeypatch.setattr(conduct_module, "train_split", defect)
        outcome = conduct(make_job(cohort, tmp_path))
        assert (outcome.status, outcome.reason) == ("failed", "unexpected ZeroDivisionError: by zero")

    def test_another_recipe_in_its_folder_is_refused(self, cohort, tmp_path):
        job = make_job(cohort, tmp_path)
        assert conduct(job).status == "done"
        other = job.model_copy(update={"settings": (*job.settings, "training.learning_rate=0.5")})
        outcome = conduct(other)
        assert outcome.status == "failed" and "another recipe" in outcome.reason

    def test_weights_that_are_not_there(self, cohort, tmp_path, monkeypatch):
        monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda where, name: None)
        job = make_job(cohort, tmp_path, source="resnet50-frozen", name="resnet50-frozen")
        outcome = conduct(job.model_copy(update={"weights": "pretrained"}))
        assert (outcome.status, outcome.reason) == ("absent", "weights not present")

    def test_weights_of_a_file(self, cohort, tmp_path):
        from safetensors.torch import save_file

        from leukoscope.models.create import create_model

        recipe = load_recipe("cnn-baseline", ["preprocess.size=32"])
        network = create_model(recipe.model.name, num_classes=2, size=32, **recipe.model.built_with())
        save_file(network.state_dict(), tmp_path / "cnn-baseline.safetensors")
        job = make_job(cohort, tmp_path, weights="pretrained", weights_folder=tmp_path)
        outcome = conduct(job)
        assert (outcome.status, outcome.weights) == ("done", "cnn-baseline.safetensors")

    def test_the_fingerprint_is_of_what_decides(self):
        one, other = load_recipe("cnn-baseline"), load_recipe("cnn-baseline", ["training.seed=1"])
        assert fingerprint(one) != fingerprint(other)
        assert fingerprint(one) == fingerprint(one.model_copy(update={"title": "another"}))


def finished(
    folder: Path, reading: str, *, seed: int = 0, better: float = 1.0, leaky: bool = False, **changes: object
) -> Finished:
    """A run of made-up predictions on 12 subjects, without training."""
    rng = np.random.default_rng(seed)
    blast = np.repeat([True, False], 60)
    p = 1 / (1 + np.exp(-(better * np.where(blast, 1, -1) + rng.normal(size=120))))
    frame = pl.DataFrame(
        {
            "cell_id": [str(cell) for cell in range(120)],
            "subject_id": [f"{cell // 10}" for cell in range(120)],
            "label": np.where(blast, "blast", "normal"),
            "split": "test",
            "blast_probability": p,
            "ruler_probability": np.where(blast, 0.6, 0.4) + rng.normal(size=120) / 10,
            "error": pl.Series([None] * 120, dtype=pl.String),
        }
    )
    run = folder / "runs" / "cnn-small" / reading / "none" / f"seed-{seed}"
    run.mkdir(parents=True)
    noise = frame.with_columns(
        pl.lit("validation").alias("split"), blast_probability=1 - pl.col("blast_probability")
    )
    table = PredictionTable(pl.concat([frame, noise]), {"leaky": str(leaky).lower(), "synthetic": "true"})
    table.write(run / "predictions.parquet")
    epochs = [
        {
            "epoch": epoch,
            "train_loss": 0.5 / epoch,
            "train_accuracy": 0.9,
            "validation_loss": 0.6,
            "validation_accuracy": 0.7,
            "seconds": 2.0,
        }
        for epoch in (1, 2)
    ]
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in epochs))
    outcome = Outcome(
        status="done",
        recipe="x",
        weights="random",
        need=Need(parameters=23_921, multiply_adds=5_000_000, weight_bytes=1, activation_bytes=1),
        cost=Cost(seconds=4.0, cells_per_second=60.0, predicted_per_second=90.0, memory_bytes=10**9),
        best_epochs=(2,),
    ).model_copy(update=changes)
    job = Job(
        source="cnn-small",
        name="cnn-small",
        settings=(),
        reading=reading,
        weights="none",
        seed=seed,
        parting=Parting(protocol="grouped-holdout", unit=reading, seed=0),
        split=folder / "none.parquet",
        folder=run,
    )
    return Finished(job, outcome)


LISTED = entries(Suite(title="", recipes=("cnn-small",)))


class TestRows:
    def test_figures_are_those_of_the_test_rows(self, tmp_path):
        run = finished(tmp_path, "subject")
        (row,) = read_rows(LISTED, [run], tmp_path)
        reading = row.readings["none"]["subject"]
        rows = pl.read_parquet(run.job.folder / "predictions.parquet").filter(pl.col("split") == "test")
        y, p = (rows["label"] == "blast").to_numpy(), rows["blast_probability"].to_numpy()
        expected = {
            "accuracy": accuracy_score(y, p >= 0.5),
            "log_loss": log_loss(y, p),
            "sensitivity": recall_score(y, p >= 0.5),
            "weighted_f1": f1_score(y, p >= 0.5, average="weighted"),
            "auroc": roc_auc_score(y, p),
        }
        for name, value in expected.items():
            metric = reading.metrics[name]
            assert metric.estimate == pytest.approx(value, abs=1e-6)
            assert metric.ci_low is not None and metric.ci_low <= value <= metric.ci_high
            assert metric.unit == "subject"
        ruler = rows["ruler_probability"].to_numpy()
        assert reading.size["auroc"].estimate == pytest.approx(roc_auc_score(y, ruler))
        assert (reading.num_cells, reading.num_subjects) == (120, 12)

    def test_several_seeds_are_their_mean(self, tmp_path):
        runs = [finished(tmp_path, "subject", seed=seed) for seed in (0, 1)]
        (both,) = read_rows(LISTED, runs, tmp_path)
        single = [read_rows(LISTED, [run], tmp_path)[0].readings["none"]["subject"] for run in runs]
        mean = np.mean([one.metrics["auroc"].estimate for one in single])
        reading = both.readings["none"]["subject"]
        assert reading.metrics["auroc"].estimate == pytest.approx(mean) and reading.seeds == (0, 1)

    def test_the_leak_on_the_same_cells_is_paired(self, tmp_path):
        image, subject = finished(tmp_path, "image", seed=1, better=3.0), finished(tmp_path, "subject")
        (row,) = read_rows(LISTED, [image, subject], tmp_path)
        files = {run.job.reading: run.job.folder / "predictions.parquet" for run in (image, subject)}
        tables = {name: PredictionTable.read(path) for name, path in files.items()}
        expected = compare(tables).pairs[0].differences["auroc"]
        leak = row.leak["none"]["auroc"]
        assert leak.difference == pytest.approx(expected.difference)
        assert (leak.ci_low, leak.ci_high) == pytest.approx((expected.ci_low, expected.ci_high))
        assert set(row.leak["none"]) >= {"accuracy", "log_loss", "sensitivity", "weighted_f1"}

    def test_the_leak_on_other_cells_has_no_interval(self, tmp_path):
        image, subject = finished(tmp_path, "image", better=3.0), finished(tmp_path, "subject")
        path = subject.job.folder / "predictions.parquet"
        table = PredictionTable.read(path)
        PredictionTable(table.frame.filter(pl.col("cell_id") != "7"), table.metadata).write(path)
        (row,) = read_rows(LISTED, [image, subject], tmp_path)
        leak, readings = row.leak["none"]["accuracy"], row.readings["none"]
        estimates = [readings[name].metrics["accuracy"].estimate for name in ("image", "subject")]
        assert leak.difference == pytest.approx(estimates[0] - estimates[1])
        assert leak.ci_low is None and "other cells" in leak.reason

    def test_the_gap_is_that_of_the_kept_epoch(self, tmp_path):
        run = finished(tmp_path, "subject", best_epochs=(2,))
        (row,) = read_rows(LISTED, [run], tmp_path)
        gap = row.readings["none"]["subject"].gap
        assert gap.train_loss == 0.25 and gap.words.startswith("A wide gap: 0.20 of accuracy, 0.35 of loss")

    def test_only_what_went_wrong_is_a_failure(self, tmp_path):
        runs = [
            finished(tmp_path, "image", status="failed", reason="too hot"),
            finished(tmp_path, "subject", status="skipped", reason="needs about 41 GB, 20 GB are free"),
        ]
        assert failed(read_rows(LISTED, runs, tmp_path)) == [("cnn-small, by image, weights=none", "too hot")]

    def test_a_seed_that_failed_is_said_beside_those_that_did_not(self, tmp_path):
        runs = [
            finished(tmp_path, "subject"),
            finished(tmp_path, "subject", seed=1, status="failed", reason="too hot"),
        ]
        rows = read_rows(LISTED, runs, tmp_path)
        assert rows[0].readings["none"]["subject"].seeds == (0,)
        assert failed(rows) == [("cnn-small, by subject, weights=none", "seed 1: too hot")]


class TestPage:
    @pytest.fixture
    def page(self, tmp_path, cohort):
        suite = Suite(title="Small & smaller", recipes=("cnn-small", "vgg16", "cnn-45px"))
        skipped = {"status": "skipped", "reason": "needs about 41 GB, 20 GB are free"}
        runs = [finished(tmp_path, "image", better=3.0, leaky=True), finished(tmp_path, "subject")]
        for reading in ("image", "subject"):
            for weights, outcome in (
                ("none", Outcome.model_validate(skipped)),
                ("pretrained", Outcome(status="absent", reason="weights not present")),
            ):
                job = runs[0].job.model_copy(update={"name": "vgg16", "weights": weights, "reading": reading})
                runs.append(Finished(job, outcome))
        rows = read_rows(entries(suite), runs, tmp_path)
        write_table(rows, tmp_path / "study.csv")
        html = render(rows, runs, Facts("mine", suite, open_cohort(cohort), "cpu"))
        return html, rows, list(csv.DictReader((tmp_path / "study.csv").open()))

    def test_says_what_there_is_and_what_there_is_not(self, page):
        html, _, _ = page
        for words in (
            "weights=none: random starting weights",
            "weights not present",
            "skipped: needs about 41 GB, 20 GB are free",
            "random weights in the document",
            "LEAKY",
            "SYNTHETIC",
            "Research use only",
            "A wide gap: 0.20 of accuracy",
            "not told",
            "Small &amp; smaller",
        ):
            assert words in html, words

    def test_is_one_file_that_needs_no_net(self, page):
        html, _, _ = page
        assert not re.findall(r'(?:src|href)="(?!#)[^"]*"', html)
        assert not re.findall(r"url\((?!#)", html) and "<script" not in html
        assert html.count("<svg") >= 4

    def test_the_table_has_the_figures_of_the_rows(self, page):
        html, rows, lines = page
        by_recipe = {line["recipe"]: line for line in lines}
        assert list(by_recipe) == ["cnn-small", "vgg16", "cnn-45px"]
        line, row = by_recipe["cnn-small"], rows[0]
        for reading in ("image", "subject"):
            for name in ("accuracy", "log_loss", "sensitivity", "weighted_f1", "auroc"):
                metric = row.readings["none"][reading].metrics[name]
                assert float(line[f"none_{reading}_{name}"]) == pytest.approx(metric.estimate)
                low = line[f"none_{reading}_{name}_ci_low"]
                assert (float(low) if low else None) == pytest.approx(metric.ci_low)
                assert f"{metric.estimate:.3f}" in html
        assert float(line["none_leak_auroc"]) == pytest.approx(row.leak["none"]["auroc"].difference)
        assert line["none_image_stamps"] == "LEAKY SYNTHETIC" and line["none_subject_stamps"] == "SYNTHETIC"
        assert by_recipe["cnn-45px"]["published_accuracy"] == "0.7"
        assert by_recipe["vgg16"]["pretrained_subject_status"] == "weights not present"
        assert by_recipe["vgg16"]["none_image_status"].startswith("skipped: needs about 41 GB")
        assert by_recipe["vgg16"]["none_image_accuracy"] == ""

    def test_words_for_memory_and_energy(self):
        assert size(2_340_000_000) == "2.3 GB"
        energy = Energy(joules=12_345, source="processor")
        assert joules(Cost(seconds=1, cells_per_second=1, energy=energy)) == "12.3 kJ (processor)"


def times(folder: Path) -> dict[str, int]:
    return {
        path.relative_to(folder).as_posix(): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file()
    }


def wait_for(path: Path, process: subprocess.Popen[bytes], seconds: float = 300) -> None:
    until = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, "the study ended before"
        assert time.monotonic() < until, f"no {path}"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def killed(cohort, tmp_path_factory):
    """A study, killed in its second run and gone on with."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "mine.yaml").write_text(SUITE)
    out = folder / "out"
    code = (
        "import sys; from pathlib import Path; from leukoscope.studies.study import study;"
        "study(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), device='cpu')"
    )
    words = [sys.executable, "-c", code, folder / "mine.yaml", cohort, out]
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    first, second = (out / "runs/cnn-baseline" / name / "none/seed-0" for name in ("image", "subject"))
    wait_for(second / "config.yaml", process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = read_outcome(first)
    assert done is not None and done.status == "done" and read_outcome(second) is None
    before = times(first)
    time.sleep(1.0)  # whatever the run's process still does, it does now
    unfinished = times(second)
    time.sleep(1.0)
    assert times(second) == unfinished, "the run died with the study"
    found = study(str(folder / "mine.yaml"), cohort, out, device="cpu")
    return SimpleNamespace(out=out, first=first, before=before, found=found, suite=folder / "mine.yaml")


class TestWholeStudy:
    def test_a_finished_run_is_not_written_again(self, killed):
        assert times(killed.first) == killed.before

    def test_every_run_is_there_in_the_end(self, killed):
        assert not killed.found.failed and not killed.found.interrupted
        for row in killed.found.rows:
            both = row.readings["none"]
            assert {name: one.status for name, one in both.items()} == {"image": "done", "subject": "done"}
            assert both["image"].stamps == ("LEAKY", "SYNTHETIC") and both["subject"].stamps == ("SYNTHETIC",)
            assert both["subject"].cost.memory_bytes > 10**7
        assert killed.found.page.is_file() and killed.found.table.is_file()

    def test_what_the_cells_do_not_allow_is_said(self, killed):
        reading = killed.found.rows[1].readings["none"]["image"]
        assert reading.parting.protocol == "grouped-holdout"
        assert "sample-1000 needs" in reading.parting.words
        assert "sample-1000 needs" in killed.found.page.read_text()

    def test_a_third_call_starts_no_run(self, killed, cohort, monkeypatch):
        monkeypatch.setattr(Worker, "do", lambda *_: pytest.fail("a run was repeated"))
        again = study(str(killed.suite), cohort, killed.out, device="cpu")
        assert [row.model_dump() for row in again.rows] == [row.model_dump() for row in killed.found.rows]

    def test_only_some_recipes_and_more_seeds(self, killed, cohort, monkeypatch):
        asked = []

        def do(self, job):
            asked.append((job.name, job.seed))
            return Outcome(status="skipped", reason="needs about 41 GB, 20 GB are free")

        monkeypatch.setattr(Worker, "do", do)
        found = study(str(killed.suite), cohort, killed.out, only=["cnn-small"], seeds=2, device="cpu")
        assert asked == [("cnn-small", 1)] * 2
        assert [row.recipe for row in found.rows] == ["cnn-small"]

    @pytest.mark.parametrize(
        ("change", "said"), [("settings", "another setting"), ("data", "another set of cells")]
    )
    def test_another_study_is_refused(self, killed, cohort, tiny_cohort, change, said):
        with pytest.raises(UsageError, match=said):
            if change == "data":
                study(str(killed.suite), tiny_cohort, killed.out)
            else:
                study(str(killed.suite), cohort, killed.out, settings=["training.batch_size=4"])

    def test_another_suite_is_refused(self, killed, cohort, tmp_path):
        (tmp_path / "other.yaml").write_text(SUITE)
        with pytest.raises(UsageError, match="another suite"):
            study(str(tmp_path / "other.yaml"), cohort, killed.out)

    def test_a_changed_recipe_is_not_taken_for_the_old_one(self, killed, cohort, monkeypatch):
        monkeypatch.setattr(study_module, "fingerprint", lambda recipe: "another")
        monkeypatch.setattr(Worker, "do", lambda *_: pytest.fail("trained over it"))
        found = study(str(killed.suite), cohort, killed.out, device="cpu")
        assert len(found.failed) == 4 and all("has changed" in reason for _, reason in found.failed)


def test_a_folder_with_something_else_is_left_alone(cohort, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="holds no study"):
        study("quick", cohort, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_interruption_keeps_what_is_done_and_writes_the_page(cohort, tmp_path, monkeypatch):
    (tmp_path / "mine.yaml").write_text(SUITE)

    def do(self, job):
        if job.reading == "subject":
            raise KeyboardInterrupt
        return Outcome(status="skipped", reason="needs about 41 GB, 20 GB are free")

    monkeypatch.setattr(Worker, "do", do)
    found = study(str(tmp_path / "mine.yaml"), cohort, tmp_path / "out")
    assert found.interrupted and found.page.is_file()
    assert found.rows[0].readings["none"]["subject"].reason == "not run yet"
    assert "3 not run yet" in found.page.read_text()


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="signals of POSIX")
def test_ctrl_c_reaches_the_run_once_and_it_goes_on_later(cohort, tmp_path):
    """Only the study's own process is told; the run ends after a batch and keeps its epochs."""
    settings = ("preprocess.size=32", "training.epochs=400", "training.batch_size=8", "training.patience=0")
    job = make_job(cohort, tmp_path, settings=settings)
    code = (
        "import signal, sys\n"
        "from leukoscope.studies.crew import Worker; from leukoscope.studies.outcome import Job\n"
        # whoever runs these tests in the background may have had the signal ignored
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "try:\n"
        "    with Worker() as worker: worker.do(Job.model_validate_json(sys.argv[1]))\n"
        "except KeyboardInterrupt: sys.exit(130)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, job.model_dump_json()], stderr=subprocess.DEVNULL)
    wait_for(tmp_path / "run" / "checkpoints" / "last.ckpt", process)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=120) == 130
    outcome = read_outcome(tmp_path / "run")
    assert outcome is not None and outcome.status == "interrupted"
    done = len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    assert 0 < done < 400
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file()


@pytest.mark.skipif(sys.platform != "linux", reason="forks on Linux only")
@pytest.mark.parametrize(
    "names", [("numpy", "scipy.linalg"), pytest.param(PRELOADED, marks=pytest.mark.slow)]
)
def test_what_the_worker_loads_leaves_it_able_to_fork(names):
    """A worker that cannot fork loads the framework anew for each run, six times as long as a small run."""
    code = (
        "import importlib, sys\n"
        "from leukoscope.studies.worker import can_fork\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "sys.exit(0 if can_fork() else 'threads are running')"
    )
    subprocess.run([sys.executable, "-c", code, *names], check=True, env=os.environ | ONE_THREAD)


class TestTracker:
    def test_without_mlflow_the_extra_is_named(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "mlflow.tracking", None)
        with pytest.raises(MissingExtraError) as caught, open_tracker("mlflow", tmp_path):
            pass
        assert caught.value.extra == "mlflow"

    def test_keeps_each_finished_run_once(self, tmp_path, monkeypatch):
        """MLflow's client, recorded; with MLflow installed the test below asks the real one."""
        kept: list[dict[str, object]] = []
        client = _fake_mlflow(monkeypatch, kept)
        run = finished(tmp_path, "subject")
        with open_tracker("mlflow", tmp_path) as keep:
            keep(run)
            keep(run)
            keep(finished(tmp_path, "image", status="failed"))
        assert client.address == f"sqlite:///{(tmp_path / 'mlflow.db').resolve().as_posix()}"
        assert len(kept) == 1
        assert kept[0]["params"]["model.name"] == "plain-cnn"
        steps = [(value, step) for name, value, step in kept[0]["metrics"] if name == "train_loss"]
        assert steps == [(0.5, 1), (0.25, 2)]

    def test_the_real_one(self, tmp_path):
        tracking = pytest.importorskip("mlflow.tracking")
        pytest.importorskip("sqlalchemy")
        run = finished(tmp_path, "subject")
        for _ in range(2):
            with open_tracker("mlflow", tmp_path) as keep:
                keep(run)
        client = tracking.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
        (made,) = client.search_runs([client.get_experiment_by_name("leukoscope").experiment_id])
        assert made.data.params["recipe"] == "cnn-small" and made.info.status == "FINISHED"
        history = client.get_metric_history(made.info.run_id, "train_loss")
        assert [(one.step, one.value) for one in history] == [(1, 0.5), (2, 0.25)]
        (row,) = read_rows(LISTED, [run], tmp_path)
        expected = row.readings["none"]["subject"].metrics["auroc"].estimate
        assert made.data.metrics["test.auroc"] == pytest.approx(expected)


def _fake_mlflow(monkeypatch, kept):
    class Client:
        address = ""

        def __init__(self, address):
            Client.address = address

        def get_experiment_by_name(self, name):
            return None

        def create_experiment(self, name, where):
            return "1"

        def search_runs(self, experiments, text, max_results):
            return [run for run in kept if f"'{run['tags']['leukoscope.run']}'" in text]

        def create_run(self, experiment, run_name, tags):
            kept.append({"tags": tags, "params": {}, "metrics": []})
            return SimpleNamespace(info=SimpleNamespace(run_id=len(kept) - 1))

        def log_batch(self, run, params=(), metrics=()):
            kept[run]["params"].update(params)
            kept[run]["metrics"] += [(name, value, step) for name, value, _, step in metrics]

        def set_terminated(self, run):
            kept[run]["over"] = True

    names = ("mlflow", "mlflow.tracking", "mlflow.entities", "sqlalchemy")
    modules = {name: ModuleType(name) for name in names}
    modules["mlflow.tracking"].MlflowClient = Client
    modules["mlflow.entities"].Param = lambda name, text: (name, text)
    modules["mlflow.entities"].Metric = lambda name, value, now, step: (name, value, now, step)
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Client


@pytest.mark.slow
def test_quick_runs_every_model_once(tmp_path):
    """Every recipe, the largest too; only what the memory cannot hold may be skipped."""
    from leukoscope.cohort.synth import synthesize

    source = synthesize(tmp_path / "people", subjects=16, cells_per_subject=20, unlabelled=0, seed=1)
    found = study("quick", source, tmp_path / "out", device="cpu")
    assert not found.failed
    assert len(found.rows) == 16
    for row in found.rows:
        for reading in row.readings["none"].values():
            assert reading.status == "done" or "GB are free" in reading.reason, row.recipe
            assert reading.status == "skipped" or reading.metrics["auroc"].estimate is not None
    assert {row.recipe for row in found.rows if not row.readings["none"]["subject"].metrics} <= {
        "convnext-xlarge"
    }
    assert not list(tmp_path.rglob("checkpoints"))
