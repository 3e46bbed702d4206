"""Every architecture: shapes, the class map, starting weights, and the graph beside the network."""

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch.utils.flop_counter import FlopCounterMode

from leukoscope.errors import ConfigError, TrainingError, UsageError
from leukoscope.models.base import architectures
from leukoscope.models.create import create_model, num_parameters
from leukoscope.models.export import to_onnx
from leukoscope.recipes import list_recipes, load_recipe
from leukoscope.recipes.schema import ModelChoice
from leukoscope.training.fit import build_network


def random_cells(count: int, size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def settled(name: str, size: int, **arguments: object) -> torch.nn.Module:
    """A network whose running statistics are those of some cells, as after training."""
    torch.manual_seed(1)
    model = create_model(name, **arguments)
    with torch.no_grad():
        model.train()
        for step in range(10):
            model(torch.from_numpy(random_cells(8, size, step)))
    return model.eval()


@pytest.mark.parametrize("recipe_name", list_recipes())
class TestEveryRecipe:
    def test_reads_cells_of_its_own_size(self, recipe_name):
        recipe = load_recipe(recipe_name)
        model = create_model(recipe.model.name, num_classes=2, **recipe.model.arguments).eval()
        with torch.inference_mode():
            outputs = model(torch.from_numpy(random_cells(3, recipe.preprocess.size)))
        assert outputs.logits.shape == (3, 2)
        assert outputs.embedding.shape[0] == 3 and outputs.embedding.ndim == 2

    def test_graph_equals_network_for_any_batch(self, recipe_name):
        recipe = load_recipe(recipe_name)
        model = settled(recipe.model.name, recipe.preprocess.size, **recipe.model.arguments)
        session = onnxruntime.InferenceSession(to_onnx(model, recipe.preprocess.size))
        names = [output.name for output in session.get_outputs()]
        for count in (1, 5):
            cells = random_cells(count, recipe.preprocess.size, seed=7)
            with torch.inference_mode():
                ours = model(torch.from_numpy(cells))
            for name, theirs in zip(names, session.run(None, {"cells": cells}), strict=True):
                np.testing.assert_allclose(getattr(ours, name).numpy(), theirs, atol=2e-4, rtol=1e-4)
        assert ("cam" in names) == (ours.cam is not None)

    def test_a_cell_reads_the_same_alone_and_in_a_batch(self, recipe_name):
        recipe = load_recipe(recipe_name)
        model = settled(recipe.model.name, recipe.preprocess.size, **recipe.model.arguments)
        cells = torch.from_numpy(random_cells(4, recipe.preprocess.size))
        with torch.inference_mode():
            together, alone = model(cells).logits, torch.cat([model(cell[None]).logits for cell in cells])
        torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


class TestLeukoscopeS:
    def test_is_compact(self):
        model = create_model("leukoscope-s").eval()
        assert 400_000 <= num_parameters(model) <= 600_000
        size = load_recipe("leukoscope-s").preprocess.size
        counter = FlopCounterMode(display=False)
        with torch.inference_mode(), counter:
            model(torch.zeros(1, size, size, 3, dtype=torch.uint8))
        assert counter.get_total_flops() / 2 <= 120e6

    def test_class_map_explains_the_logits(self):
        model = settled("leukoscope-s", 112)
        with torch.inference_mode():
            outputs = model(torch.from_numpy(random_cells(3, 112)))
        explained = outputs.cam.mean((2, 3)) + model.head.linear.bias
        torch.testing.assert_close(explained, outputs.logits, atol=1e-3, rtol=1e-3)

    def test_starts_from_squeezenet_without_changing_what_it_computes(self):
        import torchvision

        torch.manual_seed(0)
        reference = torchvision.models.squeezenet1_1(weights=None).features
        weights = {f"features.{name}": value for name, value in reference.state_dict().items()}
        pixels = torch.from_numpy(random_cells(8, 96)).permute(0, 3, 1, 2).float()
        model = create_model("leukoscope-s")
        model.start_from(weights, pixels)
        ours = model.features[:4].eval()(model.scale(pixels))
        # torchvision's first layers pad differently; from the same maps on, the modules must agree,
        # but for the one number by which all maps are divided
        stem = model.features[:3](model.scale(pixels))
        torch.testing.assert_close(ours * 64, reference[3](stem * 64), atol=1e-2, rtol=1e-3)

    def test_reads_mean_and_deviation_of_the_picture_and_of_the_cell_inside(self):
        model = settled("leukoscope-s", 64)
        cells = random_cells(2, 64)
        cells[0, :, :20] = 0  # outside of the first cell
        cells[1, 40:] = 0
        pixels = torch.from_numpy(cells).permute(0, 3, 1, 2).float()
        with torch.inference_mode():
            fine = model.features[:4](model.scale(pixels)).numpy()
            deep = model.features(model.scale(pixels)).numpy()
            embedding = model.read(pixels).embedding.numpy()
        inside = [fine[0][:, :, 5:], fine[1][:, :10]]  # four pixels make one place
        read = [
            fine.mean((2, 3)),
            np.sqrt(fine.var((2, 3)) + 1e-4),
            np.stack([part.mean((1, 2)) for part in inside]),
            np.sqrt(np.stack([part.var((1, 2)) for part in inside]) + 1e-4),
            deep.mean((2, 3)),
        ]
        mean, variance = model.head.norm.running_mean.numpy(), model.head.norm.running_var.numpy()
        expected = (np.concatenate(read, 1) - mean) / np.sqrt(variance + model.head.norm.eps)
        np.testing.assert_allclose(embedding, expected * np.repeat([1.0, 0.15], 512), atol=2e-2, rtol=2e-2)

    def test_a_picture_without_a_cell_reads_numbers(self):
        with torch.inference_mode():
            outputs = settled("leukoscope-s", 64)(torch.zeros(1, 64, 64, 3, dtype=torch.uint8))
        assert all(torch.isfinite(values).all() for values in outputs)

    def test_a_size_that_does_not_divide_is_refused(self):
        with pytest.raises(ConfigError, match="multiple of 16"):
            create_model("leukoscope-s").eval()(torch.zeros(1, 100, 100, 3, dtype=torch.uint8))

    def test_refuses_weights_of_another_network(self):
        with pytest.raises(TrainingError, match=r"features\.0\.weight"):
            create_model("leukoscope-s").start_from({"x": torch.zeros(1)}, torch.zeros(1, 3, 32, 32))

    @given(classes=st.integers(2, 5))
    @settings(max_examples=4, deadline=None)
    def test_any_number_of_classes(self, classes):
        model = create_model("leukoscope-s", num_classes=classes).eval()
        assert model(torch.zeros(1, 64, 64, 3, dtype=torch.uint8)).logits.shape == (1, classes)


class TestCNN45:
    def test_softmax_of_its_logits_is_its_sigmoid(self):
        logits = create_model("cnn-45px").eval()(torch.from_numpy(random_cells(4, 45))).logits
        assert torch.equal(logits[:, 0], torch.zeros(4))
        torch.testing.assert_close(logits.softmax(1)[:, 1], logits[:, 1].sigmoid())

    def test_layers_are_those_of_the_document(self):
        convolutions = [m for m in create_model("cnn-45px").modules() if isinstance(m, torch.nn.Conv2d)]
        assert [c.out_channels for c in convolutions] == [32, 64, 64, 128, 128, 256, 256]

    def test_refuses_a_third_class(self):
        with pytest.raises(ConfigError, match="one sigmoid"):
            create_model("cnn-45px", num_classes=3)


class TestStartingWeights:
    def test_random_ones_follow_the_seed(self):
        choice, cells = ModelChoice(name="cnn-45px"), random_cells(2, 45)
        first, same, other = (build_network(choice, 2, cells, seed=seed) for seed in (1, 1, 2))
        assert torch.equal(first.score.weight, same.score.weight)
        assert not torch.equal(first.score.weight, other.score.weight)

    def test_come_from_a_file(self, tmp_path):
        source = create_model("cnn-45px")
        save_file(source.state_dict(), tmp_path / "w.safetensors")
        choice = ModelChoice(name="cnn-45px", weights=str(tmp_path / "w.safetensors"))
        model = build_network(choice, 2, random_cells(2, 45), seed=5)
        assert torch.equal(model.score.weight, source.score.weight)

    @pytest.mark.parametrize("content", [None, b"no tensors"])
    def test_a_missing_or_broken_file_is_an_error_and_never_random_weights(self, tmp_path, content):
        path = tmp_path / "w.safetensors"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(TrainingError, match="cannot be read") as caught:
            build_network(ModelChoice(name="cnn-45px", weights=str(path)), 2, random_cells(2, 45), seed=0)
        assert "none" in caught.value.hint


def test_unknown_names_and_arguments_are_named():
    with pytest.raises(UsageError) as caught:
        create_model("leukoscop-s")
    assert "leukoscope-s" in caught.value.hint
    with pytest.raises(ConfigError, match="depth"):
        create_model("leukoscope-s", depth=3)
    assert set(architectures) >= {"leukoscope-s", "cnn-45px"}
