"""ONNX Runtime on the processor: the default, small and quick to start."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from leukoscope.bundle.format import MODEL, MODEL_DATA
from leukoscope.bundle.read import Bundle
from leukoscope.core.parallel import num_cpus
from leukoscope.core.telemetry import no_telemetry
from leukoscope.errors import BundleError
from leukoscope.inference.backends import Outputs, backends

INPUT = "cells"
ERRORS_ONLY = 3
STEP = 16
"""Cells in one run. The maps of more do not fit into a processor's cache: 64 at once take a fifth longer."""


@backends.add("onnxruntime")
class OnnxBackend:
    """A graph in ONNX Runtime."""

    def __init__(self, bundle: Bundle, *, threads: int = 0) -> None:
        self._session = _session(bundle, threads)
        names = [output.name for output in self._session.get_outputs()]
        _check_contract(self._session, names, bundle)
        self._names = ["logits", "embedding", *(["cam"] if "cam" in names else [])]

    def run(self, batch: np.ndarray) -> Outputs:
        """Outputs for cells uint8 (N, S, S, 3)."""
        parts = [
            self._session.run(self._names, {INPUT: batch[start : start + STEP]})
            for start in range(0, len(batch), STEP)
        ]
        logits, embedding, *cam = (np.concatenate(outputs) for outputs in zip(*parts, strict=True))
        return Outputs(logits, embedding, cam[0] if cam else None)


def _session(bundle: Bundle, threads: int) -> Any:
    no_telemetry()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or num_cpus()
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = ERRORS_ONLY
    # Waiting threads that spin take the processors from the threads that decode the next cells.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        if MODEL_DATA in bundle.info.files:
            return _large_session(bundle, onnxruntime, options)
        return onnxruntime.InferenceSession(bundle.onnx, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has no common base of its errors
        reason = str(error).splitlines()[0]
        message = f"{bundle.path}: ONNX Runtime {onnxruntime.__version__} cannot load {MODEL}: {reason}"
        raise BundleError(message, hint="update onnxruntime, or export the bundle again") from None


def _large_session(bundle: Bundle, onnxruntime: Any, options: Any) -> Any:
    """A graph with its tensors beside it is loaded from a folder, and read while the session is made."""
    with tempfile.TemporaryDirectory(prefix="leukoscope-") as name:
        folder = Path(name)
        (folder / MODEL).write_bytes(bundle.onnx)
        bundle.copy(MODEL_DATA, folder / MODEL_DATA)
        return onnxruntime.InferenceSession(str(folder / MODEL), options, providers=["CPUExecutionProvider"])


def _check_contract(session: Any, outputs: list[str], bundle: Bundle) -> None:
    info, inputs = bundle.info, session.get_inputs()
    side = info.preprocess.size
    shape = [size if isinstance(size, int) else None for size in inputs[0].shape]
    if [entry.name for entry in inputs] != [INPUT] or inputs[0].type != "tensor(uint8)":
        found = ", ".join(f"{entry.name}: {entry.type}" for entry in inputs)
        raise BundleError(f"{bundle.path}: {MODEL} must take one input, 'cells' of uint8. Received: {found}")
    if len(shape) != 4 or any(
        have not in (None, want) for have, want in zip(shape[1:], (side, side, 3), strict=True)
    ):
        raise BundleError(
            f"{bundle.path}: {MODEL} must take (N, {side}, {side}, 3). Received: {inputs[0].shape}"
        )
    missing = [name for name in ("logits", "embedding") if name not in outputs]
    if missing:
        raise BundleError(
            f"{bundle.path}: {MODEL} has no output {' and '.join(missing)}. Received: {', '.join(outputs)}"
        )
    wide = session.get_outputs()[outputs.index("logits")].shape[-1]
    if isinstance(wide, int) and wide != len(info.classes):
        raise BundleError(
            f"{bundle.path}: {MODEL} tells {wide} classes apart, bundle.json names {len(info.classes)}"
        )
