"""A bundle's graph with random weights: what a map must not look like."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from leukoscope.bundle.format import MODEL_DATA
from leukoscope.bundle.read import Bundle
from leukoscope.errors import MissingExtraError, UsageError
from leukoscope.inference.backends import Backend, make_backend

LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def random_backend(bundle: Bundle, seed: int) -> Backend:
    """The graph in ONNX Runtime, the weights of its layers shuffled.

    Raises:
        MissingExtraError: without the package onnx.
        UsageError: for a graph that keeps its tensors in a file of their own.
    """
    if MODEL_DATA in bundle.info.files:
        raise UsageError("the graph keeps its weights in a file of their own, which is not shuffled")
    return make_backend(replace(bundle, onnx=shuffled(bundle.onnx, seed)), "onnxruntime")


def shuffled(graph: bytes, seed: int) -> bytes:
    """The graph with the numbers of each weight and bias of its layers in random order.

    Layers are convolutions and dense ones. Size and spread of their weights stay, so that signals neither die
    nor run away; what was learned is gone. Statistics of normalisations are no weights of layers and stay.

    Raises:
        MissingExtraError: without the package onnx.
    """
    try:
        import onnx
    except ImportError:
        raise MissingExtraError("a graph with random weights", "explain") from None
    model = onnx.load_from_string(graph)
    used = {name for node in model.graph.node if node.op_type in LAYERS for name in node.input}
    # of an int8 graph a layer reads dequantised weights
    steps = (node for node in model.graph.node if node.op_type == "DequantizeLinear")
    used |= {node.input[0] for node in steps if node.output[0] in used}
    rng = np.random.default_rng(seed)
    for tensor in model.graph.initializer:
        if tensor.name in used:
            values = onnx.numpy_helper.to_array(tensor)
            mixed = rng.permutation(values.ravel()).reshape(values.shape)
            tensor.CopyFrom(onnx.numpy_helper.from_array(mixed, tensor.name))
    return bytes(model.SerializeToString())
