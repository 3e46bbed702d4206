"""ONNX Runtime: the default, small and quick to start; on the processor, or on CUDA where it offers that."""

from __future__ import annotations

from typing import Any

import numpy as np

from leukoscope.bundle.format import MODEL_DATA
from leukoscope.bundle.read import Bundle
from leukoscope.core.parallel import num_cpus
from leukoscope.core.runtimes import import_onnxruntime
from leukoscope.inference.backends import Outputs, backends, checked, join
from leukoscope.inference.graph import INPUT, Port, cannot_load, check_contract, graph_file

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
EXACT = {"use_tf32": "0"}
"""CUDA rounds products to 10 bits where it may: probabilities would not agree with the others."""
ERRORS_ONLY = 3
STEP = 16
"""Cells in one run. The maps of more do not fit into a processor's cache: 64 at once take a fifth longer."""
CUDA_STEP = 256


@backends.add("onnxruntime")
class OnnxBackend:
    """A graph in ONNX Runtime."""

    name = package = "onnxruntime"
    runs_graph = True

    def __init__(self, bundle: Bundle, *, threads: int = 0) -> None:
        onnxruntime = import_onnxruntime()
        self.version: str = onnxruntime.__version__
        self._session = _session(bundle, onnxruntime, threads)
        self._names = check_contract(
            bundle, _ports(self._session.get_inputs()), _ports(self._session.get_outputs())
        )
        on_cuda = CUDA in self._session.get_providers()
        self.device = "cuda" if on_cuda else "cpu"
        self._step, self._side = CUDA_STEP if on_cuda else STEP, bundle.info.preprocess.size

    def run(self, batch: np.ndarray) -> Outputs:
        """Outputs for cells uint8 (N, S, S, 3)."""
        batch = checked(batch, self._side)
        return join(
            [
                self._session.run(self._names, {INPUT: batch[start : start + self._step]})
                for start in range(0, len(batch), self._step)
            ]
        )


def _session(bundle: Bundle, onnxruntime: Any, threads: int) -> Any:
    options = _options(onnxruntime, threads)
    try:
        if CUDA in onnxruntime.get_available_providers():
            try:
                return _load(bundle, onnxruntime, options, [(CUDA, EXACT), CPU])
            except Exception:  # no driver, no memory, a version that does not fit: the processor does it
                return _load(bundle, onnxruntime, options, [CPU])
        return _load(bundle, onnxruntime, options, [CPU])
    except Exception as error:  # ONNX Runtime has no common base of its errors
        runtime = f"ONNX Runtime {onnxruntime.__version__}"
        raise cannot_load(bundle, runtime, error, package="onnxruntime") from None


def _options(onnxruntime: Any, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or num_cpus()
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = ERRORS_ONLY
    # Waiting threads that spin take the processors from the threads that decode the next cells.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _load(bundle: Bundle, onnxruntime: Any, options: Any, providers: list[Any]) -> Any:
    if MODEL_DATA not in bundle.info.files:
        return onnxruntime.InferenceSession(bundle.onnx, options, providers=providers)
    with graph_file(bundle) as path:  # read while the session is made
        return onnxruntime.InferenceSession(str(path), options, providers=providers)


def _ports(tensors: Any) -> list[Port]:
    return [
        Port(
            tensor.name,
            tensor.type.removeprefix("tensor(").removesuffix(")"),
            tuple(size if isinstance(size, int) else None for size in tensor.shape),
        )
        for tensor in tensors
    ]
