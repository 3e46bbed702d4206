"""Two gloo processes on one machine: the losses and the weights of one; after a kill, too."""

import io
import json
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional

from leukoscope.errors import TrainingError, UsageError
from leukoscope.recipes import load_recipe
from leukoscope.recipes.schema import Augmentation
from leukoscope.training import follower
from leukoscope.training.cache import in_batches
from leukoscope.training.data import CellData
from leukoscope.training.draw import Index
from leukoscope.training.fit import fit
from leukoscope.training.job import Hardware, Job, TrainingCells, hardware_here
from leukoscope.training.losses import cell_loss, loss_weight

PLAIN = (
    "model.arguments={stages: [[4], [8]], dense: [8], dropout: 0.0}",
    "training.optimiser=sgd",
    "training.learning_rate=0.02",
    "training.batch_size=7",
    "training.epochs=2",
)
"""A network in which a cell's gradient knows nothing of the other cells of its batch, without chance; batches
that cannot be halved."""
TRAIN, VALIDATION = np.arange(0, 48), np.arange(48, 600)


def unequal() -> TrainingCells:
    """Noise of two classes of three to one, more validation cells than are read at once."""
    rng = np.random.default_rng(0)
    labels = (np.arange(600) % 4 == 0).astype(np.int64)
    cells = rng.integers(0, 120, (600, 45, 45, 3)) + 100 * labels[:, None, None, None]
    return TrainingCells(
        cells.astype(np.uint8), labels, np.array([f"s{i % 8}" for i in range(600)]), [False, True]
    )


def run(folder: Path, devices: int, *settings: str, resume: bool = False):
    return fit(
        load_recipe("cnn-45px", [*PLAIN, *settings]),
        unequal(),
        train=TRAIN,
        validation=VALIDATION,
        folder=folder,
        hardware=Hardware("cpu", devices=devices),
        resume=resume,
    )


def rows(folder: Path) -> list[dict]:
    read = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in read]


def numbers(row: dict) -> list[float]:
    return [value for value in row.values() if value is not None]


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


WEIGHTED = ("training.class_balance=loss", "training.average=0.9", "training.label_smoothing=0.1")


def test_two_reach_the_losses_and_the_weights_of_one(tmp_path):
    """Also where a batch does not halve, cells weigh differently, and the average of the weights is kept."""
    threads = torch.get_num_threads()
    one = run(tmp_path / "one", 1, *WEIGHTED)
    two = run(tmp_path / "two", 2, *WEIGHTED)
    for first, second in zip(rows(tmp_path / "one"), rows(tmp_path / "two"), strict=True):
        assert numbers(second) == pytest.approx(numbers(first), rel=1e-5)
    assert two.best_epoch == one.best_epoch
    for (name, first), second in zip(
        one.network.state_dict().items(), two.network.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(second, first, rtol=1e-4, atol=1e-6, msg=name)
    assert files(tmp_path / "two") == files(tmp_path / "one")
    assert torch.get_num_threads() == threads and not torch.distributed.is_initialized()


class TestSharesOfABatch:
    SETTINGS = load_recipe("cnn-45px", list(PLAIN)).training

    def drawn(self, world: int, **changes) -> list[list[Index]]:
        data = unequal()
        found = []
        for rank in range(world):
            settings = self.SETTINGS.model_copy(update=changes)
            cells = CellData(
                data.cells, data.labels, data.groups, train=TRAIN, validation=VALIDATION, settings=settings
            )
            cells.draw.rank, cells.draw.world = rank, world
            cells.draw.set_epoch(3)
            found.append(list(cells.draw))
        return found

    @pytest.mark.parametrize("world", [2, 3])
    @pytest.mark.parametrize(
        "changes", [{}, {"class_balance": "sampler"}, {"subject_balance": 0.5, "cells_per_epoch": 40}]
    )
    def test_are_together_the_batch_of_one(self, world, changes):
        alone, together = self.drawn(1, **changes)[0], self.drawn(world, **changes)
        assert all(len(own) == len(alone) for own in together)
        for batch, shares in zip(alone, zip(*together, strict=True), strict=True):
            assert sorted(np.concatenate(shares)) == sorted(batch)
            assert max(map(len, shares)) - min(map(len, shares)) <= 1
        if not changes:
            assert len(np.unique(np.concatenate(alone))) == sum(map(len, alone))

    @pytest.mark.parametrize("mixed", [False, True])
    @pytest.mark.parametrize("weights", [None, torch.tensor([0.6, 3.0])])
    def test_weigh_so_that_their_mean_loss_is_that_of_the_batch(self, mixed, weights):
        generator = torch.Generator().manual_seed(1)
        logits = torch.randn(7, 2, generator=generator)
        labels = torch.tensor([0, 0, 1, 0, 1, 0, 0])
        targets = torch.rand(7, 2, generator=generator).softmax(1) if mixed else labels
        options = {"class_weights": weights, "focal": 1.5, "label_smoothing": 0.1}
        whole = cell_loss(logits, targets, **options)
        parts = [(logits[rank::3], targets[rank::3]) for rank in range(3)]
        losses = [cell_loss(*part, **options) * loss_weight(part[1], weights) for part in parts]
        together = sum(losses) / sum(loss_weight(part[1], weights) for part in parts)
        torch.testing.assert_close(together, whole)
        if not mixed:
            truth = functional.cross_entropy(logits, labels, weights, reduction="sum")
            mean = functional.cross_entropy(logits, labels, weights)
            torch.testing.assert_close(truth / loss_weight(labels, weights), mean)


KILLER = textwrap.dedent(
    """
    import importlib.util, pathlib, sys
    spec = importlib.util.spec_from_file_location("several", {here!r})
    tests = importlib.util.module_from_spec(spec)
    sys.modules["several"] = tests
    spec.loader.exec_module(tests)
    tests.run(pathlib.Path(sys.argv[1]), 2, "training.epochs=400", "training.average=0.9")
    """
)


def started(folder: Path) -> subprocess.Popen:
    """Two processes that train until they are ended; returns when an epoch is there."""
    process = subprocess.Popen(
        [sys.executable, "-c", KILLER.format(here=__file__), str(folder)], stderr=subprocess.PIPE, text=True
    )
    wait_for(lambda: (folder / "checkpoints" / "last.ckpt").is_file() or process.poll() is not None)
    assert process.poll() is None, process.stderr.read()
    return process


def wait_for(done, seconds: float = 600.0) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def children(parent: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(words[1]) == parent and words[0] != "Z":
            found.append(int(path.parent.name))
    return found


def gone(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


linux = pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="looks for processes in /proc")


@linux
@pytest.mark.slow
def test_a_process_that_is_killed_ends_the_fit_with_one_clear_error(tmp_path):
    process = started(tmp_path)
    os.kill(children(process.pid)[0], signal.SIGKILL)
    said = process.communicate(timeout=300)[1]
    assert process.returncode == 1
    assert "leukoscope.errors.TrainingError: process 2 of 2 was ended by the system" in said.splitlines()[-1]


@linux
@pytest.mark.slow
def test_killed_and_resumed_is_equal_to_the_bit(tmp_path):
    process = started(tmp_path / "killed")
    other = children(process.pid)[0]
    process.kill()
    process.communicate()
    wait_for(lambda: gone(other))
    done = len(rows(tmp_path / "killed")) + 2
    settings = (f"training.epochs={done}", "training.average=0.9")
    run(tmp_path / "killed", 2, *settings, resume=True)
    run(tmp_path / "straight", 2, *settings)
    assert rows(tmp_path / "killed") == rows(tmp_path / "straight")
    best = "checkpoints/best.safetensors"
    assert (tmp_path / "killed" / best).read_bytes() == (tmp_path / "straight" / best).read_bytes()


@linux
@pytest.mark.slow
def test_interrupted_both_stop_after_the_batch_and_the_best_is_kept(tmp_path):
    process = started(tmp_path)
    other = children(process.pid)[0]
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=300)[1]
    assert process.returncode == 0, said
    assert gone(other) and len(rows(tmp_path)) < 400
    assert (tmp_path / "checkpoints" / "best.safetensors").is_file()


@pytest.mark.slow
def test_a_network_thawed_in_a_later_phase_is_the_same_in_all_processes(tmp_path):
    """DDP notes at the start which parameters are trained; here most of them are not, until epoch 2."""
    fit(
        load_recipe("cnn-45px", [*PLAIN, "training.epochs=1"]),
        unequal(),
        train=TRAIN,
        validation=VALIDATION[:0],
        folder=tmp_path / "start",
    )
    settings = (
        f"model.weights={tmp_path}/start/checkpoints/best.safetensors",
        "training.freeze=[features]",
        "training.epochs=1",
        "training.later_phases=[{epochs: 2, learning_rate: 0.01}]",
    )
    one, two = run(tmp_path / "one", 1, *settings), run(tmp_path / "two", 2, *settings)
    for first, second in zip(rows(tmp_path / "one"), rows(tmp_path / "two"), strict=True):
        assert numbers(second) == pytest.approx(numbers(first), rel=1e-4)
    for first, second in zip(one.network.parameters(), two.network.parameters(), strict=True):
        torch.testing.assert_close(second, first, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_batch_norm_notes_the_cells_of_all_processes(tmp_path):
    """With hardly a step taken, the running mean of the first norm, which no other stands before, is that of
    one process."""
    few = ["training.epochs=1", "training.cells_per_epoch=48", "training.batch_size=16"]
    recipe = load_recipe("leukoscope-s", [*few, "training.learning_rate=1e-12", "training.refit_head=0"])
    recipe = recipe.model_copy(update={"augmentation": Augmentation()})
    data = unequal()
    data = replace(data, cells=np.pad(data.cells, ((0, 0), (0, 3), (0, 3), (0, 0))))
    fitted = [
        fit(
            recipe,
            data,
            train=TRAIN,
            validation=VALIDATION[:0],
            folder=tmp_path / str(devices),
            hardware=Hardware("cpu", devices=devices),
        ).network
        for devices in (1, 2)
    ]
    norms = [
        next(part for part in network.modules() if isinstance(part, torch.nn.BatchNorm2d))
        for network in fitted
    ]
    torch.testing.assert_close(norms[1].running_mean, norms[0].running_mean, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(norms[1].running_var, norms[0].running_var, rtol=0.3, atol=1e-6)


class TestWhatCannotBe:
    def job(self, folder: Path, *settings: str, hardware: Hardware) -> Job:
        return Job(load_recipe("cnn-45px", list(settings)), unequal(), TRAIN, VALIDATION, folder, hardware)

    def test_more_processes_than_a_batch_has_cells_for(self, tmp_path):
        job = self.job(tmp_path, "training.batch_size=5", hardware=Hardware("cpu", devices=3))
        with pytest.raises(TrainingError, match="5 cells is too few for 3 processes"):
            job.check()

    def test_more_gpus_than_there_are(self):
        with pytest.raises(UsageError, match="CUDA devices"):
            Hardware("cuda", devices=torch.cuda.device_count() + 1, nodes=2).check()

    def test_several_on_mps(self):
        with pytest.raises(UsageError, match="MPS"):
            Hardware("mps", devices=2).check()

    GIVEN = {"MASTER_ADDR": "first", "MASTER_PORT": "29500", "NODE_RANK": "1"}  # noqa: RUF012

    def test_machines_are_told_apart_by_the_environment(self):
        found = hardware_here("cpu", 2, 3, self.GIVEN)
        assert found == Hardware("cpu", 2, 3, node=1, address="first", port=29500)
        assert hardware_here("cpu", 2, 1, self.GIVEN) == Hardware("cpu", 2)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"NODE_RANK": ""}, "NODE_RANK not set"),
            ({"NODE_RANK": "3"}, "from 0 to 2"),
            ({"MASTER_PORT": "many"}, "from 1 to 65535"),
            ({"LOCAL_RANK": "1", "WORLD_SIZE": "2"}, "another launcher"),
        ],
    )
    def test_an_environment_that_does_not_say_which_machine_this_is(self, changes, message):
        with pytest.raises(UsageError, match=message) as caught:
            hardware_here("cpu", 2, 3, self.GIVEN | changes)
        assert "NODE_RANK=0" in caught.value.hint

    def test_another_recipe_on_the_second_machine_is_another_job(self, tmp_path):
        first = self.job(tmp_path, hardware=Hardware("cpu", nodes=2))
        second = self.job(tmp_path, "training.seed=1", hardware=Hardware("cpu", nodes=2, node=1))
        again = replace(first, hardware=second.hardware, folder=tmp_path / "elsewhere")
        assert first.fingerprint() == again.fingerprint() != second.fingerprint()


def test_a_mapped_cache_is_mapped_again_and_not_sent(tmp_path):
    data = unequal()
    np.save(tmp_path / "cells.npy", data.cells)
    mapped = replace(data, cells=np.load(tmp_path / "cells.npy", mmap_mode="r"))
    sent = pickle.dumps(mapped)
    assert len(sent) < data.cells.nbytes / 10
    received = pickle.loads(sent)
    assert isinstance(received.cells, np.memmap)
    np.testing.assert_array_equal(received.cells, data.cells)
    np.testing.assert_array_equal(received.labels, data.labels)


def test_a_follower_says_why_it_ended(tmp_path, monkeypatch, capsys):
    job = Job(load_recipe("cnn-45px"), unequal(), np.arange(0), VALIDATION, tmp_path, Hardware("cpu", 2))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(pickle.dumps((job, 1)))))
    assert follower.main() == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == "TrainingError: training needs cells of at least two classes. Received: 0 cells of 0"


def test_validation_cells_are_read_in_several_parts():
    """Otherwise the test above would not see that they are shared out."""
    assert len(in_batches(VALIDATION, unequal().cells)) > 1
