"""A network as an ONNX graph: uint8 cells in; logits, embedding and, where there is one, the class map
out."""

from __future__ import annotations

import io
import warnings
from typing import Any, cast

import torch

from leukoscope.models.base import CellNetwork

OPSET = 18


def to_onnx(model: CellNetwork, size: int) -> bytes:
    """The graph of ``model`` for cells of ``size`` pixels, any number of them at once.

    Input ``cells`` uint8 (N, S, S, 3); outputs ``logits`` (N, K) and ``embedding`` (N, D) float32, and
    ``cam`` (N, K, h, w) where the network has a class map. Scaling of pixels is inside the graph. The model
    is put into evaluation mode and stays there.
    """
    model = model.cpu().float().eval()
    cells = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    with torch.inference_mode():
        names = ["logits", "embedding", *(["cam"] if model(cells).cam is not None else [])]
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # the exporter by tracing; see docs/decisions/0602
        warnings.simplefilter("ignore", DeprecationWarning)
        # what depends on the size of the cells alone may be frozen into the graph: it has one size
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        torch.onnx.export(
            model,
            (cells,),
            cast(Any, buffer),  # tracing takes streams; the annotation is that of the other way
            dynamo=False,
            opset_version=OPSET,
            input_names=["cells"],
            output_names=names,
            dynamic_axes={name: {0: "batch"} for name in ("cells", *names)},
        )
    return buffer.getvalue()
