"""Every architecture: shapes, the class map, starting weights, and the graph beside the network."""

import numpy as np
import onnxruntime
import pytest
import timm
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch.utils.flop_counter import FlopCounterMode

from leukoscope.errors import ConfigError, TrainingError, UsageError
from leukoscope.models import hub
from leukoscope.models.adapters import merge_adapters
from leukoscope.models.base import architectures
from leukoscope.models.create import create_model, num_parameters
from leukoscope.models.export import to_onnx
from leukoscope.models.inception import Inception
from leukoscope.recipes import list_recipes, load_recipe
from leukoscope.recipes.schema import Lora, ModelChoice
from leukoscope.training.fit import build_network
from leukoscope.training.phases import Phases


def random_cells(count: int, size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def settled(name: str, size: int, **arguments: object) -> torch.nn.Module:
    """A network whose running statistics are those of some cells, as after training."""
    torch.manual_seed(1)
    model = create_model(name, size=size, **arguments)
    with torch.no_grad():
        model.train()
        for step in range(10):
            model(torch.from_numpy(random_cells(8, size, step)))
    return model.eval()


@pytest.mark.parametrize("recipe_name", list_recipes())
class TestEveryRecipe:
    """Shapes on the meta device at the recipe's own size: no network is too large for that."""

    @pytest.mark.parametrize("classes", [2, 4])
    def test_reads_cells_of_its_own_size(self, recipe_name, classes):
        recipe = load_recipe(recipe_name)
        size = recipe.preprocess.size
        with torch.device("meta"):
            model = create_model(
                recipe.model.name, size=size, num_classes=classes, **recipe.model.built_with()
            )
            outputs = model.eval().read(torch.zeros(3, 3, size, size))
        assert outputs.logits.shape == (3, classes)
        assert outputs.embedding.shape[0] == 3 and outputs.embedding.ndim == 2
        assert outputs.auxiliary == () and outputs.penalty is None

    def test_parts_that_it_freezes_are_there(self, recipe_name):
        recipe = load_recipe(recipe_name)
        with torch.device("meta"):
            model = create_model(recipe.model.name, size=recipe.preprocess.size, **recipe.model.built_with())
        for phase in recipe.training.phases:
            for name in phase.freeze:
                assert sum(p.numel() for p in model.get_submodule(name).parameters()) > 0


SMALL_VARIANTS = {
    "leukoscope-s": (64, "leukoscope-s", {}),
    "plain": (20, "plain-cnn", {"stages": [[4], [6, 6]], "dense": [8], "l2": 0.1}),
    "inception": (32, "inception", {"width": 0.1}),
    "residual": (32, "residual", {"filters": [8, 16], "blocks": [1, 2]}),
    "squeezenet": (32, "squeezenet1_1", {}),
    "resnet": (32, "resnet10t", {"normalise": "unit"}),
    "deep head": (32, "resnet10t", {"head": "deep"}),
    "efficientnet": (32, "tf_efficientnet_b0", {"head": "deep"}),
    "convnext": (32, "convnext_atto", {}),
    "vit": (28, "vit_tiny_patch16_224", {"patch_size": 14, "depth": 2}),
}


@pytest.mark.parametrize("variant", SMALL_VARIANTS)
class TestEveryKind:
    """A small network of each kind, end to end."""

    def test_graph_equals_network_for_any_batch(self, variant):
        size, name, arguments = SMALL_VARIANTS[variant]
        model = settled(name, size, **arguments)
        session = onnxruntime.InferenceSession(to_onnx(model, size))
        names = [output.name for output in session.get_outputs()]
        for count in (1, 5):
            cells = random_cells(count, size, seed=7)
            with torch.inference_mode():
                ours = model(torch.from_numpy(cells))
            for name, theirs in zip(names, session.run(None, {"cells": cells}), strict=True):
                np.testing.assert_allclose(getattr(ours, name).numpy(), theirs, atol=2e-4, rtol=1e-4)
        assert ("cam" in names) == (ours.cam is not None)

    def test_a_cell_reads_the_same_alone_and_in_a_batch(self, variant):
        size, name, arguments = SMALL_VARIANTS[variant]
        model = settled(name, size, **arguments)
        cells = torch.from_numpy(random_cells(4, size))
        with torch.inference_mode():
            together, alone = model(cells).logits, torch.cat([model(cell[None]).logits for cell in cells])
        torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)

    def test_what_it_decides_on_features_is_what_it_reads(self, variant):
        size, name, arguments = SMALL_VARIANTS[variant]
        model = settled(name, size, **arguments)
        pixels = torch.from_numpy(random_cells(3, size)).permute(0, 3, 1, 2).float()
        with torch.inference_mode():
            whole, parts = model.read(pixels), model.decide(model.encode(pixels))
        torch.testing.assert_close(whole.logits, parts.logits)
        torch.testing.assert_close(whole.embedding, parts.embedding)

    def test_a_class_map_explains_the_logits(self, variant):
        size, name, arguments = SMALL_VARIANTS[variant]
        model = settled(name, size, **arguments)
        with torch.inference_mode():
            outputs = model(torch.from_numpy(random_cells(3, size)))
        if outputs.cam is None:
            assert variant in ("plain", "deep head", "efficientnet", "convnext", "vit")
            return
        bias = model.head.linear.bias
        bias = torch.cat([torch.zeros(1), bias]) if len(bias) == 1 else bias
        torch.testing.assert_close(outputs.cam.mean((2, 3)) + bias, outputs.logits, atol=1e-3, rtol=1e-3)

    def test_the_loss_reaches_every_weight(self, variant):
        size, name, arguments = SMALL_VARIANTS[variant]
        torch.manual_seed(0)
        model = create_model(name, size=size, **arguments).train()
        outputs = model(torch.from_numpy(random_cells(8, size)))
        loss = outputs.logits.square().sum() + sum(logits.square().sum() for logits in outputs.auxiliary)
        (loss + (0 if outputs.penalty is None else outputs.penalty)).backward()
        assert [name for name, p in model.named_parameters() if p.grad is None] == []


class TestLeukoscopeS:
    def test_is_compact(self):
        model = create_model("leukoscope-s", size=112).eval()
        assert 400_000 <= num_parameters(model) <= 600_000
        size = load_recipe("leukoscope-s").preprocess.size
        counter = FlopCounterMode(display=False)
        with torch.inference_mode(), counter:
            model(torch.zeros(1, size, size, 3, dtype=torch.uint8))
        assert counter.get_total_flops() / 2 <= 120e6

    def test_starts_from_squeezenet_without_changing_what_it_computes(self):
        torch.manual_seed(0)
        reference = torchvision.models.squeezenet1_1(weights=None).features
        weights = {f"features.{name}": value for name, value in reference.state_dict().items()}
        pixels = torch.from_numpy(random_cells(8, 96)).permute(0, 3, 1, 2).float()
        model = create_model("leukoscope-s", size=112)
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
        assert all(
            torch.isfinite(values).all() for values in (outputs.logits, outputs.embedding, outputs.cam)
        )

    def test_a_size_that_does_not_divide_is_refused(self):
        with pytest.raises(ConfigError, match="multiple of 16"):
            create_model("leukoscope-s", size=100)

    def test_refuses_weights_of_another_network(self):
        with pytest.raises(TrainingError, match=r"features\.0\.weight"):
            create_model("leukoscope-s", size=112).start_from(
                {"x": torch.zeros(1)}, torch.zeros(1, 3, 32, 32)
            )

    @given(classes=st.integers(2, 5))
    @settings(max_examples=4, deadline=None)
    def test_any_number_of_classes(self, classes):
        model = create_model("leukoscope-s", size=64, num_classes=classes).eval()
        assert model(torch.zeros(1, 64, 64, 3, dtype=torch.uint8)).logits.shape == (1, classes)


def recipe_network(name: str, *settings: str) -> torch.nn.Module:
    recipe = load_recipe(name, settings)
    return create_model(recipe.model.name, size=recipe.preprocess.size, **recipe.model.built_with())


class TestPlainCNN:
    def test_softmax_of_its_logits_is_its_sigmoid(self):
        logits = recipe_network("cnn-45px").eval()(torch.from_numpy(random_cells(4, 45))).logits
        assert torch.equal(logits[:, 0], torch.zeros(4))
        torch.testing.assert_close(logits.softmax(1)[:, 1], logits[:, 1].sigmoid())

    @pytest.mark.parametrize(
        ("recipe", "filters", "dense"),
        [
            ("cnn-45px", [32, 64, 64, 128, 128, 256, 256], [128, 64, 1]),
            ("cnn-32x4", [32, 32, 32, 32], [64, 1]),
            ("cnn-small", [16, 16, 16, 16], [64, 1]),
            ("cnn-dropout", [32, 32], [64, 1]),
            ("cnn-recall", [32, 64, 128], [64, 128, 1]),
            ("cnn-baseline", [8, 16], [32, 1]),
        ],
    )
    def test_layers_are_those_of_the_documents(self, recipe, filters, dense):
        modules = list(recipe_network(recipe).modules())
        convolutions = [m for m in modules if isinstance(m, torch.nn.Conv2d)]
        assert [c.out_channels for c in convolutions] == filters
        assert {c.kernel_size for c in convolutions} == {(3, 3)}
        assert [m.out_features for m in modules if isinstance(m, torch.nn.Linear)] == dense

    def test_penalty_is_the_sum_of_squares_of_all_kernels(self):
        model = create_model("plain-cnn", size=16, stages=[[4]], dense=[3], l2=0.5).train()
        kernels = [p for name, p in model.named_parameters() if name.endswith("weight")]
        expected = 0.5 * sum(float((kernel.detach().numpy() ** 2).sum()) for kernel in kernels)
        assert model.read(torch.zeros(1, 3, 16, 16)).penalty.item() == pytest.approx(expected, rel=1e-5)
        assert model.eval().read(torch.zeros(1, 3, 16, 16)).penalty is None

    @pytest.mark.parametrize("bad", [{"size": 8}, {"size": 45, "kernel_size": 2}])
    def test_refuses_what_cannot_be_built(self, bad):
        with pytest.raises(ConfigError, match="plain-cnn needs"):
            create_model("plain-cnn", stages=[[4]] * 4, **bad)


class TestScaling:
    @pytest.mark.parametrize("name", ["resnet10t", "plain-cnn", "inception", "residual", "squeezenet1_1"])
    @pytest.mark.parametrize("word", ["unit", "imagenet"])
    def test_normalise_says_what_the_first_layer_sees(self, name, word):
        arguments = {"stages": [[4]]} if name == "plain-cnn" else {}
        model = create_model(name, size=32, normalise=word, **arguments)
        pixels = torch.from_numpy(random_cells(2, 32)).permute(0, 3, 1, 2).float()
        expected = torchvision.transforms.functional.normalize(
            pixels / 255,
            *{"unit": ([0.0] * 3, [1.0] * 3), "imagenet": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])}[
                word
            ],
        )
        torch.testing.assert_close(model.scale(pixels), expected, atol=1e-5, rtol=1e-5)

    def test_own_is_what_the_weights_were_trained_with(self):
        pixels = torch.full((1, 3, 32, 32), 255.0)
        assert create_model("squeezenet1_1", size=32).scale(pixels)[0, :, 0, 0].tolist() == pytest.approx(
            [131.32, 138.221, 151.061], abs=1e-3
        )
        ones = create_model("vit_tiny_patch16_224", size=32, depth=1).scale(pixels)
        assert ones.unique().tolist() == pytest.approx([1.0])


PLAIN = ModelChoice(name="plain-cnn", arguments={"stages": [[4], [8]]})


class TestStartingWeights:
    def test_random_ones_follow_the_seed(self):
        choice, cells = PLAIN, random_cells(2, 45)
        first, same, other = (build_network(choice, 2, cells, seed=seed) for seed in (1, 1, 2))
        assert torch.equal(first.score.linear.weight, same.score.linear.weight)
        assert not torch.equal(first.score.linear.weight, other.score.linear.weight)

    def test_come_from_a_file(self, tmp_path):
        source = create_model("plain-cnn", size=45, **PLAIN.arguments)
        save_file(source.state_dict(), tmp_path / "w.safetensors")
        choice = PLAIN.model_copy(update={"weights": str(tmp_path / "w.safetensors")})
        model = build_network(choice, 2, random_cells(2, 45), seed=5)
        assert torch.equal(model.score.linear.weight, source.score.linear.weight)

    @pytest.mark.parametrize("content", [None, b"no tensors"])
    def test_a_missing_or_broken_file_is_an_error_and_never_random_weights(self, tmp_path, content):
        path = tmp_path / "w.safetensors"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(TrainingError, match="cannot be read") as caught:
            build_network(PLAIN.model_copy(update={"weights": str(path)}), 2, random_cells(2, 45), seed=0)
        assert "none" in caught.value.hint

    def test_a_file_of_another_hash_is_refused(self, tmp_path):
        save_file(
            create_model("plain-cnn", size=45, **PLAIN.arguments).state_dict(), tmp_path / "w.safetensors"
        )
        choice = PLAIN.model_copy(
            update={"weights": str(tmp_path / "w.safetensors"), "weights_sha256": "0" * 64}
        )
        with pytest.raises(TrainingError, match="SHA-256"):
            build_network(choice, 2, random_cells(2, 45), seed=0)

    def test_of_a_backbone_come_under_timms_names(self, tmp_path):
        source = timm.create_model("resnet10t", num_classes=5)
        save_file(source.state_dict(), tmp_path / "w.safetensors")
        choice = ModelChoice(name="resnet10t", weights=str(tmp_path / "w.safetensors"))
        network = build_network(choice, 2, random_cells(2, 32), seed=0).eval()
        pixels = torch.from_numpy(random_cells(2, 32)).permute(0, 3, 1, 2).float()
        with torch.inference_mode():
            theirs = source.eval().forward_features(network.scale(pixels)).mean((2, 3))
            torch.testing.assert_close(network.encode(pixels), theirs)

    def test_of_a_vit_are_brought_to_another_image_size(self, tmp_path):
        source = timm.create_model("vit_tiny_patch16_224", img_size=64, depth=1, num_classes=0)
        save_file(source.state_dict(), tmp_path / "w.safetensors")
        choice = ModelChoice(
            name="vit_tiny_patch16_224", weights=str(tmp_path / "w.safetensors"), arguments={"depth": 1}
        )
        network = build_network(choice, 2, random_cells(2, 32), seed=0)
        assert network.backbone.pos_embed.shape == (1, 1 + 4, 192)
        assert torch.equal(network.backbone.cls_token, source.cls_token)

    @pytest.mark.parametrize("missing", ["conv1.0.weight", "layer4.0.conv2.weight"])
    def test_a_file_that_lacks_a_layer_is_refused(self, tmp_path, missing):
        state = timm.create_model("resnet10t").state_dict()
        del state[missing]
        save_file(state, tmp_path / "w.safetensors")
        with pytest.raises(TrainingError, match=missing):
            build_network(
                ModelChoice(name="resnet10t", weights=str(tmp_path / "w.safetensors")),
                2,
                random_cells(2, 32),
                seed=0,
            )

    def test_of_the_hub_come_through_timm(self, monkeypatch):
        made = timm.create_model
        given = made("resnet10t", num_classes=0)

        def create(name, *, pretrained=False, **arguments):
            return given if pretrained else made(name, **arguments)

        monkeypatch.setattr(timm, "create_model", create)
        monkeypatch.setattr(hub, "cached", lambda name: None)
        monkeypatch.setattr(hub, "check_reachable", lambda name: None)
        network = build_network(
            ModelChoice(name="resnet10t", weights="imagenet"), 2, random_cells(2, 32), seed=0
        )
        assert torch.equal(network.backbone.layer1[0].conv1.weight, given.layer1[0].conv1.weight)

    def test_that_the_hub_left_on_this_disk_need_no_connection(self, monkeypatch, tmp_path):
        source = timm.create_model("resnet10t")
        save_file(source.state_dict(), tmp_path / "model.safetensors")
        monkeypatch.setattr(hub, "cached", lambda name: tmp_path / "model.safetensors")
        monkeypatch.setattr(hub, "check_reachable", lambda name: pytest.fail("the hub was asked"))
        choice = ModelChoice(name="resnet10t", weights="imagenet")
        network = build_network(choice, 2, random_cells(2, 32), seed=0)
        assert torch.equal(network.backbone.layer1[0].conv1.weight, source.layer1[0].conv1.weight)

    @pytest.mark.parametrize("name", ["resnet18.tv_in1k", "resnet18", "squeezenet1_1", "leukoscope-s"])
    def test_without_a_hub_the_error_says_both_ways_and_nothing_is_random(self, monkeypatch, name):
        class Unreachable:
            def head(self, *_, **__):
                raise OSError("no connection")

        monkeypatch.setattr(hub, "cached", lambda name: None)
        monkeypatch.setattr("huggingface_hub.get_session", Unreachable)
        with pytest.raises(TrainingError, match=r"model\.weights: imagenet") as caught:
            build_network(ModelChoice(name=name, weights="imagenet"), 2, random_cells(2, 64), seed=0)
        assert "model.weights=FILE" in caught.value.hint and "none" in caught.value.hint
        assert name in ("squeezenet1_1", "leukoscope-s") or "no connection" in caught.value.message


class TestAdapters:
    LORA = Lora(rank=2, targets=("qkv", "proj"))

    def adapted(self, tmp_path, **changes) -> torch.nn.Module:
        torch.manual_seed(3)
        source = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=2, num_classes=0)
        save_file(source.state_dict(), tmp_path / "w.safetensors")
        fields = {
            "name": "vit_tiny_patch16_224",
            "arguments": {"depth": 2},
            "weights": str(tmp_path / "w.safetensors"),
            "lora": self.LORA,
        }
        return build_network(ModelChoice(**fields | changes), 2, random_cells(2, 32), seed=0)

    def test_only_adapters_and_head_learn(self, tmp_path):
        learning = [name for name, p in self.adapted(tmp_path).named_parameters() if p.requires_grad]
        assert all("lora_" in name or name.startswith("head.") for name in learning)
        assert sum("lora_" in name for name in learning) == 2 * 2 * 2 + 2  # patch_embed.proj, too

    def test_merged_it_computes_the_same_and_has_its_old_names(self, tmp_path):
        network = self.adapted(tmp_path)
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                if "lora_B" in name:
                    parameter.normal_(std=0.1)
        cells = torch.from_numpy(random_cells(3, 32))
        plain = create_model("vit_tiny_patch16_224", size=32, depth=2)
        with torch.inference_mode():
            before = network.eval()(cells).logits
        merge_adapters(network)
        assert list(network.state_dict()) == list(plain.state_dict())
        with torch.inference_mode():
            torch.testing.assert_close(network(cells).logits, before, atol=1e-4, rtol=1e-4)

    def test_beside_random_weights_are_refused(self, tmp_path):
        with pytest.raises(TrainingError, match="given weights"):
            self.adapted(tmp_path, weights="none")

    def test_a_layer_that_is_not_there_is_named(self, tmp_path):
        with pytest.raises(ConfigError, match="targets"):
            self.adapted(tmp_path, lora=Lora(targets=("nowhere",)))


def test_unknown_names_and_arguments_are_named():
    with pytest.raises(UsageError) as caught:
        create_model("leukoscop-s", size=64)
    assert "leukoscope-s" in caught.value.hint
    with pytest.raises(UsageError) as caught:
        create_model("resnet5O", size=64)
    assert "resnet50" in caught.value.hint
    for name in ("leukoscope-s", "resnet10t"):
        with pytest.raises(ConfigError, match="depht"):
            create_model(name, size=64, depht=3)
    assert set(architectures) >= {"leukoscope-s", "plain-cnn", "inception", "residual", "squeezenet1_1"}


class TestParameters:
    """Counts without the top, by DOMAIN.md's column for timm, on the meta device."""

    COUNTS = {  # noqa: RUF012
        "vgg16": 14_714_688,
        "efficientnet-b3": 10_696_232,
        "efficientnet-b3-deep": 10_696_232,
        "inception-resnet-v2": 54_306_464,
        "resnet50-frozen": 23_508_032,
        "resnet50-finetuned": 23_508_032,
        "convnext-xlarge": 348_147_968,
    }

    @pytest.mark.parametrize("name", COUNTS)
    def test_of_the_backbones(self, name):
        with torch.device("meta"):
            network = recipe_network(name)
        assert num_parameters(network.trunk) == self.COUNTS[name]

    def test_of_inception_v3_which_no_recipe_takes(self):
        with torch.device("meta"):
            assert num_parameters(create_model("inception_v3", size=299).trunk) == 21_785_568

    def test_behind_conv3_block1_of_resnet50(self):
        recipe = load_recipe("resnet50-finetuned")
        with torch.device("meta"):
            network = recipe_network("resnet50-finetuned")
        phases = Phases(network, recipe.training.phases, recipe.augmentation, started=True)
        phases.enter(recipe.training.epochs - 1)
        assert num_parameters(network.trunk) == 0
        phases.enter(recipe.training.epochs)
        assert num_parameters(network.trunk) == 22_903_296
        assert phases.remembered == [True, False]

    def test_of_googlenet_and_resnet18_as_torchvision_builds_them(self):
        def convolutions(network: torch.nn.Module) -> list[tuple[int, ...]]:
            found = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
            return sorted(tuple(m.weight.shape) for m in found)

        theirs = torchvision.models.resnet18(weights=None)
        assert convolutions(recipe_network("resnet")) == convolutions(theirs)
        ours = [shape for shape in convolutions(recipe_network("inception")) if shape[2] != 5]
        theirs = torchvision.models.googlenet(
            weights=None, init_weights=False
        )  # its 5x5 are 3x3, a known bug
        branches = sum(1 for m in recipe_network("inception").modules() if isinstance(m, Inception))
        theirs_shapes = convolutions(theirs)
        fives = [tuple(m.branch3[1].conv.weight.shape) for m in theirs.modules() if hasattr(m, "branch3")]
        for shape in fives:
            theirs_shapes.remove(shape)
        assert ours == theirs_shapes and branches == len(fives) == 9
