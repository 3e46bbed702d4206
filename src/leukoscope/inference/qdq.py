"""What ONNX Runtime needs of a QDQ graph to run all of its convolutions in 8 bits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple


class Behind(NamedTuple):
    """What follows a concatenation: a quantiser, perhaps after a ``Relu``."""

    quantiser: Any
    relu: Any | None


def quantised_before_joining(model: Any) -> Any:
    """The same function, with quantisers also before each concatenation that is quantised behind.

    NNCF writes ``Quantize(Relu(Concat(a, b)))``. ONNX Runtime runs a convolution in 8 bits only where
    its own output is quantised, so that ``a`` and ``b`` would be computed in 32 bits. To quantise them first,
    with the same scale and zero as the lowest step, gives the same numbers and makes ``Relu`` superfluous.

    Args:
        model: an ``onnx.ModelProto``; it is changed.
    """
    graph = model.graph
    links = _Links(graph)
    nodes: list[Any] = []
    superfluous: set[str] = set()
    for node in graph.node:
        behind = links.behind(node) if node.op_type == "Concat" else None
        if behind is not None:
            nodes.extend(_inputs_quantised(node, behind.quantiser, links))
        if behind is not None and behind.relu is not None:
            superfluous.add(behind.relu.output[0])
            behind.quantiser.input[0] = node.output[0]
        nodes.append(node)
    kept = [node for node in nodes if node.output[0] not in superfluous]
    del graph.node[:]
    graph.node.extend(kept)
    return model


class _Links:
    """Who makes and who reads each value of a graph."""

    def __init__(self, graph: Any) -> None:
        self.maker = {output: node for node in graph.node for output in node.output}
        self._readers: dict[str, list[Any]] = {}
        for node in graph.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)
        self._outputs = {output.name for output in graph.output}
        self._tensors = {tensor.name: tensor for tensor in graph.initializer}

    def behind(self, concat: Any) -> Behind | None:
        """The quantiser behind a concatenation, where nobody reads what lies between and one scale serves."""
        relu = self._only_reader(concat, "Relu")
        quantiser = self._only_reader(relu or concat, "QuantizeLinear")
        if quantiser is None or len(quantiser.input) < 3 or not self._is_single(quantiser.input[1]):
            return None
        if relu is not None and not self._is_lowest(quantiser.input[2]):
            return None
        return Behind(quantiser, relu)

    def _only_reader(self, node: Any, kind: str) -> Any | None:
        name = node.output[0]
        found = self._readers.get(name, [])
        alone = len(found) == 1 and name not in self._outputs
        return found[0] if alone and found[0].op_type == kind else None

    def _is_single(self, name: str) -> bool:
        tensor = self._tensors.get(name)
        return tensor is not None and all(size == 1 for size in tensor.dims)

    def _is_lowest(self, name: str) -> bool:
        """Whether a zero point is the lowest step of unsigned 8 bits, so that what is negative is cut off."""
        from onnx import TensorProto, numpy_helper

        tensor = self._tensors.get(name)
        if tensor is None or tensor.data_type != TensorProto.UINT8:
            return False
        return not numpy_helper.to_array(tensor).any()


def _inputs_quantised(concat: Any, quantiser: Any, links: _Links) -> Iterator[Any]:
    """Quantiser and dequantiser for each input that has none, through which the concatenation now reads."""
    from onnx import helper

    steps = list(quantiser.input[1:])
    for place, name in enumerate(concat.input):
        if name in links.maker and links.maker[name].op_type == "DequantizeLinear":
            continue
        mark = f"{concat.output[0]}_{place}"
        yield helper.make_node("QuantizeLinear", [name, *steps], [f"{mark}_q"], f"{mark}_quantise")
        yield helper.make_node(
            "DequantizeLinear", [f"{mark}_q", *steps], [f"{mark}_dq"], f"{mark}_dequantise"
        )
        concat.input[place] = f"{mark}_dq"
