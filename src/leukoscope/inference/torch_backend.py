"""The torch network itself, from the weights that a bundle may keep: another truth to compare with."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from leukoscope.bundle.read import Bundle
from leukoscope.errors import BundleError, BundleIntegrityError, MissingExtraError
from leukoscope.inference.backends import Outputs, backends, checked

_one_at_a_time = threading.Lock()
"""How many threads torch uses is a setting of the whole process: it is made for one run, and taken back."""


@backends.add("torch")
class TorchBackend:
    """The architecture that ``bundle.json`` names, with ``weights.safetensors``, on the processor."""

    name = package = "torch"
    runs_graph = False
    device = "cpu"

    def __init__(self, bundle: Bundle, *, threads: int = 0) -> None:
        try:
            import torch
        except ImportError:
            raise MissingExtraError("the backend 'torch'", "train") from None
        self._torch: Any = torch
        self.version = str(torch.__version__)
        self._model = load_network(bundle)
        self._threads, self._side = threads, bundle.info.preprocess.size

    def run(self, batch: np.ndarray) -> Outputs:
        """Outputs for cells uint8 (N, S, S, 3)."""
        cells = checked(batch, self._side)
        cells = self._torch.from_numpy(cells if cells.flags.writeable else cells.copy())  # else torch warns
        with _one_at_a_time, self._threads_of_its_own(), self._torch.inference_mode():
            found = self._model(cells)
        cam = None if found.cam is None else found.cam.numpy()
        return Outputs(found.logits.numpy(), found.embedding.numpy(), cam)

    @contextmanager
    def _threads_of_its_own(self) -> Iterator[None]:
        before = self._torch.get_num_threads()
        if self._threads in (0, before):
            yield
            return
        self._torch.set_num_threads(self._threads)
        try:
            yield
        finally:
            self._torch.set_num_threads(before)


def new_network(bundle: Bundle) -> Any:
    """A :class:`~leukoscope.models.base.CellNetwork` of a bundle's architecture with random weights, ready to
    be asked.

    Raises:
        MissingExtraError: without the extra ``train``.
    """
    try:
        from leukoscope.models.create import create_model
    except ImportError:
        raise MissingExtraError("the network of a bundle", "train") from None
    architecture = bundle.info.architecture
    return create_model(architecture.name, size=bundle.info.preprocess.size, **architecture.arguments).eval()


def load_network(bundle: Bundle) -> Any:
    """The same with the bundle's weights.

    Raises:
        MissingExtraError: as :func:`new_network`.
        BundleError: where the bundle keeps no weights, or others than the architecture has.
    """
    if bundle.info.quantisation is not None:
        raise BundleError(
            f"{bundle.path}: its graph is int8, and torch would run another model",
            hint=f"use the backend 'onnxruntime', or bundle {bundle.info.quantisation.of_bundle} of 32 bits",
        )
    network = new_network(bundle)
    import torch

    weights = {name: torch.from_numpy(np.array(tensor)) for name, tensor in bundle.weights().items()}
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise BundleIntegrityError(
            f"{bundle.path}: its weights do not fit {bundle.info.architecture.name}: {reason}"
        ) from None
    return network
