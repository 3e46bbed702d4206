"""Every backend gives the same answers, and a graph that breaks the contract is refused by name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from leukoscope.bundle.format import Architecture
from leukoscope.bundle.read import open_bundle
from leukoscope.bundle.write import write_bundle
from leukoscope.cells.preprocess import Preprocess
from leukoscope.errors import BundleError, MissingExtraError, UsageError
from leukoscope.inference.backends import backends, make_backend
from leukoscope.inference.views import dihedral, run_views

SIDE = 32


def by_hand(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logits and embedding of the tiny model, worked out in numpy."""
    ramp = np.linspace(2, 0, SIDE)[:, None] * np.linspace(1, 0.5, SIDE)[None, :]
    embedding = (cells * ramp[None, ..., None] / 255).mean((1, 2))
    return embedding @ np.array([[4, -4], [1, -1], [-2, 2]]) + [-0.2, 0.2], embedding


def cells_of(num: int, side: int = SIDE, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (num, side, side, 3), dtype=np.uint8)


def test_onnxruntime_gives_what_numpy_gives(tiny_bundle):
    cells = cells_of(5)
    outputs = make_backend(open_bundle(tiny_bundle)).run(cells)
    logits, embedding = by_hand(cells)
    np.testing.assert_allclose(outputs.logits, logits, atol=1e-5)
    np.testing.assert_allclose(outputs.embedding, embedding, atol=1e-5)
    assert outputs.logits.dtype == outputs.embedding.dtype == np.float32
    assert outputs.cam is None


def test_a_cell_alone_reads_as_in_any_batch(tiny_bundle):
    backend, cells = make_backend(open_bundle(tiny_bundle)), cells_of(9)
    together = backend.run(cells).logits
    alone = np.concatenate([backend.run(cells[place : place + 1]).logits for place in range(9)])
    np.testing.assert_allclose(alone, together, atol=1e-5)
    np.testing.assert_allclose(backend.run(cells[::-1].copy()).logits[::-1], together, atol=1e-5)


def test_eight_views_are_the_eight_of_the_square_and_their_mean_is_taken(tiny_bundle):
    backend, cells = make_backend(open_bundle(tiny_bundle)), cells_of(3)
    turned = [np.rot90(cells, turns, (1, 2)) for turns in range(4)]
    views = [*turned, *(view[:, :, ::-1] for view in turned)]
    assert {view.tobytes() for view in dihedral(cells)} == {view.tobytes() for view in views}
    expected = np.mean([by_hand(view)[0] for view in views], axis=0)
    outputs = run_views(backend, cells, 8)
    np.testing.assert_allclose(outputs.logits, expected, atol=1e-5)
    assert np.abs(outputs.logits - backend.run(cells).logits).max() > 1e-4, (
        "the tiny model sees how a cell lies"
    )
    np.testing.assert_allclose(outputs.embedding, by_hand(cells)[1], atol=1e-5)


def test_eight_views_do_not_care_how_a_cell_lies(tiny_bundle):
    backend, cells = make_backend(open_bundle(tiny_bundle)), cells_of(2)
    expected = run_views(backend, cells, 8).logits
    for view in dihedral(cells):
        np.testing.assert_allclose(run_views(backend, view, 8).logits, expected, atol=1e-5)


def test_an_unknown_backend_is_answered_with_the_nearest(tiny_bundle):
    with pytest.raises(UsageError, match="unknown backend 'onnxruntim'") as caught:
        make_backend(open_bundle(tiny_bundle), "onnxruntim")
    assert "onnxruntime" in caught.value.hint


@pytest.fixture
def with_graph(tiny_bundle, tmp_path) -> Callable:
    """A bundle whose graph was changed by a function."""
    onnx = pytest.importorskip("onnx")

    def make(change):
        original = open_bundle(tiny_bundle)
        model = onnx.load_from_string(original.onnx)
        change(model)
        path = write_bundle(
            tmp_path / "changed.leuko",
            original.info,
            onnx=model.SerializeToString(),
            subjects=original.subjects,
            novelty=original.novelty,
        )
        return open_bundle(path)

    return make


def rename_input(model) -> None:
    model.graph.input[0].name = "images"
    model.graph.node[0].input[0] = "images"


def take_floats(model) -> None:
    model.graph.input[0].type.tensor_type.elem_type = 1


def drop_embedding(model) -> None:
    del model.graph.output[1]


def spoil(model) -> None:
    model.graph.node[1].op_type = "Nonsense"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (rename_input, "'cells' of uint8"),
        (take_floats, "'cells' of uint8"),
        (drop_embedding, "has no output embedding"),
        (spoil, "cannot load"),
    ],
)
def test_a_graph_that_breaks_the_contract_is_refused(with_graph, change, words):
    with pytest.raises(BundleError, match=words):
        make_backend(with_graph(change))


def test_a_graph_of_another_size_is_refused(make_bundle, tmp_path):
    path = make_bundle(tmp_path / "m.leuko", preprocess=Preprocess(size=64))
    with pytest.raises(BundleError, match=r"must take \(N, 64, 64, 3\)"):
        make_backend(open_bundle(path))


def test_a_graph_of_other_classes_is_refused(make_bundle, tmp_path):
    path = make_bundle(
        tmp_path / "m.leuko", classes=("normal", "pre-B", "pro-B"), positive_classes=("pro-B",)
    )
    with pytest.raises(BundleError, match="2 classes apart"):
        make_backend(open_bundle(path))


def test_tensors_beside_the_graph_are_found(tiny_bundle, tmp_path):
    onnx = pytest.importorskip("onnx")
    original = open_bundle(tiny_bundle)
    model = onnx.load_from_string(original.onnx)
    onnx.save(
        model,
        tmp_path / "model.onnx",
        save_as_external_data=True,
        location="model.onnx.data",
        size_threshold=100,
    )
    for name in ("large.leuko", "large.zip"):
        path = write_bundle(
            tmp_path / name,
            original.info,
            onnx=(tmp_path / "model.onnx").read_bytes(),
            subjects=original.subjects,
            novelty=original.novelty,
            onnx_data=tmp_path / "model.onnx.data",
        )
        outputs = make_backend(open_bundle(path)).run(cells_of(4))
        np.testing.assert_allclose(outputs.logits, by_hand(cells_of(4))[0], atol=1e-5)


def test_torch_says_what_it_lacks(tiny_bundle):
    pytest.importorskip("torch")
    with pytest.raises((BundleError, UsageError)):
        make_backend(open_bundle(tiny_bundle), "torch")


def test_without_torch_the_extra_is_named(tiny_bundle, monkeypatch):
    import sys

    make_backend(open_bundle(tiny_bundle))
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match="'train'"):
        backends.get("torch")(open_bundle(tiny_bundle))


@pytest.mark.parametrize(
    ("name", "side", "arguments"),
    [
        ("leukoscope-s", 64, {}),
        ("plain-cnn", 45, {"stages": [[4], [8]], "normalise": "imagenet"}),
        ("resnet10t", 32, {"head": "deep"}),
        ("inception", 32, {"width": 0.1}),
    ],
)
def test_torch_and_onnxruntime_agree(make_bundle, tiny_bundle, tmp_path, name, side, arguments):
    torch = pytest.importorskip("torch")
    from leukoscope.models.create import create_model
    from leukoscope.models.export import to_onnx

    torch.manual_seed(1)
    arguments = {"num_classes": 2, **arguments}
    model = create_model(name, size=side, **arguments).eval()
    info = open_bundle(tiny_bundle).info.model_copy(
        update={
            "architecture": Architecture(name=name, arguments=arguments),
            "preprocess": Preprocess(size=side),
            "novelty": None,
        }
    )
    weights = {key: value.numpy() for key, value in model.state_dict().items()}
    path = write_bundle(
        tmp_path / "m.leuko",
        info,
        onnx=to_onnx(model, side),
        subjects=open_bundle(tiny_bundle).subjects,
        weights=weights,
    )
    bundle, cells = open_bundle(path), cells_of(7, side)
    ours, theirs = make_backend(bundle, "onnxruntime").run(cells), make_backend(bundle, "torch").run(cells)
    calibrated = [bundle.info.calibration.apply(outputs.logits) for outputs in (ours, theirs)]
    np.testing.assert_allclose(*calibrated, atol=1e-4)
    np.testing.assert_allclose(ours.embedding, theirs.embedding, rtol=1e-3, atol=1e-3)
    assert (ours.cam is None) == (theirs.cam is None)
    if ours.cam is not None:
        np.testing.assert_allclose(ours.cam, theirs.cam, rtol=1e-3, atol=1e-3)
