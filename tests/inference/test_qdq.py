"""The passes around NNCF: what stays in 32 bits, and quantisers before a concatenation."""

from __future__ import annotations

import numpy as np
import pytest

from leukoscope.inference.qdq import quantised_before_joining
from leukoscope.inference.quantise import kept_nodes

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402


def joined(*, relu=True, zero=0, kind=np.uint8, tapped=False, single=True):
    """Two convolutions, joined, perhaps cut at zero, quantised, and one more convolution."""
    rng = np.random.default_rng(0)
    scale = np.array(0.03, np.float32) if single else np.linspace(0.02, 0.04, 5).astype(np.float32)
    steps = np.zeros(scale.shape, kind) + np.array(zero, kind)
    constants = {
        "one": rng.normal(size=(2, 3, 1, 1)).astype(np.float32),
        "other": rng.normal(size=(3, 3, 1, 1)).astype(np.float32),
        "last": rng.normal(size=(2, 5, 1, 1)).astype(np.float32),
        "scale": scale,
        "zero": steps,
    }
    nodes = [
        helper.make_node("Conv", ["x", "one"], ["a"]),
        helper.make_node("Conv", ["x", "other"], ["b"]),
        helper.make_node("Concat", ["a", "b"], ["c"], axis=1),
        *([helper.make_node("Relu", ["c"], ["d"])] if relu else []),
        helper.make_node("QuantizeLinear", ["d" if relu else "c", "scale", "zero"], ["q"], axis=1),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["e"], axis=1),
        helper.make_node("Conv", ["e", "last"], ["y"]),
    ]
    float32 = TensorProto.FLOAT
    outputs = [helper.make_tensor_value_info("y", float32, ["n", 2, 4, 4])]
    if tapped:
        outputs.append(helper.make_tensor_value_info("d" if relu else "c", float32, ["n", 5, 4, 4]))
    graph = helper.make_graph(
        nodes,
        "joined",
        [helper.make_tensor_value_info("x", float32, ["n", 3, 4, 4])],
        outputs,
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def answers(model, x):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, {"x": x})


def kinds(model):
    return [node.op_type for node in model.graph.node]


@pytest.mark.parametrize(
    ("relu", "zero", "kind"), [(True, 0, np.uint8), (False, 0, np.int8), (False, 9, np.uint8)]
)
def test_the_numbers_stay_and_each_convolution_is_quantised(relu, zero, kind):
    x = np.random.default_rng(1).normal(size=(5, 3, 4, 4)).astype(np.float32)
    model = joined(relu=relu, zero=zero, kind=kind)
    expected = answers(model, x)[0]
    changed = quantised_before_joining(model)
    onnx.checker.check_model(changed)
    assert np.array_equal(answers(changed, x)[0], expected)
    assert kinds(changed).count("QuantizeLinear") == 3 and "Relu" not in kinds(changed)
    readers = {node.input[0]: node.op_type for node in changed.graph.node}
    assert readers["a"] == readers["b"] == "QuantizeLinear"


@pytest.mark.parametrize(
    "what",
    [{"zero": 9}, {"kind": np.int8, "zero": 0}, {"tapped": True}, {"single": False}],
    ids=["zero is not the lowest step", "signed", "somebody reads between", "a scale for each channel"],
)
def test_where_the_numbers_would_change_nothing_is_done(what):
    model = joined(**what)
    before = model.SerializeToString()
    assert quantised_before_joining(model).SerializeToString() == before


def test_the_head_and_the_last_layers_stay(int8_case):
    from leukoscope.bundle.read import open_bundle

    model = onnx.load_from_string(open_bundle(int8_case.bundle).onnx)
    head = ["Relu k", "ReduceMean embedding", "Gemm logits"]
    assert kept_nodes(model) == head
    assert kept_nodes(model, 1) == ["Conv j", *head]
    assert kept_nodes(model, 2) == ["Conv f", "Conv g", "Conv j", *head]
    assert kept_nodes(model, 9) == ["Conv a", "Conv d", "Conv f", "Conv g", "Conv j", *head]
