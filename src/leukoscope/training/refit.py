"""The last layer, fitted anew when the epochs are over: a convex problem, whose one solution does not depend
on how many steps are taken or in which order cells are drawn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from leukoscope.core.progress import progress
from leukoscope.errors import ConfigError
from leukoscope.models.base import CellNetwork, MeanPoolHead
from leukoscope.training.cache import Cells, in_batches
from leukoscope.training.draw import Index

MAX_ITERATIONS = 5_000
TOLERANCE = 1e-6
"""Largest slope at the solution; at scikit-learn's 1e-4 logits are off by half a per cent."""
FEW_CELLS = 10
"""A person of whom so many cells are known weighs half as much as one of whom many are."""
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
    groups: NDArray[np.str_],
    strength: float,
    subject_penalty: float,
) -> None:
    """Fit the linear layer of a network's head as a logistic regression of cells as they are, unvaried.

    The features are standardised by these cells first. The penalty of a direction is the square of the weight
    along it, times 1 plus ``subject_penalty`` times the variance, along it, of the means of people of one
    class: what tells people of one class apart is made dear. This is within-class covariance normalisation
    (Hatch, Kajarekar & Stolcke 2006, of speaker recognition), with people in the place of sessions.

    Args:
        network: on the CPU, with its layers before the head as they shall be; its head is changed.
        cells: all cells of the cache.
        positions: (N,) which of them to fit on.
        labels: (N,) class of each.
        weights: (N,) of each; only their ratios count.
        groups: (N,) subject or duplicate group of each.
        strength: inverse strength of the L2 penalty, scikit-learn's ``C`` at a mean weight of 1.
        subject_penalty: see above; 0 for the plain penalty.

    Raises:
        ConfigError: when the head is not mean pooling and one linear layer.
    """
    head = refittable_head(network)
    features = _features(network, head, cells, positions)
    with torch.no_grad():
        head.norm.running_mean = features.mean(0)
        head.norm.running_var = features.var(0, correction=0)
        embedding = (head.norm(features) * head.gains).numpy().astype(np.float64)
        shrinks = _shrinking(embedding, labels, groups, subject_penalty)
        found = LogisticRegression(C=strength, tol=TOLERANCE, max_iter=MAX_ITERATIONS).fit(
            shrinks(embedding), labels, sample_weight=weights / weights.mean()
        )
        coefficients, intercepts = shrinks(found.coef_), found.intercept_
        if len(coefficients) == 1:  # of the second class of two
            coefficients = np.concatenate([-coefficients / 2, coefficients / 2])
            intercepts = np.concatenate([-intercepts / 2, intercepts / 2])
        head.linear.weight.zero_()
        head.linear.bias.fill_(NEVER)
        head.linear.weight[found.classes_] = torch.from_numpy(coefficients).float()
        head.linear.bias[found.classes_] = torch.from_numpy(intercepts).float()


def _shrinking(
    embedding: NDArray[np.float64], labels: NDArray[np.int64], groups: NDArray[np.str_], penalty: float
) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """The symmetric map of rows (..., D) that shortens each direction by the root of its penalty.

    The plain penalty of weights in the shortened space is the wanted one in the space itself; there the same
    map gives them.
    """
    means = []
    for label in np.unique(labels):
        names, which, counts = np.unique(groups[labels == label], return_inverse=True, return_counts=True)
        sums = np.zeros((len(names), embedding.shape[1]))
        np.add.at(sums, which, embedding[labels == label])
        trust = counts / (counts + FEW_CELLS)
        trust /= trust.sum()
        own = sums / counts[:, None]
        means.append((own - trust @ own) * np.sqrt(trust)[:, None])
    between = np.concatenate(means) / np.sqrt(len(means))
    _, spread, directions = np.linalg.svd(between, full_matrices=False)
    change = 1 / np.sqrt(1 + penalty * spread**2) - 1
    return lambda rows: rows + (rows @ directions.T * change) @ directions


def _features(network: CellNetwork, head: MeanPoolHead, cells: Cells, positions: Index) -> Tensor:
    """(N, D): what the head standardises."""
    read: list[Tensor] = []
    hook = head.norm.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    network.eval()
    try:
        with torch.inference_mode(), progress("fitting the last layer", len(positions)) as bar:
            for part in in_batches(positions, cells):
                network(torch.from_numpy(np.ascontiguousarray(cells[part])))
                bar.advance(len(part))
    finally:
        hook.remove()
    return torch.cat(read)
