"""Phases: what is frozen stays to the bit, what is thawed learns at its own rate, and remembering changes
nothing."""

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from leukoscope.errors import ConfigError
from leukoscope.models.create import create_model
from leukoscope.recipes import load_recipe
from leukoscope.recipes.schema import Augmentation, Phase, Recipe
from leukoscope.training.data import CellData
from leukoscope.training.fit import TrainingCells, build_network, fit
from leukoscope.training.module import CellModule
from leukoscope.training.phases import Phases, phase_of

TRAIN, VALIDATION = np.arange(0, 40), np.arange(40, 56)
SECOND = "{epochs: 1, learning_rate: 0.0005, freeze: [backbone.conv1, backbone.layer1, backbone.layer2]}"


def two_kinds(count: int = 56, size: int = 32) -> TrainingCells:
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 2
    cells = rng.integers(0, 120, (count, size, size, 3)) + 100 * labels[:, None, None, None]
    groups = np.array([f"s{index % 4}" for index in range(count)])
    return TrainingCells(cells.astype(np.uint8), labels.astype(np.int64), groups, [False, True])


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> str:
    """A file of weights with timm's names, its running statistics far from those of the cells."""
    torch.manual_seed(5)
    path = tmp_path_factory.mktemp("weights") / "resnet10t.safetensors"
    save_file(timm.create_model("resnet10t").state_dict(), path)
    return str(path)


def recipe(weights: str, *settings: str) -> Recipe:
    return load_recipe(
        "timm",
        [
            "model.name=resnet10t",
            f"model.weights={weights}",
            "preprocess.size=32",
            "training.epochs=2",
            "training.batch_size=8",
            "training.optimiser=adam",
            "training.learning_rate=0.01",
            "training.weight_decay=0",
            "training.schedule=constant",
            "training.warmup_steps=0",
            "training.freeze=[backbone]",
            "augmentation={}",
            *settings,
        ],
    )


def run(chosen: Recipe, folder) -> torch.nn.Module:
    return fit(chosen, two_kinds(), train=TRAIN, validation=VALIDATION, folder=folder).network


def started(chosen: Recipe) -> dict[str, torch.Tensor]:
    network = build_network(chosen.model, 2, two_kinds().cells[:4], seed=0)
    return {name: value.clone() for name, value in network.state_dict().items()}


def changed(before: dict[str, torch.Tensor], network: torch.nn.Module) -> set[str]:
    return {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}


def test_a_linear_probe_changes_the_head_alone_and_no_statistics(weights, tmp_path):
    chosen = recipe(weights)
    assert changed(started(chosen), run(chosen, tmp_path)) == {"head.linear.weight", "head.linear.bias"}


def test_a_full_fine_tune_changes_everything(weights, tmp_path):
    chosen = recipe(weights, "training.freeze=[]")
    before = started(chosen)
    assert changed(before, run(chosen, tmp_path)) == set(before)


def test_a_later_phase_thaws_its_parts_and_no_others(weights, tmp_path):
    chosen = recipe(weights, f"training.later_phases=[{SECOND}]")
    found = changed(started(chosen), run(chosen, tmp_path))
    parts = {name.rsplit(".", 1)[0].split("backbone.")[-1].split(".")[0] for name in found}
    assert parts == {"layer3", "layer4", "head", "bn1"}  # bn1 is not in the list of the second phase


def test_each_phase_has_its_own_rate(weights, tmp_path):
    chosen = recipe(weights, f"training.later_phases=[{SECOND}]")
    done = fit(chosen, two_kinds(), train=TRAIN, validation=VALIDATION, folder=tmp_path)
    rates = [row["learning_rate"] for row in done.history]
    # the rate noted at the end of an epoch is that of the next step
    assert rates == pytest.approx([0.01, 0.0005, 0.0005])


def test_random_weights_are_never_frozen(tmp_path):
    chosen = recipe("none")
    before = started(chosen)
    assert changed(before, run(chosen, tmp_path)) == set(before)


@pytest.mark.parametrize("settings", [(), (f"training.later_phases=[{SECOND}]",)])
def test_remembering_what_the_trunk_says_changes_nothing(weights, tmp_path, monkeypatch, settings):
    # Adam's steps have one size however small a slope is: rounding would be seen
    chosen = recipe(weights, "training.optimiser=sgd", *settings)
    remembered = run(chosen, tmp_path / "remembered")
    monkeypatch.setattr(Phases, "remembers", lambda *_: False)
    anew = run(chosen, tmp_path / "anew")
    for name, value in remembered.state_dict().items():
        torch.testing.assert_close(value, anew.state_dict()[name], atol=1e-4, rtol=1e-3)


def test_a_remembered_trunk_reads_every_cell_once(weights, tmp_path, monkeypatch):
    read = []
    original = CellData.encoded

    def count(self, network, device):
        features = original(self, network, device)
        read.append(len(features.positions))
        return features

    monkeypatch.setattr(CellData, "encoded", count)
    network = build_network(recipe(weights).model, 2, two_kinds().cells[:4], seed=0)
    monkeypatch.setattr(type(network), "read", lambda *_: pytest.fail("the trunk was run again in training"))
    fit(
        recipe(weights, "training.monitor=none"),
        two_kinds(),
        train=TRAIN,
        validation=VALIDATION[:0],
        folder=tmp_path,
    )
    assert read == [len(TRAIN)]


@pytest.mark.parametrize("augmentation", ["{rotation: 10}", "{flip: true}", "{mixup: 0.2}"])
def test_what_is_varied_is_not_remembered(weights, augmentation):
    chosen = recipe(weights, f"augmentation={augmentation}")
    network = build_network(chosen.model, 2, two_kinds().cells[:4], seed=0)
    phases = Phases(network, chosen.training.phases, chosen.augmentation, started=True)
    assert phases.remembered == [False]
    assert Phases(network, chosen.training.phases, Augmentation(), started=True).remembered == [True]


def test_a_fit_stopped_between_phases_resumes_to_the_same_network(weights, tmp_path, monkeypatch):
    chosen = recipe(weights, f"training.later_phases=[{SECOND}]")
    straight = run(chosen, tmp_path / "straight")
    epochs = 0
    original = CellModule.on_train_epoch_start

    def crash(self):
        nonlocal epochs
        epochs += 1
        if epochs == 3:
            raise RuntimeError("the power went")
        original(self)

    monkeypatch.setattr(CellModule, "on_train_epoch_start", crash)
    with pytest.raises(RuntimeError, match="power"):
        run(chosen, tmp_path / "stopped")
    monkeypatch.undo()
    resumed = fit(
        chosen, two_kinds(), train=TRAIN, validation=VALIDATION, folder=tmp_path / "stopped", resume=True
    )
    for name, value in straight.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name]), name


def test_adapters_train_beside_a_frozen_trunk_and_end_in_plain_weights(tmp_path):
    torch.manual_seed(1)
    source = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=1, num_classes=0)
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    chosen = recipe(
        str(tmp_path / "w.safetensors"),
        "model.name=vit_tiny_patch16_224",
        "model.arguments={depth: 1}",
        "model.lora={rank: 2, targets: [qkv]}",
        "training.freeze=[]",
        "training.trunk_rate=1",
    )
    plain = recipe(
        str(tmp_path / "w.safetensors"),
        *(
            "model.name=vit_tiny_patch16_224",
            "model.arguments={depth: 1}",
        ),
    )
    before = started(plain)
    found = changed(before, run(chosen, tmp_path / "run"))
    assert found == {"backbone.blocks.0.attn.qkv.weight", "head.linear.weight", "head.linear.bias"}


def test_parts_are_named_exactly():
    network = create_model("leukoscope-s", size=32)
    with pytest.raises(ConfigError, match=r"features\.30") as caught:
        Phases(
            network, [Phase(epochs=1, learning_rate=1, freeze=("features.30",))], Augmentation(), started=True
        )
    assert "features.3" in caught.value.hint


def test_epochs_behind_the_last_phase_belong_to_it():
    phases = [Phase(epochs=3, learning_rate=1), Phase(epochs=2, learning_rate=1)]
    assert [phase_of(phases, epoch) for epoch in range(7)] == [0, 0, 0, 1, 1, 1, 1]
