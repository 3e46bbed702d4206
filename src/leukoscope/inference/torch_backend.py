"""The torch network itself, from the weights that a bundle may keep: another truth to compare with."""

from __future__ import annotations

from typing import Any

import numpy as np

from leukoscope.bundle.read import Bundle
from leukoscope.errors import BundleIntegrityError, MissingExtraError
from leukoscope.inference.backends import Outputs, backends


@backends.add("torch")
class TorchBackend:
    """The architecture that ``bundle.json`` names, with ``weights.safetensors``, on the processor."""

    def __init__(self, bundle: Bundle, *, threads: int = 0) -> None:
        try:
            import torch

            from leukoscope.models.create import create_model
        except ImportError:
            raise MissingExtraError("the backend 'torch'", "train") from None
        if threads:
            torch.set_num_threads(threads)
        architecture = bundle.info.architecture
        self._torch: Any = torch
        size = bundle.info.preprocess.size
        self._model = create_model(architecture.name, size=size, **architecture.arguments).eval()
        weights = {name: torch.from_numpy(np.array(tensor)) for name, tensor in bundle.weights().items()}
        try:
            self._model.load_state_dict(weights)
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip()
            raise BundleIntegrityError(
                f"{bundle.path}: its weights do not fit {architecture.name}: {reason}"
            ) from None

    def run(self, batch: np.ndarray) -> Outputs:
        """Outputs for cells uint8 (N, S, S, 3)."""
        with self._torch.inference_mode():
            found = self._model(self._torch.from_numpy(np.ascontiguousarray(batch)))
        cam = None if found.cam is None else found.cam.numpy()
        return Outputs(found.logits.numpy(), found.embedding.numpy(), cam)
