"""A run, whole: from a split to a bundle whose rows, figures and limits belong together."""

import json

import numpy as np
import polars as pl
import pytest
import yaml
from sklearn.metrics import roc_auc_score

from leukoscope.bundle.read import open_bundle
from leukoscope.cohort.manifest import Manifest
from leukoscope.cohort.open import open_cohort
from leukoscope.cohort.splits import split
from leukoscope.core.progress import say
from leukoscope.errors import ConfigError, TrainingError, UsageError
from leukoscope.evaluation.calibration import fit_temperature
from leukoscope.evaluation.conformal import covering
from leukoscope.evaluation.evaluate import evaluate
from leukoscope.evaluation.people import read_people
from leukoscope.evaluation.recalibrate import fit_table
from leukoscope.evaluation.table import PredictionTable
from leukoscope.inference.inputs import resolve
from leukoscope.inference.int8_draft import make_draft
from leukoscope.inference.int8_people import known_roles, share_out
from leukoscope.inference.predictor import Predictor
from leukoscope.recipes import load_recipe
from leukoscope.studies import folds as folds_module
from leukoscope.studies import run as run_module
from leukoscope.studies.run import train
from leukoscope.training.fit import Hardware

QUICK = ["training.epochs=2", "training.batch_size=8"]


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEUKOSCOPE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def cohort(tmp_path_factory):
    from leukoscope.cohort.synth import synthesize

    out = tmp_path_factory.mktemp("cohort") / "people"
    return open_cohort(synthesize(out, subjects=14, cells_per_subject=5, unlabelled=3, seed=3))


@pytest.fixture(scope="session")
def holdout(cohort, tmp_path_factory):
    path = tmp_path_factory.mktemp("split") / "holdout.parquet"
    split(cohort, protocol="grouped-holdout").write(path)
    return path


@pytest.fixture(scope="session")
def run(holdout, tmp_path_factory):
    return train("cnn-45px", holdout, tmp_path_factory.mktemp("runs") / "one", settings=QUICK)


class TestOneRun:
    def test_leaves_every_file(self, run):
        for name in ("config.yaml", "provenance.json", "metrics.jsonl", "curves.svg", "predictions.parquet"):
            assert (run.path / name).is_file(), name
        assert (run.path / "checkpoints").is_dir() and (run.path / "model.leuko" / "bundle.json").is_file()

    def test_predicts_every_held_out_cell_with_the_finished_bundle(self, run, holdout):
        rows = PredictionTable.read(run.predictions).frame
        expected = pl.read_parquet(holdout).filter(
            pl.col("split").is_in(["validation", "calibration", "test"])
        )
        assert rows["cell_id"].to_list() == expected["cell_id"].to_list()
        assert rows["bundle_id"].unique().to_list() == [open_bundle(run.bundle).bundle_id]

    def test_names_the_training_cells_behind_its_references(self, run, holdout):
        bundle, train = open_bundle(run.bundle), Manifest.read(holdout).part("train")
        predictor = Predictor(bundle)
        said = {}
        for batch in predictor.batches(resolve(train)):
            outputs = predictor.judge(batch).outputs
            said |= dict(zip([cell.sha256 for cell in batch], outputs.embedding, strict=True))
        known = {
            row["sha256"]: (row["subject_id"], row["label"]) for row in train.frame.iter_rows(named=True)
        }
        assert bundle.references.height == len(bundle.novelty) > 10
        for row, embedding in zip(bundle.references.iter_rows(named=True), bundle.novelty, strict=True):
            assert (row["subject_id"], row["label"]) == known[row["sha256"]]
            np.testing.assert_allclose(embedding, said[row["sha256"]], rtol=2e-3, atol=2e-3)

    def test_figures_of_the_bundle_are_those_of_its_test_rows(self, run):
        rows = PredictionTable.read(run.predictions).frame.filter(pl.col("split") == "test")
        expected = roc_auc_score(rows["label"] == "blast", rows["blast_probability"])
        assert open_bundle(run.bundle).info.metrics["auroc"].estimate == pytest.approx(expected, abs=1e-6)

    def test_people_read_what_its_own_decisions_say(self, run):
        """At the point that decides: cells left open as novel or for their quality are in no share."""
        rows = PredictionTable.read(run.predictions).frame.filter(pl.col("split") == "test")
        expected = []
        for _, cells in rows.group_by("subject_id"):
            calls = cells["decision"].to_list()
            judged = len(calls) - calls.count("indeterminate")
            share = calls.count("blast") / judged if judged else None
            expected.append((cells["label"][0], len(calls), judged, share))
        info = open_bundle(run.bundle).info
        found = info.reference_readings[info.operating_points[0].name]
        assert sorted([tuple(dict(row).values()) for row in found], key=repr) == sorted(expected, key=repr)
        assert set(info.reference_readings) == {point.name for point in info.operating_points}

    def test_says_how_large_the_cells_that_it_was_fitted_on_are(self, run, holdout):
        train = Manifest.read(holdout).frame.filter(pl.col("split") == "train")
        middle = open_bundle(run.bundle).info.median_sizes
        assert set(middle) == {"blast", "normal"}
        for label, found in middle.items():
            measured = train.filter(pl.col("label") == label).select("cell_width", "cell_height", "cell_area")
            medians = np.median(measured.to_numpy(), axis=0)
            assert [found.width, found.height, found.area] == medians.tolist()

    def test_says_which_scale_it_assumes_of_cells_in_the_official_layout(self, run, holdout):
        assert Manifest.read(holdout).metadata["layout"] == "cnmc2019"
        said = open_bundle(run.bundle).info
        assert said.preprocess.micrometres_per_pixel is None
        assert said.micrometres_per_pixel == said.assumed_scale.micrometres_per_pixel == 0.05

    def test_calibration_and_threshold_come_from_the_calibration_subjects_alone(self, run):
        info = open_bundle(run.bundle).info
        rows = PredictionTable.read(run.predictions).frame.filter(pl.col("split") == "calibration")
        logits = rows.select("logit_normal", "logit_blast").to_numpy()
        labels = (rows["label"] == "blast").to_numpy().astype(int)
        expected = fit_temperature(logits, labels)
        assert info.calibration.temperature == pytest.approx(expected.temperature, rel=1e-3)
        point = info.operating_points[0]
        blasts = rows.filter(pl.col("label") == "blast")["blast_probability"].to_numpy()
        assert np.mean(blasts >= point.blast_from) >= 0.95
        assert info.calibration.subjects == point.fitted_on == "calibration subjects"
        rows = rows.filter(pl.col("label").is_not_null())
        expected = covering(
            rows["blast_probability"], rows["label"] == "blast", rows["subject_id"].to_numpy().astype(str)
        )
        found = info.operating_points[1]
        assert (found.name, found.target) == (expected.name, expected.target)
        assert (found.normal_below, found.blast_from) == pytest.approx(
            (expected.normal_below, expected.blast_from), abs=1e-4
        )

    def test_names_everybody_who_fitted_anything_and_nobody_else(self, run, holdout):
        bundle, rows = open_bundle(run.bundle), pl.read_parquet(holdout)
        fitted = rows.filter(pl.col("split").is_in(["train", "validation", "calibration"]))
        assert sorted(bundle.subjects["sha256"]) == sorted(fitted["sha256"])
        tested = set(rows.filter(pl.col("split") == "test")["subject_id"])
        assert not tested & set(bundle.subjects["subject_id"])

    def test_torch_and_onnx_give_the_same_rows(self, run, holdout):
        cohort = open_cohort(holdout).part("test")
        tables = [
            Predictor(run.bundle, backend=name).predict(cohort).frame for name in ("onnxruntime", "torch")
        ]
        first, second = (table["blast_probability"].to_numpy() for table in tables)
        np.testing.assert_allclose(first, second, atol=1e-4)

    def test_made_again_for_its_own_graph_it_fits_the_same(self, run, holdout, tmp_path):
        """What int8 is compared with, where the run's own calibration subjects are fitted on: the bundle."""
        bundle, cells = open_bundle(run.bundle), Manifest.read(holdout)
        people = share_out(cells, known_roles(bundle, cells.frame))
        assert set(people.judging.frame["split"]) == {"test"}
        assert set(people.fitting.frame["split"]) == {"calibration"}
        same = make_draft(
            bundle, bundle.onnx, tmp_path / "m", fitting=people.fitting, ranges=people.fitting, source=cells
        ).bundle
        ours, again = bundle.info, same.info
        assert again.calibration.temperature == pytest.approx(ours.calibration.temperature, rel=1e-3)
        for one, two in zip(ours.operating_points, again.operating_points, strict=True):
            assert (two.name, two.normal_below) == (one.name, pytest.approx(one.normal_below, abs=1e-3))
        assert again.novelty.distance == pytest.approx(ours.novelty.distance, rel=1e-2)
        np.testing.assert_allclose(same.novelty, bundle.novelty, rtol=2e-3, atol=2e-3)
        assert same.subjects.equals(bundle.subjects), "nobody new fitted anything"
        assert again.metrics == ours.metrics and bundle.bundle_id in again.metrics_on
        assert ours.reference_readings and again.reference_readings is None, "they are of other thresholds"

    def test_says_synthetic(self, run):
        assert open_bundle(run.bundle).info.training_data.synthetic
        assert PredictionTable.read(run.predictions).is_synthetic

    def test_config_and_provenance_can_be_read_again(self, run):
        config = yaml.safe_load((run.path / "config.yaml").read_text())
        assert config["recipe"]["training"]["epochs"] == 2 and config["data"]["protocol"] == "grouped-holdout"
        assert "torch" in json.loads((run.path / "provenance.json").read_text())["versions"]


class TestRefusals:
    def test_a_run_is_not_written_over(self, run, holdout):
        with pytest.raises(UsageError, match="holds a run already"):
            train("cnn-45px", holdout, run.path, settings=QUICK)

    def test_resume_with_other_settings_is_refused(self, run, holdout):
        with pytest.raises(TrainingError, match="another recipe"):
            train("cnn-45px", holdout, run.path, settings=["training.epochs=3"], resume=True)

    def test_a_folder_of_something_else_is_left_alone(self, holdout, tmp_path):
        (tmp_path / "thesis.txt").write_text("mine")
        with pytest.raises(UsageError, match="not empty"):
            train("cnn-45px", holdout, tmp_path, settings=QUICK)

    def test_a_run_whose_weights_cannot_be_had_leaves_its_folder_free(self, holdout, tmp_path):
        out, missing = tmp_path / "run", ["model.weights=nowhere.safetensors"]
        with pytest.raises(TrainingError, match="nowhere"):
            train("cnn-45px", holdout, out, settings=[*QUICK, *missing])
        assert train("cnn-45px", holdout, out, settings=[*QUICK, "training.epochs=1"]).best_epoch == 1

    def test_an_unknown_setting_starts_nothing(self, holdout, tmp_path):
        with pytest.raises(ConfigError):
            train("cnn-45px", holdout, tmp_path / "run", settings=["training.epoch=3"])
        assert not (tmp_path / "run").exists()

    def test_a_graph_that_is_not_the_network_is_not_believed(self, holdout, tmp_path, monkeypatch):
        from leukoscope.models.create import create_model
        from leukoscope.studies import judge

        recipe = load_recipe("cnn-45px")
        other = create_model(recipe.model.name, size=45, **recipe.model.arguments)
        monkeypatch.setattr(judge, "to_onnx", lambda _, size, export=judge.to_onnx: export(other, size))
        with pytest.raises(TrainingError, match="differ by"):
            train("cnn-45px", holdout, tmp_path / "run", settings=[*QUICK, "training.learning_rate=0.01"])


def test_our_own_network_goes_the_whole_way(holdout, tmp_path):
    few = ["training.epochs=1", "training.cells_per_epoch=32", "training.batch_size=16"]
    run = train("leukoscope-s", holdout, tmp_path / "run", settings=few)
    assert open_bundle(run.bundle).info.recipe["model"]["weights"] == "none"
    table = Predictor(run.bundle).predict(open_cohort(holdout))
    assert table.frame["blast_probability"].null_count() == 0


@pytest.fixture(scope="module")
def folds(cohort, tmp_path_factory):
    path = tmp_path_factory.mktemp("split") / "folds.parquet"
    split(cohort, protocol="grouped-kfold", folds=3).write(path)
    out = tmp_path_factory.mktemp("runs") / "folds"
    return path, train("cnn-45px", path, out, fold="all", settings=QUICK)


class TestFolds:
    def test_every_cell_is_tested_once_by_a_model_that_never_saw_its_subject(self, folds):
        path, run = folds
        rows, labelled = (
            PredictionTable.read(run.predictions).frame,
            pl.read_parquet(path).drop_nulls("label"),
        )
        assert sorted(rows["cell_id"]) == sorted(labelled["cell_id"])
        for fold in range(3):
            fitted = set(open_bundle(run.path / "folds" / str(fold) / "model.leuko").subjects["subject_id"])
            assert not fitted & set(rows.filter(pl.col("fold") == fold)["subject_id"])

    def test_a_fold_is_calibrated_on_the_other_folds(self, folds):
        _, run = folds
        rows = PredictionTable.read(run.predictions).frame
        others, here = rows.filter(pl.col("fold") != 1), rows.filter(pl.col("fold") == 1)
        fitted = fit_temperature(
            others.select("logit_normal", "logit_blast").to_numpy(),
            (others["label"] == "blast").to_numpy().astype(int),
        )
        expected = fitted.apply(here.select("logit_normal", "logit_blast").to_numpy())[:, 1]
        np.testing.assert_allclose(here["blast_probability"], expected, atol=1e-5)

    def test_a_fold_is_read_at_a_threshold_fitted_on_the_other_folds(self, folds):
        _, run = folds
        table = PredictionTable.read(run.predictions)
        others = table.frame.filter(pl.col("fold") != 1)
        _, (point, open_point) = fit_table(others, table.classes, table.positive_classes, fitted_on="")
        reading, left_open = evaluate(table).operating_points.values()
        limits = left_open.thresholds_by_fold["1"]
        assert limits == pytest.approx((open_point.normal_below, open_point.blast_from))
        assert reading.thresholds_by_fold["1"] == (point.normal_below, point.blast_from)
        assert len(set(reading.thresholds_by_fold.values())) == 3
        frame = table.frame.with_columns(
            limit=pl.col("fold").map_elements(
                lambda fold: reading.thresholds_by_fold[str(fold)][1], return_dtype=pl.Float64
            )
        ).with_columns(called=pl.col("blast_probability") >= pl.col("limit"))
        assert reading.sensitivity.estimate == pytest.approx(frame["called"].to_numpy()[table.y].mean())
        decided = frame.filter(pl.col("decision") != "indeterminate")  # the rest is novel
        assert decided.height > 10 and ((decided["decision"] == "blast") == decided["called"]).all()

    def test_the_model_to_ship_says_what_people_of_all_folds_read_at_its_own_thresholds(self, folds):
        _, run = folds
        info = open_bundle(run.bundle).info
        pool = PredictionTable.read(run.predictions)
        assert info.reference_readings == read_people([pool], info.operating_points)
        num_people = pool.frame["subject_id"].n_unique()
        assert [len(read) for read in info.reference_readings.values()] == [num_people, num_people]

    def test_a_bias_does_not_learn_from_the_shares_of_the_other_folds(self, folds):
        """Two folds with opposite shares of blasts and one model, which knows the log likelihood ratio: the
        order of cells must stay."""
        _, run = folds
        table = PredictionTable.read(run.predictions)
        rng = np.random.default_rng(0)
        blasts = np.concatenate([np.arange(200) < 160, np.arange(200) < 40])
        score = 2 * (rng.normal(size=400) + 2 * blasts) - 2
        frame = pl.DataFrame(
            {
                "cell_id": [str(cell) for cell in range(400)],
                "subject_id": [str(cell // 20) for cell in range(400)],
                "label": np.where(blasts, "blast", "normal"),
                "split": "test",
                "fold": np.repeat([0, 1], 200),
                "logit_normal": -score / 2,
                "logit_blast": score / 2,
                "probability_normal": 0.5,
                "probability_blast": 0.5,
                "blast_probability": 0.5,
                "decision": "blast",
                "error": pl.Series([None] * 400, dtype=pl.String),
            }
        )
        tables = [PredictionTable(frame, dict(table.metadata))]
        pool = folds_module.pool_folds(tables, load_recipe("leukoscope-s"))
        before = roc_auc_score(blasts, score)
        assert roc_auc_score(blasts, pool.frame["blast_probability"]) > before - 0.005
        shares = pool.frame.group_by("fold").agg(pl.col("blast_probability").mean()).sort("fold")
        assert shares["blast_probability"][0] > 0.6 > 0.4 > shares["blast_probability"][1]

    def test_the_shipped_model_knows_everybody_and_carries_the_figures_of_the_pool(self, folds):
        path, run = folds
        info, rows = open_bundle(run.bundle).info, PredictionTable.read(run.predictions).frame
        expected = roc_auc_score(rows["label"] == "blast", rows["blast_probability"])
        assert info.metrics["auroc"].estimate == pytest.approx(expected, abs=1e-6)
        everybody = set(pl.read_parquet(path).drop_nulls("label")["subject_id"])
        assert set(open_bundle(run.bundle).subjects["subject_id"]) == everybody

    def test_the_shipped_model_says_how_the_ruler_and_each_person_reads(self, folds):
        info = open_bundle(folds[1].bundle).info
        assert info.evidence.size["auroc"].num_cells == info.metrics["auroc"].num_cells
        assert {row.subject_id for row in info.evidence.subjects} == set(
            pl.read_parquet(folds[0]).drop_nulls("label")["subject_id"]
        )

    def test_a_model_of_several_partitions_carries_their_mean(self, folds, tmp_path):
        recipe, parts = load_recipe("cnn-45px", QUICK), Manifest.read(folds[0])
        one = folds_module.train_partition(
            recipe, parts, folds[1].path, resume=True, hardware=Hardware("cpu")
        )
        somebody = one.pool.frame["subject_id"][0]
        flipped = one.pool.frame.with_columns(blast_probability=1 - pl.col("blast_probability"))
        other = folds_module.Partition(parts, one.path, one.runs, PredictionTable(flipped, one.pool.metadata))
        shipped = folds_module.ship(
            recipe,
            [one, other],
            tmp_path,
            resume=False,
            hardware=Hardware("cpu"),
            without=[somebody],
            demonstration=True,
        )
        info = open_bundle(shipped.bundle).info
        assert info.demonstration and info.evidence.num_partitions == 2
        assert info.metrics["auroc"].estimate == pytest.approx(0.5), "the mean of a score and its opposite"
        assert info.evidence.without[somebody]["auroc"].num_subjects == info.metrics["auroc"].num_subjects - 1

    def test_a_finished_fold_is_not_trained_again(self, folds, monkeypatch):
        path, run = folds
        monkeypatch.setattr(run_module, "fit", lambda *_, **__: pytest.fail("trained again"))
        again = train("cnn-45px", path, run.path, fold="all", settings=QUICK, resume=True)
        assert again.best_epoch == run.best_epoch
        assert folds_module.FOLD_DONE == "fold.json" and (run.path / "folds" / "0" / "fold.json").is_file()

    def test_a_split_of_folds_needs_to_know_which(self, folds, tmp_path):
        with pytest.raises(UsageError, match="3 folds") as caught:
            train("cnn-45px", folds[0], tmp_path / "run", settings=QUICK)
        assert "--fold all" in caught.value.hint


@pytest.mark.real
def test_real_cells_go_the_whole_way(real_data, tmp_path):
    run = train("cnn-45px", real_data, tmp_path / "run", settings=["training.epochs=2"])
    rows = PredictionTable.read(run.predictions).frame
    assert rows["error"].null_count() == len(rows)
    assert rows["blast_probability"].null_count() == 0
    assert open_bundle(run.bundle).info.training_data.citation
    say(f"real cells: AUROC {run.metrics['auroc'].estimate}")
