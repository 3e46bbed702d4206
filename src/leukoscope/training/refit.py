"""The last layer, fitted anew when the epochs are over: a convex problem, whose one solution does not depend
on how many steps are taken or in which order cells are drawn."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from leukoscope.core.progress import progress
from leukoscope.errors import ConfigError
from leukoscope.models.base import CellNetwork, MeanPoolHead
from leukoscope.training.cache import Cells
from leukoscope.training.draw import Index

BATCH = 64
MAX_ITERATIONS = 5_000
NEVER = -20.0
"""Bias of a class without a cell to fit on."""


def refittable_head(network: CellNetwork) -> MeanPoolHead:
    """The network's head.

    Raises:
        ConfigError: when it is not mean pooling and one linear layer.
    """
    head = getattr(network, "head", None)
    if not isinstance(head, MeanPoolHead):
        raise ConfigError(
            f"training.refit_head: {type(network).__name__} has no head of mean pooling and one linear layer",
            hint="set it to 0",
        )
    return head


def refit_head(
    network: CellNetwork,
    cells: Cells,
    positions: Index,
    labels: NDArray[np.int64],
    weights: NDArray[np.float64],
    *,
    strength: float,
) -> None:
    """Fit the linear layer of a network's head as a logistic regression of cells as they are, unvaried.

    The features are standardised by these cells first.

    Args:
        network: on the CPU, with its layers before the head as they shall be; its head is changed.
        cells: all cells of the cache.
        positions: (N,) which of them to fit on.
        labels: (N,) class of each.
        weights: (N,) of each; only their ratios count.
        strength: inverse strength of the L2 penalty, scikit-learn's ``C`` at a mean weight of 1.

    Raises:
        ConfigError: when the head is not mean pooling and one linear layer.
    """
    head = refittable_head(network)
    features = _features(network, head, cells, positions)
    with torch.no_grad():
        head.norm.running_mean = features.mean(0)
        head.norm.running_var = features.var(0, correction=0)
        embedding = (head.norm(features) * head.gains).numpy()
        found = LogisticRegression(C=strength, max_iter=MAX_ITERATIONS).fit(
            embedding, labels, sample_weight=weights / weights.mean()
        )
        coefficients, intercepts = found.coef_, found.intercept_
        if len(coefficients) == 1:  # of the second class of two
            coefficients = np.concatenate([-coefficients / 2, coefficients / 2])
            intercepts = np.concatenate([-intercepts / 2, intercepts / 2])
        head.linear.weight.zero_()
        head.linear.bias.fill_(NEVER)
        head.linear.weight[found.classes_] = torch.from_numpy(coefficients).float()
        head.linear.bias[found.classes_] = torch.from_numpy(intercepts).float()


def _features(network: CellNetwork, head: MeanPoolHead, cells: Cells, positions: Index) -> Tensor:
    """(N, D): what the head standardises."""
    read: list[Tensor] = []
    hook = head.norm.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    network.eval()
    try:
        with torch.inference_mode(), progress("fitting the last layer", len(positions)) as bar:
            for start in range(0, len(positions), BATCH):
                part = cells[positions[start : start + BATCH]]
                network(torch.from_numpy(np.ascontiguousarray(part)))
                bar.advance(len(part))
    finally:
        hook.remove()
    return torch.cat(read)
