"""Class maps, from the output ``cam`` of a bundle's graph: no gradient, no torch.

B. Zhou et al., "Learning deep features for discriminative localization", CVPR 2016. The map of the same cell
filled with its mean colour is taken away: padding, standardisation and the outline give every place a value
that is no matter of what is seen there (docs/decisions/0801).
"""

from __future__ import annotations

import numpy as np

from leukoscope.bundle.read import Bundle
from leukoscope.errors import UsageError
from leukoscope.explain.evidence import Cells, Floats, positive, slopes
from leukoscope.explain.foreground import plain
from leukoscope.explain.methods import AGAINST_PLAIN, Mapper, Method, methods
from leukoscope.explain.random_graph import random_backend
from leukoscope.inference.backends import Backend, Outputs


@methods.add("cam")
def class_map(bundle: Bundle, backend: Backend) -> Method:
    """What each place of the last maps adds to the log-odds, against the cell filled with its mean colour."""
    size = bundle.info.preprocess.size
    _with_map(bundle, backend.run(np.zeros((1, size, size, 3), np.uint8)))  # refused before any map is made
    return Method(
        name="cam",
        title="class map (CAM)",
        value=AGAINST_PLAIN,
        unit="log-odds",
        mapper=_mapper(bundle, backend),
        randomised=lambda seed: _mapper(bundle, random_backend(bundle, seed)),
        reference=plain,
    )


def _mapper(bundle: Bundle, backend: Backend) -> Mapper:
    is_positive = positive(bundle.info)

    def make(cells: Cells) -> Floats:
        outputs = backend.run(cells)
        maps = _with_map(bundle, outputs) - _with_map(bundle, backend.run(plain(cells)))
        weights = slopes(outputs.logits, is_positive)
        per_place = maps.shape[2] * maps.shape[3]
        return np.asarray(np.einsum("nk,nkhw->nhw", weights, maps) / per_place, dtype=np.float32)

    return make


def _with_map(bundle: Bundle, outputs: Outputs) -> np.ndarray:
    if outputs.cam is None:
        raise UsageError(f"the bundle {bundle.info.name} has no class map", hint="use --method occlusion")
    return outputs.cam
