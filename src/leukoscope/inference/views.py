"""The eight views of a cell: a smear has no up and no left."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from leukoscope.inference.backends import Backend, Outputs


def dihedral(batch: np.ndarray) -> Iterator[np.ndarray]:
    """The eight views of square cells (N, S, S, 3): four quarter turns, each also mirrored; as they are
    first.

    >>> len({view.tobytes() for view in dihedral(np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3))})
    8
    """
    for mirrored in (batch, batch[:, :, ::-1]):
        for turns in range(4):
            yield np.ascontiguousarray(np.rot90(mirrored, turns, axes=(1, 2)))


def upright(maps: np.ndarray, view: int) -> np.ndarray:
    """Maps (N, h, w) of the view of this number in :func:`dihedral`, turned back to how the cell lies.

    >>> cells = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)
    >>> views = enumerate(dihedral(cells))
    >>> all((upright(view[..., 0], number) == cells[..., 0]).all() for number, view in views)
    True
    """
    turned = np.rot90(maps, -(view % 4), axes=(1, 2))
    return turned[:, :, ::-1] if view >= 4 else turned


def run_views(backend: Backend, batch: np.ndarray, views: int) -> Outputs:
    """Outputs for a batch; with 8 views the logits are the mean over them.

    Embedding and class map are those of the cell as it lies, so that the novelty limit holds for any number
    of views.
    """
    if views == 1:
        return backend.run(batch)
    outputs = [backend.run(view) for view in dihedral(batch)]
    logits = np.stack([output.logits for output in outputs]).astype(np.float64).mean(axis=0)
    return outputs[0]._replace(logits=logits.astype(np.float32))
