"""Models whose answer is known to rest on one place, cells for them, and a network with its graph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SIDE = 32
PLACES = 8
SPOT = (slice(12, 20), slice(16, 24))
"""The pixels that the spot model reads: places 3 and 4 down, 4 and 5 across."""


def spot_graph(strength: float = 400.0, *, classes: int = 2, bias: float = -0.5) -> bytes:
    """``logits`` (0, ..., z) where z is the mean brightness (0..1) of the spot over the picture times
    ``strength``, plus ``bias``; ``cam`` is its class map of 8 x 8 places; ``embedding`` the mean colour."""
    from onnx import TensorProto, helper, numpy_helper

    spot = np.zeros((1, 1, SIDE, SIDE), np.float32)
    spot[0, 0][SPOT] = strength
    kernel = np.full((1, 3, 1, 1), 1 / (3 * 255), np.float32)
    last = np.array([[[[0.0]]]] * (classes - 1) + [[[[1.0]]]], np.float32)
    constants = {
        "kernel": kernel,
        "spot": spot,
        "last": last,
        "bias": np.array([0.0] * (classes - 1) + [bias], np.float32),
        "axes": np.array([2, 3], np.int64),
        "unit": np.array(1 / 255, np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["cells"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["pixels"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["pixels", "kernel"], ["grey"]),
        helper.make_node("Mul", ["grey", "spot"], ["seen"]),
        helper.make_node("AveragePool", ["seen"], ["maps"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Conv", ["maps", "last"], ["cam"]),
        helper.make_node("ReduceMean", ["cam", "axes"], ["summed"], keepdims=0),
        helper.make_node("Add", ["summed", "bias"], ["logits"]),
        helper.make_node("ReduceMean", ["pixels", "axes"], ["colour"], keepdims=0),
        helper.make_node("Mul", ["colour", "unit"], ["embedding"]),
    ]
    inputs = [helper.make_tensor_value_info("cells", TensorProto.UINT8, ["batch", SIDE, SIDE, 3])]
    shapes = {"logits": [classes], "embedding": [3], "cam": [classes, PLACES, PLACES]}
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])
        for name, shape in shapes.items()
    ]
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "spot", inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())


@pytest.fixture(scope="session")
def with_graph(tiny_bundle: Path) -> Callable[..., Path]:
    """``with_graph(path, onnx, private, references, weights, embeddings, **fields)``: the tiny bundle around
    another graph."""
    from leukoscope.bundle.read import open_bundle
    from leukoscope.bundle.write import write_bundle

    def make(path: Path, onnx: bytes, *, private: bool = False, **more: Any) -> Path:
        original = open_bundle(tiny_bundle)
        novelty = more.pop("embeddings", original.novelty)
        tables = {name: more.pop(name, None) for name in ("references", "weights")}
        return write_bundle(
            path,
            original.info.model_copy(update=more),
            onnx=onnx,
            subjects=original.subjects,
            novelty=novelty,
            private=private,
            **tables,
        )

    return make


@pytest.fixture(scope="session")
def spot_bundle(with_graph: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose answer rests on the spot alone. Never write into it."""
    return with_graph(tmp_path_factory.mktemp("bundle") / "spot.leuko", spot_graph())


@pytest.fixture(scope="session")
def network_bundle(
    with_graph: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Any]:
    """A bundle of Leukoscope-S with random weights for cells of 32 pixels, and its network."""
    torch = pytest.importorskip("torch")
    from leukoscope.bundle.format import Architecture
    from leukoscope.models.create import create_model
    from leukoscope.models.export import to_onnx

    torch.manual_seed(3)
    network = create_model("leukoscope-s", size=SIDE).eval()
    with torch.no_grad():
        network.head.linear.weight.normal_(std=0.5)
    path = with_graph(
        tmp_path_factory.mktemp("bundle") / "network.leuko",
        to_onnx(network, SIDE),
        weights={name: value.numpy() for name, value in network.state_dict().items()},
        architecture=Architecture(name="leukoscope-s", arguments={"num_classes": 2}),
        embeddings=np.random.default_rng(0).normal(size=(4, 1024)),
    )
    return path, network


@pytest.fixture(scope="session")
def cells_of() -> Callable[..., np.ndarray]:
    """``cells_of(num, seed=0)``: discs of random colours on black, uint8 (num, 32, 32, 3), over the spot."""
    return _cells


@pytest.fixture(scope="session")
def graph_of() -> Callable[..., bytes]:
    """``graph_of(strength=400.0, classes=2, bias=-0.5)``, see :func:`spot_graph`."""
    return spot_graph


def _cells(num: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE]
    cells = rng.integers(40, 256, (num, SIDE, SIDE, 3), dtype=np.uint8)
    for cell in cells:
        radius = rng.uniform(9, 12)
        cell[(y - 15.5) ** 2 + (x - 16.5) ** 2 > radius**2] = 0
    return cells
