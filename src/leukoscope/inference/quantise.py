"""A graph in 8 bits: NNCF's post-training quantisation of the ONNX graph, a QDQ graph for every runtime."""

from __future__ import annotations

import io
from collections.abc import Container, Iterable, Sequence
from contextlib import redirect_stdout
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from leukoscope.core.runtimes import import_nncf
from leukoscope.errors import BundleError
from leukoscope.inference.qdq import quantised_before_joining

INPUT = "cells"
LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


class Way(NamedTuple):
    """One way to quantise. What comes after the last layers stays in 32 bits in all of them.

    Attributes:
        name: of the way.
        words: what it does.
        kept: layers that stay in 32 bits, counted back from the head on each way that leads there.
        mixed: ranges of activations need not lie around zero.
    """

    name: str
    words: str
    kept: int = 0
    mixed: bool = False


WAYS = (
    Way("plain", "all layers in 8 bits"),
    Way("two-kept", "but for the last two layers before the head, on each way that leads there", kept=2),
    Way("three-kept", "but for the last three layers before the head", kept=3),
    Way("mixed", "as before, and ranges of activations need not lie around zero", 3, mixed=True),
)
"""From fast to slow. What a head reads directly is what it cannot average out."""


def quantise(graph: bytes, cells: Sequence[npt.NDArray[np.uint8]], way: Way) -> bytes:
    """The graph with activations of 8 bits and weights of 7; inputs and outputs keep their names and types.

    Processors without instructions for sums of 8-bit products (VNNI) add two of them in 16 bits, which 8 bits
    of both may overflow. Weights of 7 bits cannot, so that one bundle answers alike everywhere.

    Args:
        graph: an ONNX graph that takes ``cells`` uint8 (N, S, S, 3).
        cells: (S, S, 3) each; on them the ranges of activations are measured.
        way: how.

    Raises:
        MissingExtraError: without the extra ``int8``.
        BundleError: when NNCF cannot quantise the graph.
    """
    nncf, onnx = import_nncf()
    model = onnx.load_from_string(graph)
    kept = kept_nodes(model, way.kept)
    if len(kept) == len(model.graph.node):
        raise BundleError("the graph has no layer to quantise", hint="use the bundle of 32 bits")
    presets = nncf.QuantizationPreset
    try:
        with redirect_stdout(io.StringIO()):  # where NNCF shows its progress; standard output is for results
            made = nncf.quantize(
                model,
                nncf.Dataset([{INPUT: cell[None]} for cell in cells]),
                subset_size=len(cells),
                preset=presets.MIXED if way.mixed else presets.PERFORMANCE,
                ignored_scope=nncf.IgnoredScope(names=kept),
                advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix.ENABLE),
            )
    except Exception as error:  # NNCF has no common base of its errors
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        message = f"NNCF {version('nncf')} cannot quantise the graph: {reason}"
        raise BundleError(message, hint="use the bundle of 32 bits") from None
    return bytes(quantised_before_joining(made).SerializeToString())


def kept_nodes(model: Any, kept: int = 0) -> list[str]:
    """Names of the nodes that stay in 32 bits: the head, and the last layers before it.

    A layer is a convolution or a product of matrices that the embedding is computed from. The head is what no
    layer reads.

    Args:
        model: an ``onnx.ModelProto`` with the output ``embedding``.
        kept: how many layers, counted back from the head on each way that leads there.
    """
    made_by = {output: node for node in model.graph.node for output in node.output}
    trunk = _needed_for(["embedding"], made_by)
    layers = {node.output[0] for node in model.graph.node if node.op_type in LAYERS} & trunk
    last, reached = set[str](), {"embedding"}
    for _ in range(kept):
        reached = {name for value in reached for name in _next_layers(value, made_by, layers)}
        last |= reached
    read = _needed_for(sorted(layers), made_by)
    nodes = model.graph.node
    return [node.name for node in nodes if node.output[0] not in read or node.output[0] in last]


def _next_layers(value: str, made_by: dict[str, Any], layers: set[str]) -> set[str]:
    """The layers next behind a value."""
    inputs = made_by[value].input if value in made_by else ()
    passed = _needed_for(inputs, made_by, stop=layers)
    return passed & layers


def _needed_for(values: Iterable[str], made_by: dict[str, Any], stop: Container[str] = ()) -> set[str]:
    """These values, and all that they are computed from; nothing beyond a value to stop at."""
    found: set[str] = set()
    waiting = list(values)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(made_by[name].input if name in made_by and name not in stop else ())
    return found
