"""OpenVINO on the processor: the same graph, often faster, slower to start."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from leukoscope.bundle.format import MODEL_DATA
from leukoscope.bundle.read import Bundle
from leukoscope.core.parallel import num_cpus
from leukoscope.core.runtimes import import_openvino
from leukoscope.inference.backends import Outputs, backends, checked, join
from leukoscope.inference.graph import INPUT, OUTPUTS, Port, cannot_load, check_contract, graph_file

STEP = 8
"""Cells in one request, at most. A thread that has a few cells to itself waits for no other after each layer:
two such requests side by side take a tenth less of the processors than 16 cells on both threads."""
MOST_STREAMS = 8
"""Requests that are worked on side by side, at most: each stream holds the maps of its cells."""
NUM_REQUESTS = 32
"""That wait for a stream, at most. A batch is handed over whole: no stream waits for the thread that asks."""
_one_at_a_time = threading.Lock()
"""Of all models: OpenVINO's Python side sets itself up during its first run, and two threads that both begin
with one wait for each other for ever. A run takes all processors anyhow."""


@backends.add("openvino")
class OpenvinoBackend:
    """A graph in OpenVINO."""

    name = package = "openvino"
    runs_graph = True
    device = "cpu"

    def __init__(self, bundle: Bundle, *, threads: int = 0) -> None:
        openvino = import_openvino()
        self.version = str(openvino.__version__).split("-")[0]
        self._side = bundle.info.preprocess.size
        with _one_at_a_time, ThreadPoolExecutor(1) as elsewhere:
            try:
                model, compiled = elsewhere.submit(_compiled, bundle, openvino, threads).result()
            except Exception as error:  # OpenVINO raises RuntimeError, and others of its own
                raise cannot_load(bundle, f"OpenVINO {self.version}", error, package="openvino") from None
            outputs = [_port(port) for port in model.outputs]
            names = check_contract(bundle, [_port(port) for port in model.inputs], outputs)
            self._places = [[port.name for port in outputs].index(name) for name in names]
            self._streams = _streams(threads)
            self._requests = [compiled.create_infer_request() for _ in range(NUM_REQUESTS)]

    def run(self, batch: np.ndarray) -> Outputs:
        """Outputs for cells uint8 (N, S, S, 3)."""
        batch = checked(batch, self._side)
        step = min(STEP, -(-len(batch) // self._streams))
        with _one_at_a_time:
            return join(self._ask([batch[start : start + step] for start in range(0, len(batch), step)]))

    def _ask(self, parts: list[np.ndarray]) -> list[list[np.ndarray]]:
        """The answers in order: each request has a part, and gets its next when its answer is taken."""
        num, answers = len(self._requests), []
        for place in range(len(parts) + num):
            request = self._requests[place % num]
            request.wait()  # in the first turn for what an interrupted run left
            if place >= num:
                # copies: the next part writes into the same memory
                answers.append([request.get_output_tensor(one).data.copy() for one in self._places])
            if place < len(parts):
                request.start_async([parts[place]], share_inputs=True)
        return answers


def _compiled(bundle: Bundle, openvino: Any, threads: int) -> tuple[Any, Any]:
    """The model and what runs it; for a thread that ends with it.

    OpenVINO gives the thread that compiles another stack for signals, and takes its memory back with the
    model: the next Ctrl-C would then end the process without a word.
    """
    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": False})  # tensors that were verified lie in no file
    model = _read(bundle, core)
    return model, core.compile_model(model, "CPU", settings(threads))


def settings(threads: int) -> dict[str, Any]:
    """How a model is compiled."""
    return {
        # Where a processor has bfloat16 it would be taken, and probabilities not agree with the others'.
        "INFERENCE_PRECISION_HINT": "f32",
        "NUM_STREAMS": _streams(threads),
        "INFERENCE_NUM_THREADS": threads or num_cpus(),
        # Else the thread that asks is tied to one processor while it waits, and all that it starts meanwhile
        # for good.
        "ENABLE_CPU_PINNING": False,
    }


def _streams(threads: int) -> int:
    return min(threads or num_cpus(), MOST_STREAMS)


def _read(bundle: Bundle, core: Any) -> Any:
    if MODEL_DATA not in bundle.info.files:
        return core.read_model(bundle.onnx)
    with graph_file(bundle) as path:
        return core.read_model(path)


def _port(port: Any) -> Port:
    """One tensor may have several names: that of the contract, where it has it."""
    names = sorted(port.get_names())
    known = [name for name in names if name in (INPUT, *OUTPUTS)]
    sizes = [None if size.is_dynamic else size.get_length() for size in port.get_partial_shape()]
    return Port((known or names or [""])[0], str(port.get_element_type().to_dtype()), tuple(sizes))
