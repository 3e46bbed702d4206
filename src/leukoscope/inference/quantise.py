"""A graph in 8 bits: NNCF's post-training quantisation of the ONNX graph, a QDQ graph for every runtime."""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from contextlib import redirect_stdout
from importlib.metadata import version
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from leukoscope.core.telemetry import no_telemetry
from leukoscope.errors import BundleError, MissingExtraError
from leukoscope.inference.qdq import quantised_before_joining

INPUT = "cells"
LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


class Way(NamedTuple):
    """One way to quantise.

    Attributes:
        name: of the way.
        words: what it does.
        mixed: ranges of activations need not lie around zero.
        careful: the mean error of each layer is corrected layer after layer, on what the layers before it
            give by then; slower.
        keep_head: what comes after the last convolution stays in 32 bits.
    """

    name: str
    words: str
    mixed: bool = False
    careful: bool = False
    keep_head: bool = False


WAYS = (
    Way("plain", "symmetric ranges, the head in 32 bits", keep_head=True),
    Way("mixed", "asymmetric ranges of activations, the head in 32 bits", mixed=True, keep_head=True),
    Way(
        "careful",
        "asymmetric ranges of activations, the head in 32 bits, errors corrected layer after layer",
        mixed=True,
        careful=True,
        keep_head=True,
    ),
)
"""From cheap to dear."""


def quantise(graph: bytes, cells: Sequence[npt.NDArray[np.uint8]], way: Way) -> bytes:
    """The graph with weights and activations of 8 bits; inputs and outputs keep their names and types.

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
    nothing = nncf.IgnoredScope()
    try:
        with redirect_stdout(io.StringIO()):  # where NNCF shows its progress; standard output is for results
            made = nncf.quantize(
                model,
                nncf.Dataset([{INPUT: cell[None]} for cell in cells]),
                subset_size=len(cells),
                preset=nncf.QuantizationPreset.MIXED if way.mixed else nncf.QuantizationPreset.PERFORMANCE,
                fast_bias_correction=not way.careful,
                ignored_scope=nncf.IgnoredScope(names=head_of(model)) if way.keep_head else nothing,
            )
    except Exception as error:  # NNCF has no common base of its errors
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BundleError(f"NNCF {version('nncf')} cannot quantise the graph: {reason}") from None
    return bytes(quantised_before_joining(made).SerializeToString())


def import_nncf() -> tuple[ModuleType, ModuleType]:
    """NNCF and ONNX, quiet and without telemetry.

    Raises:
        MissingExtraError: without the extra ``int8``.
    """
    no_telemetry()
    try:
        with redirect_stdout(io.StringIO()):  # it binds its log to standard output
            import nncf
        import onnx
    except ImportError:
        raise MissingExtraError("quantising a bundle", "int8") from None
    nncf.set_log_level(logging.CRITICAL)
    return nncf, onnx


def head_of(model: Any) -> list[str]:
    """Names of the nodes from which no layer of the trunk reads: all behind the last layer before the
    embedding. A layer is a convolution or a product of matrices."""
    made_by = {output: node for node in model.graph.node for output in node.output}
    trunk = _needed_for(["embedding"], made_by)
    layers = [name for node in model.graph.node if node.op_type in LAYERS for name in node.output]
    read = _needed_for([name for name in layers if name in trunk], made_by)
    return [node.name for node in model.graph.node if not read & set(node.output)]


def _needed_for(outputs: Sequence[str], made_by: dict[str, Any]) -> set[str]:
    """These values, and all that they are computed from."""
    found: set[str] = set()
    waiting = list(outputs)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(made_by[name].input if name in made_by else ())
    return found
