"""What a map explains: the log-odds of blast, one number whatever the classes and the head."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from leukoscope.bundle.format import BundleInfo
from leukoscope.inference.backends import Backend
from leukoscope.inference.views import run_views

Floats = npt.NDArray[np.float32]
Cells = npt.NDArray[np.uint8]
"""Cells (N, S, S, 3), RGB, as the model sees them."""

Evidence = Callable[[Cells], npt.NDArray[np.float64]]
"""Log-odds of blast (N,) of cells (N, S, S, 3)."""


def positive(info: BundleInfo) -> npt.NDArray[np.bool_]:
    """Which of the K classes count as blast."""
    return np.array([name in info.positive_classes for name in info.classes])


def log_odds(logits: npt.ArrayLike, positive: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Natural logarithm of the odds of blast before calibration, (N,), for logits (N, K).

    That is ``logsumexp`` of the positive classes less that of the others. With two classes it is the
    difference of the two logits; with one sigmoid, whose logits are (0, z), it is z.

    >>> log_odds([[0.0, 2.0], [1.0, -1.0]], np.array([False, True]))
    array([ 2., -2.])
    >>> float(log_odds(np.log([[0.2, 0.3, 0.5]]), np.array([False, True, True]))[0].round(4))
    1.3863
    """
    z = np.asarray(logits, dtype=np.float64)
    return np.asarray(
        np.logaddexp.reduce(z[:, positive], axis=1) - np.logaddexp.reduce(z[:, ~positive], axis=1)
    )


def slopes(logits: npt.ArrayLike, positive: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """How much :func:`log_odds` rises with each logit, (N, K): the class's share of the positive classes, or
    less its share of the others.

    >>> slopes([[0.0, 2.0]], np.array([False, True]))
    array([[-1.,  1.]])
    """
    z = np.asarray(logits, dtype=np.float64)
    found = np.zeros_like(z)
    for chosen, sign in ((positive, 1.0), (~positive, -1.0)):
        part = z[:, chosen]
        found[:, chosen] = sign * np.exp(part - np.logaddexp.reduce(part, axis=1, keepdims=True))
    return found


def evidence_of(backend: Backend, info: BundleInfo, views: int) -> Evidence:
    """The log-odds that a bundle gives, with as many views as it predicts with."""
    is_positive = positive(info)

    def ask(cells: Cells) -> npt.NDArray[np.float64]:
        return log_odds(run_views(backend, cells, views).logits, is_positive)

    return ask
