"""What runs a graph: one contract, several programs behind it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from leukoscope.bundle.read import Bundle
from leukoscope.core.registry import Registry
from leukoscope.errors import UsageError


class Outputs(NamedTuple):
    """What a model says of N cells.

    ``logits`` (N, K) float32; ``embedding`` (N, D) float32; ``cam`` (N, K, h, w) float32 where the head is
    mean pooling and one linear layer, else ``None``.
    """

    logits: np.ndarray
    embedding: np.ndarray
    cam: np.ndarray | None


class Backend(Protocol):
    """A loaded model; several threads may ask it at once.

    Attributes:
        name: as it is registered.
        version: of the program that runs the model.
        device: ``"cpu"`` or ``"cuda"``.
    """

    name: str
    version: str
    device: str

    def run(self, batch: np.ndarray) -> Outputs:
        """Outputs for cells uint8 (N, S, S, 3), RGB, N at least 1.

        Raises:
            UsageError: for another type or shape, or no cell.
        """


class BackendMaker(Protocol):
    """How a backend is made of a bundle; ``threads`` 0 means one for each processor.

    Attributes:
        package: what must be installed, as it is imported.
        runs_graph: whether it runs the bundle's graph, not the network that the graph was made from.
    """

    package: str
    runs_graph: bool

    def __call__(self, bundle: Bundle, *, threads: int = 0) -> Backend:
        """Load the model.

        Raises:
            BundleError: when the model does not fit the contract, or the bundle lacks what this backend
            needs.
            MissingExtraError: when the program behind it is not installed.
        """


backends: Registry[BackendMaker] = Registry("backend")
"""Backends by name; ``make_backend`` also knows ``"auto"``. Filled by :func:`known_backends`."""

DEFAULT_BACKEND = "onnxruntime"


def known_backends() -> Registry[BackendMaker]:
    """All backends, installed or not; loads none of the programs behind them."""
    from leukoscope.inference import onnx_backend, openvino_backend, torch_backend  # noqa: F401 - they register

    return backends


def make_backend(bundle: Bundle, name: str = "auto", *, threads: int = 0) -> Backend:
    """Load a bundle's model.

    Args:
        bundle: a verified bundle.
        name: ``"auto"`` (ONNX Runtime), ``"onnxruntime"``, ``"openvino"`` or ``"torch"``.
        threads: of one run; 0 means one for each processor.

    Raises:
        UsageError: for an unknown name.
        BundleError: for a model that does not fit the contract, or one that this backend cannot run.
        MissingExtraError: when the program behind it is not installed.
    """
    return known_backends().get(DEFAULT_BACKEND if name == "auto" else name)(bundle, threads=threads)


def what_ran(backend: Backend) -> dict[str, str]:
    """Which program gave the answers, for the metadata of a prediction table: ``backend`` and ``versions``
    (JSON)."""
    import cv2

    from leukoscope import __version__

    versions = {"leukoscope": __version__, "numpy": np.__version__, "opencv": cv2.__version__}
    return {
        "backend": f"{backend.name} {backend.version} on {backend.device}",
        "versions": json.dumps(versions | {backend.name: backend.version}),
    }


def named_backend(metadata: Mapping[str, str]) -> str:
    """The name of the backend that :func:`what_ran` wrote down; ``"auto"`` where nothing was.

    >>> named_backend({"backend": "openvino 2026.4.1 on cpu"}), named_backend({})
    ('openvino', 'auto')
    """
    return metadata.get("backend", "auto").partition(" ")[0]


def checked(batch: np.ndarray, side: int) -> np.ndarray:
    """The batch as a run takes it, in one piece of memory.

    Raises:
        UsageError: for another type or shape than uint8 (N, S, S, 3), or no cell.
    """
    if batch.dtype != np.uint8 or batch.ndim != 4 or batch.shape[1:] != (side, side, 3) or not len(batch):
        raise UsageError(
            f"expected cells of uint8 (N, {side}, {side}, 3), N at least 1. "
            f"Received: {batch.dtype} {batch.shape}"
        )
    return np.ascontiguousarray(batch)


def join(parts: Sequence[Sequence[np.ndarray]]) -> Outputs:
    """Outputs of a batch from those of its parts: logits, embedding and maybe cam of each."""
    logits, embedding, *cam = (np.concatenate(outputs) for outputs in zip(*parts, strict=True))
    return Outputs(logits, embedding, cam[0] if cam else None)
