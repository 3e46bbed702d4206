"""Every backend gives the same answers, and a graph that breaks the contract is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from leukoscope.bundle.format import Architecture
from leukoscope.bundle.read import open_bundle
from leukoscope.bundle.write import write_bundle
from leukoscope.cells.preprocess import Preprocess
from leukoscope.core.runtimes import import_onnxruntime
from leukoscope.errors import BundleError, MissingExtraError, UsageError
from leukoscope.inference.backends import backends, make_backend, what_ran
from leukoscope.inference.fastest import runtimes
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
    bundle = with_graph(change)
    for name in runtimes():
        with pytest.raises(BundleError, match=words):
            make_backend(bundle, name)


def test_a_graph_of_another_size_is_refused(make_bundle, tmp_path):
    path = make_bundle(tmp_path / "m.leuko", preprocess=Preprocess(size=64))
    for name in runtimes():
        with pytest.raises(BundleError, match=r"must take \(N, 64, 64, 3\). Received: \(any, 32, 32, 3\)"):
            make_backend(open_bundle(path), name)


def test_a_graph_of_other_classes_is_refused(make_bundle, tmp_path):
    path = make_bundle(
        tmp_path / "m.leuko", classes=("normal", "pre-B", "pro-B"), positive_classes=("pro-B",)
    )
    for name in runtimes():
        with pytest.raises(BundleError, match="2 classes apart"):
            make_backend(open_bundle(path), name)


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
        for runtime in runtimes():
            outputs = make_backend(open_bundle(path), runtime).run(cells_of(4))
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


@pytest.fixture
def exported(tiny_bundle, tmp_path) -> Callable:
    """``exported(name, side, arguments)``: a bundle of a network with random weights, exported from torch."""
    torch = pytest.importorskip("torch")
    from leukoscope.models.create import create_model
    from leukoscope.models.export import to_onnx

    def make(name, side, arguments):
        arguments = {"num_classes": 2, **arguments}
        with torch.random.fork_rng():
            torch.manual_seed(1)
            model = create_model(name, size=side, **arguments).eval()
        info = open_bundle(tiny_bundle).info.model_copy(
            update={
                "architecture": Architecture(name=name, arguments=arguments),
                "preprocess": Preprocess(size=side),
                "novelty": None,
            }
        )
        path = write_bundle(
            tmp_path / "m.leuko",
            info,
            onnx=to_onnx(model, side),
            subjects=open_bundle(tiny_bundle).subjects,
            weights={key: value.numpy() for key, value in model.state_dict().items()},
        )
        return open_bundle(path)

    return make


@pytest.mark.parametrize(
    ("name", "side", "arguments"),
    [
        ("leukoscope-s", 64, {}),
        ("plain-cnn", 45, {"stages": [[4], [8]], "normalise": "imagenet"}),
        ("resnet10t", 32, {"head": "deep"}),
        ("inception", 32, {"width": 0.1}),
    ],
)
def test_every_runtime_agrees_with_torch(exported, name, side, arguments):
    bundle, cells = exported(name, side, arguments), cells_of(7, side)
    theirs = make_backend(bundle, "torch").run(cells)
    for runtime in runtimes():
        ours = make_backend(bundle, runtime).run(cells)
        calibrated = [bundle.info.calibration.apply(outputs.logits) for outputs in (ours, theirs)]
        np.testing.assert_allclose(*calibrated, atol=1e-4)
        np.testing.assert_allclose(ours.embedding, theirs.embedding, rtol=1e-3, atol=1e-3)
        assert (ours.cam is None) == (theirs.cam is None)
        if ours.cam is not None:
            np.testing.assert_allclose(ours.cam, theirs.cam, rtol=1e-3, atol=1e-3)


CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


@pytest.fixture
def offered(monkeypatch):
    """``offered(providers, works)``: what ONNX Runtime is made to say it offers, and what was asked of it.

    No test machine has such a device: what is tested is the choice."""
    onnxruntime = import_onnxruntime()
    real = onnxruntime.InferenceSession

    def make(providers: list[str], *, works: bool) -> list[list]:
        asked = []

        def session(graph, options, providers):
            asked.append(providers)
            if providers != [CPU] and not works:
                raise RuntimeError("CUDA failure 35: CUDA driver version is insufficient")
            made = real(graph, options, providers=[CPU])
            names = [one if isinstance(one, str) else one[0] for one in providers]
            return SimpleNamespace(
                run=made.run,
                get_inputs=made.get_inputs,
                get_outputs=made.get_outputs,
                get_providers=lambda: names,
            )

        monkeypatch.setattr(onnxruntime, "InferenceSession", session)
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)
        return asked

    return make


def test_cuda_comes_first_where_it_is_offered(offered, tiny_bundle):
    asked = offered(["TensorrtExecutionProvider", CUDA, CPU], works=True)
    backend = make_backend(open_bundle(tiny_bundle))
    assert asked == [[(CUDA, {"use_tf32": "0"}), CPU]], "and products are not rounded"
    assert what_ran(backend)["backend"].endswith(" on cuda")
    np.testing.assert_allclose(backend.run(cells_of(300)).logits, by_hand(cells_of(300))[0], atol=1e-5)


def test_the_processor_does_it_where_cuda_cannot(offered, tiny_bundle):
    asked = offered([CUDA, CPU], works=False)
    backend = make_backend(open_bundle(tiny_bundle))
    assert asked[-1] == [CPU] and len(asked) == 2
    assert what_ran(backend)["backend"].endswith(" on cpu")
    np.testing.assert_allclose(backend.run(cells_of(3)).logits, by_hand(cells_of(3))[0], atol=1e-5)


def test_without_cuda_nobody_asks_for_it(offered, tiny_bundle):
    asked = offered(["AzureExecutionProvider", CPU], works=False)
    make_backend(open_bundle(tiny_bundle))
    assert asked == [[CPU]]


def test_threads_of_torch_are_set_for_a_run_and_taken_back(exported, monkeypatch):
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    backend = make_backend(exported("plain-cnn", 45, {"stages": [[4], [8]]}), "torch", threads=before + 1)
    assert torch.get_num_threads() == before
    seen, network = [], backend._model
    monkeypatch.setattr(
        backend, "_model", lambda cells: seen.append(torch.get_num_threads()) or network(cells)
    )
    backend.run(cells_of(2, 45))
    assert (seen, torch.get_num_threads()) == ([before + 1], before)

    def fails(cells):
        raise RuntimeError("no memory")

    monkeypatch.setattr(backend, "_model", fails)
    with pytest.raises(RuntimeError, match="no memory"):
        backend.run(cells_of(2, 45))
    assert torch.get_num_threads() == before
