"""A fit: learns, resumes to the bit after a kill, stops when asked, keeps the best epoch."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score

from leukoscope.errors import ConfigError, TrainingError, TrainingInterruptedError
from leukoscope.models.create import create_model
from leukoscope.recipes import Recipe, load_recipe
from leukoscope.recipes.schema import ModelChoice
from leukoscope.training.draw import cell_weights
from leukoscope.training.fit import TrainingCells, build_network, fit
from leukoscope.training.keeper import Keeper


def two_kinds(count: int, size: int, seed: int = 0) -> TrainingCells:
    """Bright and dark noise of four subjects: two classes that a network tells apart at once."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    cells = rng.integers(0, 120, (count, size, size, 3)) + 100 * labels[:, None, None, None]
    groups = np.array([f"s{index % 4}" for index in range(count)])
    return TrainingCells(cells.astype(np.uint8), labels.astype(np.int64), groups, [False, True])


def small(*settings: str) -> Recipe:
    return load_recipe("cnn-45px", ["training.epochs=3", "training.batch_size=8", *settings])


def averaged(*settings: str) -> Recipe:
    return small(
        "training.average=0.9", "training.schedule=cosine", "training.class_balance=sampler", *settings
    )


def equal_weights(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def rows(folder: Path) -> list[dict]:
    read = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in read]


TRAIN, VALIDATION = np.arange(0, 48), np.arange(48, 64)


def run(recipe: Recipe, folder: Path, **options):
    return fit(recipe, two_kinds(64, 45), train=TRAIN, validation=VALIDATION, folder=folder, **options)


def test_learns_and_writes_what_it_saw(tmp_path):
    done = run(small(), tmp_path)
    assert done.history[-1]["validation_auroc"] == 1.0
    assert [row["epoch"] for row in rows(tmp_path)] == [1, 2, 3]
    assert done.best_epoch == 1 + int(np.argmin([row["validation_loss"] for row in done.history]))


def test_the_same_seed_gives_the_same_network(tmp_path):
    first, second = run(averaged(), tmp_path / "a"), run(averaged(), tmp_path / "b")
    other = run(averaged("training.seed=1"), tmp_path / "c")
    assert equal_weights(first.network, second.network)
    assert not equal_weights(first.network, other.network)


class TestWhichEpochIsKept:
    ROWS = (  # loss, AUROC, recall, specificity of three epochs
        (0.5, 0.7, 0.9, 0.6),
        (0.4, 0.6, 1.0, 0.3),
        (0.6, 0.9, 0.8, 0.7),
    )

    @pytest.mark.parametrize(("monitor", "kept"), [("loss", 2), ("auroc", 3), ("recall", 1), ("none", 3)])
    def test_is_what_the_recipe_says(self, tmp_path, monkeypatch, monitor, kept):
        said = iter(self.ROWS)
        names = ("validation_loss", "validation_auroc", "validation_recall", "validation_specificity")
        monkeypatch.setattr(Keeper, "_validation", lambda *_: dict(zip(names, next(said), strict=True)))
        done = run(small(f"training.monitor={monitor}"), tmp_path)
        assert done.best_epoch == kept

    def test_when_every_epoch_calls_all_a_blast_the_most_specific_is_kept(self, tmp_path, monkeypatch):
        said = iter([(1.0, 0.1), (1.0, 0.3), (1.0, 0.2)])
        names = ("validation_recall", "validation_specificity")
        fixed = {"validation_loss": 0.5, "validation_auroc": 0.5}
        monkeypatch.setattr(
            Keeper, "_validation", lambda *_: fixed | dict(zip(names, next(said), strict=True))
        )
        assert run(small("training.monitor=recall"), tmp_path).best_epoch == 2

    def test_recall_and_specificity_are_those_of_scikit_learn(self, tmp_path, monkeypatch):
        kept = {}
        original = Keeper._validation

        def look(self, module):
            kept["logits"] = torch.cat(module.validation_logits)
            kept["labels"] = torch.cat(module.validation_labels)
            return original(self, module)

        monkeypatch.setattr(Keeper, "_validation", look)
        row = run(small("training.epochs=1"), tmp_path).history[-1]
        labels, called = kept["labels"].numpy(), kept["logits"].softmax(1)[:, 1].numpy() >= 0.5
        assert row["validation_recall"] == pytest.approx(recall_score(labels, called))
        assert row["validation_specificity"] == pytest.approx(recall_score(1 - labels, ~called))


@pytest.mark.parametrize("stop_in_batch", [1, 7, 12])
def test_a_stopped_fit_resumes_to_the_bit(tmp_path, monkeypatch, stop_in_batch):
    straight = run(averaged(), tmp_path / "straight")
    seen = 0
    original = Keeper.on_train_batch_end

    def crash(self, *arguments):
        nonlocal seen
        seen += 1
        if seen == stop_in_batch:
            raise RuntimeError("the power failed")
        original(self, *arguments)

    monkeypatch.setattr(Keeper, "on_train_batch_end", crash)
    with pytest.raises(RuntimeError, match="power"):
        run(averaged(), tmp_path / "stopped")
    monkeypatch.undo()
    resumed = run(averaged(), tmp_path / "stopped", resume=True)
    assert equal_weights(straight.network, resumed.network)
    assert rows(tmp_path / "straight") == rows(tmp_path / "stopped")


KILLED = textwrap.dedent(
    """
    import sys, pathlib
    sys.path.insert(0, {tests!r})
    import importlib.util
    spec = importlib.util.spec_from_file_location("fit_tests", {here!r})
    tests = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tests)
    tests.run(tests.averaged("training.epochs=12"), pathlib.Path(sys.argv[1]))
    """
)


def test_a_killed_process_resumes_to_the_bit(tmp_path):
    code = KILLED.format(tests=str(Path(__file__).parent), here=__file__)
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "killed")], stderr=subprocess.DEVNULL
    )
    metrics = tmp_path / "killed" / "metrics.jsonl"
    deadline = time.monotonic() + 900
    while not (metrics.is_file() and len(metrics.read_text().splitlines()) >= 3):
        assert process.poll() is None and time.monotonic() < deadline, "it ended before it could be killed"
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    resumed = run(averaged("training.epochs=12"), tmp_path / "killed", resume=True)
    straight = run(averaged("training.epochs=12"), tmp_path / "straight")
    assert equal_weights(straight.network, resumed.network)
    assert rows(tmp_path / "straight") == rows(tmp_path / "killed")


def test_interrupt_keeps_the_best_so_far(tmp_path, monkeypatch):
    original = Keeper.on_train_batch_end

    def interrupt(self, trainer, *arguments):
        if trainer.current_epoch == 1:
            signal.raise_signal(signal.SIGINT)
        original(self, trainer, *arguments)

    monkeypatch.setattr(Keeper, "on_train_batch_end", interrupt)
    before = signal.getsignal(signal.SIGINT)
    stopped = run(small(), tmp_path)
    assert stopped.interrupted and stopped.best_epoch == 1 and len(stopped.history) == 1
    assert signal.getsignal(signal.SIGINT) is before


def test_interrupt_before_the_first_epoch_says_so(tmp_path, monkeypatch):
    original = Keeper.on_train_batch_end

    def interrupt(self, *arguments):
        signal.raise_signal(signal.SIGINT)
        original(self, *arguments)

    monkeypatch.setattr(Keeper, "on_train_batch_end", interrupt)
    with pytest.raises(TrainingInterruptedError, match="no epoch was finished"):
        run(small(), tmp_path)


def test_patience_stops(tmp_path):
    done = run(small("training.epochs=30", "training.patience=2", "training.monitor=auroc"), tmp_path)
    assert len(done.history) == done.best_epoch + 2


def test_without_validation_the_last_epoch_is_kept(tmp_path):
    cells = two_kinds(32, 45)
    done = fit(small(), cells, train=np.arange(32), validation=np.arange(0), folder=tmp_path, stop_after=2)
    assert done.best_epoch == 2 and len(done.history) == 2


@pytest.mark.parametrize("options", [{}, {"stop_after": 2}])
def test_a_finished_fit_is_not_trained_further(tmp_path, monkeypatch, options):
    done = run(averaged(), tmp_path, **options)
    monkeypatch.setattr(Keeper, "on_train_batch_end", lambda *_: pytest.fail("trained further"))
    again = run(averaged(), tmp_path, resume=True, **options)
    assert equal_weights(done.network, again.network) and again.history == done.history


def test_one_class_cannot_be_trained_on(tmp_path):
    with pytest.raises(TrainingError, match="at least two classes"):
        fit(small(), two_kinds(16, 45), train=np.arange(0, 16, 2), validation=np.arange(0), folder=tmp_path)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(3)
    source = torchvision.models.squeezenet1_1(weights=None).features.state_dict()
    path = tmp_path_factory.mktemp("weights") / "squeezenet.safetensors"
    save_file({f"features.{name}": value for name, value in source.items()}, path)
    return path


class TestTrunk:
    """A trunk that starts from given weights is kept, or trained at its own rate; a random one never is
    kept."""

    def fitted(self, folder: Path, *settings: str) -> torch.nn.Module:
        recipe = load_recipe(
            "leukoscope-s",
            ["training.epochs=1", "training.cells_per_epoch=48", "training.batch_size=16", *settings],
        )
        data = two_kinds(64, 32)
        return fit(recipe, data, train=TRAIN, validation=VALIDATION, folder=folder).network

    def started(self, weights: Path) -> torch.nn.Module:
        data = two_kinds(64, 32)
        some = np.sort(np.random.default_rng(0).permutation(TRAIN)[:128])
        choice = ModelChoice(name="leukoscope-s", weights=str(weights))
        return build_network(choice, 2, data.cells[some], seed=0)

    def test_kept_with_its_statistics(self, tmp_path, weights):
        network = self.fitted(tmp_path, f"model.weights={weights}", "training.freeze=[features]")
        before = self.started(weights)
        assert equal_weights(before.trunk, network.trunk)
        assert not torch.equal(before.head.linear.weight, network.head.linear.weight)

    def test_kept_in_part(self, tmp_path, weights):
        network = self.fitted(
            tmp_path, f"model.weights={weights}", "training.freeze=[features.0, features.3]"
        )
        before = self.started(weights)
        assert equal_weights(before.features[:4], network.features[:4])
        changed = [
            not torch.equal(one, other)
            for one, other in zip(
                before.features[4:].parameters(), network.features[4:].parameters(), strict=True
            )
        ]
        assert all(changed)

    def test_a_part_that_is_not_there(self, tmp_path, weights):
        with pytest.raises(ConfigError, match=r"no part 'features\.30'") as caught:
            self.fitted(tmp_path, f"model.weights={weights}", "training.freeze=[features.30]")
        assert "features.3" in caught.value.hint

    def test_trained_at_its_own_rate(self, tmp_path, weights):
        def moved(rate: float) -> float:
            network = self.fitted(
                tmp_path / str(rate), f"model.weights={weights}", f"training.trunk_rate={rate}"
            )
            before, after = (
                net.features[6].squeeze.weight.detach() for net in (self.started(weights), network)
            )
            return float((after - before).abs().sum())

        assert 0 < moved(0.01) < moved(1.0) / 10

    def test_random_weights_are_all_trained(self, tmp_path):
        network = self.fitted(tmp_path, "model.weights=none", "training.freeze=[features]")
        torch.manual_seed(0)
        assert not torch.equal(
            network.features[0].weight, create_model("leukoscope-s", size=32).features[0].weight
        )


class TestRefit:
    """The last layer as the logistic regression that scikit-learn finds on the network's features."""

    def refitted(self, folder: Path, *settings: str, data: TrainingCells | None = None) -> torch.nn.Module:
        few = ["training.epochs=1", "training.cells_per_epoch=48", "training.batch_size=16"]
        recipe = load_recipe("leukoscope-s", [*few, "training.refit_head=0.05", *settings])
        used = data or two_kinds(64, 32)
        return fit(recipe, used, train=TRAIN, validation=VALIDATION, folder=folder).network

    def test_is_the_regression_of_the_embedding_weighted_as_drawn(self, tmp_path):
        data = two_kinds(64, 32)
        settings = [
            "training.class_balance=sampler",
            "training.subject_balance=0.5",
            "training.subject_penalty=0",
        ]
        network = self.refitted(tmp_path, *settings, data=data)
        with torch.inference_mode():
            outputs = network(torch.from_numpy(data.cells[TRAIN]))
        embedding = outputs.embedding.numpy()
        np.testing.assert_allclose(embedding.mean(0), 0, atol=1e-3)
        weights = cell_weights(
            data.labels[TRAIN], data.groups[TRAIN], class_balance=True, subject_balance=0.5
        )
        truth = LogisticRegression(C=0.05, tol=1e-8, max_iter=5_000)
        truth.fit(embedding, data.labels[TRAIN], sample_weight=weights * len(TRAIN))
        margin = (outputs.logits[:, 1] - outputs.logits[:, 0]).numpy()
        np.testing.assert_allclose(margin, truth.decision_function(embedding), atol=0.01)

    def test_a_subject_penalty_is_the_penalty_it_says(self, tmp_path):
        """Against a minimiser that knows the penalty matrix and no change of coordinates."""
        data = two_kinds(64, 32)
        network = self.refitted(tmp_path, "training.subject_penalty=20", data=data)
        with torch.inference_mode():
            outputs = network(torch.from_numpy(data.cells[TRAIN]))
        embedding = outputs.embedding.numpy().astype(np.float64)
        labels, people = data.labels[TRAIN], data.groups[TRAIN]
        dear = np.zeros((embedding.shape[1],) * 2)
        for label in (0, 1):
            names, counts = np.unique(people[labels == label], return_counts=True)
            means = np.stack([embedding[(labels == label) & (people == name)].mean(0) for name in names])
            trust = counts / (counts + 10) / (counts / (counts + 10)).sum()
            centred = means - trust @ means
            dear += centred.T @ (centred * trust[:, None]) / 2
        weights = cell_weights(labels, people, class_balance=True, subject_balance=0.25) * len(TRAIN)
        sign = 2 * labels - 1

        def objective(w: np.ndarray) -> tuple[float, np.ndarray]:
            margin = sign * (embedding @ w[:-1] + w[-1])
            cost = 0.5 * w[:-1] @ w[:-1] + 10 * w[:-1] @ dear @ w[:-1]
            slope = -0.05 * weights * sign * expit(-margin)
            gradient = np.append(w[:-1] + 20 * dear @ w[:-1] + embedding.T @ slope, slope.sum())
            return float(cost + 0.05 * (weights * np.logaddexp(0, -margin)).sum()), gradient

        start = np.zeros(embedding.shape[1] + 1)
        truth = minimize(
            objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 5000, "gtol": 1e-9}
        )
        margin = (outputs.logits[:, 1] - outputs.logits[:, 0]).numpy()
        np.testing.assert_allclose(margin, embedding @ truth.x[:-1] + truth.x[-1], atol=0.01)

    def test_leaves_the_layers_before_it(self, tmp_path):
        fitted = self.refitted(tmp_path / "a")
        left = self.refitted(tmp_path / "b", "training.refit_head=0")
        assert equal_weights(fitted.trunk, left.trunk)
        assert not torch.equal(fitted.head.linear.weight, left.head.linear.weight)

    def test_the_class_map_is_still_that_of_the_logits(self, tmp_path):
        network = self.refitted(tmp_path)
        with torch.inference_mode():
            outputs = network(torch.from_numpy(two_kinds(8, 32).cells))
            by_place = outputs.cam.mean((2, 3)) + network.head.linear.bias
        torch.testing.assert_close(by_place, outputs.logits, atol=1e-4, rtol=1e-4)

    def test_knows_more_classes_than_two_and_one_without_cells(self, tmp_path):
        data = two_kinds(64, 32)
        labels = np.arange(64) % 3 + (np.arange(64) % 3 == 2)  # 0, 1, 3: nobody has 2
        network = self.refitted(tmp_path, data=TrainingCells(data.cells, labels, data.groups, [False] * 4))
        with torch.inference_mode():
            said = network(torch.from_numpy(data.cells[TRAIN])).logits.softmax(1).numpy()
        assert said.shape == (48, 4) and said[:, 2].max() < 1e-6

    def test_needs_a_head_that_is_linear(self, tmp_path):
        with pytest.raises(ConfigError, match="refit_head"):
            run(small("training.refit_head=1"), tmp_path)
