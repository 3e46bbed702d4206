"""What runs a graph: one contract, several programs behind it."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from leukoscope.bundle.read import Bundle
from leukoscope.core.registry import Registry


class Outputs(NamedTuple):
    """What a model says of N cells.

    ``logits`` (N, K) float32; ``embedding`` (N, D) float32; ``cam`` (N, K, h, w) float32 where the head is
    mean pooling and one linear layer, else ``None``.
    """

    logits: np.ndarray
    embedding: np.ndarray
    cam: np.ndarray | None


class Backend(Protocol):
    """A loaded model."""

    def run(self, batch: np.ndarray) -> Outputs:
        """Outputs for cells uint8 (N, S, S, 3), RGB, N at least 1."""


class BackendMaker(Protocol):
    """How a backend is made of a bundle; ``threads`` 0 means one for each processor."""

    def __call__(self, bundle: Bundle, *, threads: int = 0) -> Backend:
        """Load the model.

        Raises:
            BundleError: when the model does not fit the contract, or the bundle lacks what this backend
            needs.
            MissingExtraError: when the program behind it is not installed.
        """


backends: Registry[BackendMaker] = Registry("backend")
"""Backends by name; ``make_backend`` also knows ``"auto"``."""

DEFAULT_BACKEND = "onnxruntime"


def make_backend(bundle: Bundle, name: str = "auto", *, threads: int = 0) -> Backend:
    """Load a bundle's model.

    Args:
        bundle: a verified bundle.
        name: ``"auto"`` (ONNX Runtime), ``"onnxruntime"`` or ``"torch"``.
        threads: of one run; 0 means one for each processor.

    Raises:
        UsageError: for an unknown name.
    """
    from leukoscope.inference import onnx_backend, torch_backend  # noqa: F401 - they register themselves

    return backends.get(DEFAULT_BACKEND if name == "auto" else name)(bundle, threads=threads)
