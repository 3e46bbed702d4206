"""Transfer on real cells from the weights of SqueezeNet 1.1 that stand beside them."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import load_file

from leukoscope.bundle.read import open_bundle
from leukoscope.cells.decode import decode
from leukoscope.cohort.open import open_cohort
from leukoscope.core.files import sha256_file
from leukoscope.inference.backends import make_backend
from leukoscope.studies.run import train

NAME = "squeezenet1_1-imagenet-features.safetensors"
MEAN = (123.68, 116.779, 103.939)


@pytest.fixture
def weights(real_data) -> Path:
    path = real_data / "weights" / NAME
    if not path.is_file():
        pytest.skip(f"no {NAME} in the folder 'weights' beside the real cells")
    return path


@pytest.mark.real
@pytest.mark.parametrize(
    ("frozen", "kept"),
    [
        ("[features]", {0, 3, 4, 6, 7, 9, 10, 11, 12}),  # linear probe
        ("[features.0, features.3, features.4, features.6, features.7]", {0, 3, 4, 6, 7}),  # partial thaw
        ("[]", set()),  # full fine-tune
    ],
)
def test_given_weights_are_there_and_only_what_is_thawed_learns(real_data, weights, tmp_path, frozen, kept):
    settings = [
        "model.name=squeezenet1_1",
        f"model.weights={weights}",
        f"model.weights_sha256={sha256_file(weights)}",
        "preprocess={field: 336, size: 64}",
        f"training.freeze={frozen}",
        "training.epochs=1",
        "augmentation={}",
    ]
    run = train("timm", real_data / "C-NMC_Leukemia", tmp_path / "run", settings=settings)
    bundle, given = open_bundle(run.bundle), load_file(weights)
    learnt = {name: torch.from_numpy(np.array(value)) for name, value in bundle.weights().items()}
    same = {name for name in given if torch.equal(given[name], learnt[name])}
    assert {int(name.split(".")[1]) for name in same} == kept
    assert len(same) == sum(int(name.split(".")[1]) in kept for name in given), (
        "all tensors of a part or none"
    )
    assert bundle.info.recipe["model"]["weights"] == f"{NAME}, sha256 {sha256_file(weights)}"


@pytest.mark.real
def test_features_of_a_real_cell_are_those_of_torchvision_with_these_weights(real_data, weights, tmp_path):
    settings = [
        "model.name=squeezenet1_1",
        f"model.weights={weights}",
        "preprocess={field: 336, size: 64}",
        "training.freeze=[features]",
        "training.epochs=1",
        "augmentation={}",
    ]
    run = train("timm", real_data / "C-NMC_Leukemia", tmp_path / "run", settings=settings)
    bundle = open_bundle(run.bundle)
    manifest = open_cohort(real_data / "C-NMC_Leukemia")
    cell = bundle.info.preprocess.apply(decode(manifest.root / manifest.frame["path"][0]))
    network = torchvision.models.squeezenet1_1(weights=None)
    network.load_state_dict(load_file(weights), strict=False)
    pixels = torch.from_numpy(cell).permute(2, 0, 1).float() - torch.tensor(MEAN)[:, None, None]
    with torch.inference_mode():
        pooled = network.eval().features(pixels[None]).mean((2, 3)).numpy()
    head = {name: np.array(value) for name, value in bundle.weights().items() if name.startswith("head.")}
    expected = (pooled - head["head.norm.running_mean"]) / np.sqrt(head["head.norm.running_var"] + 1e-5)
    said = make_backend(bundle, "onnxruntime").run(cell[None]).embedding
    np.testing.assert_allclose(said, expected, atol=1e-3, rtol=1e-3)
