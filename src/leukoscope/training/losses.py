"""What a fit makes small."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional


def cell_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    class_weights: Tensor | None = None,
    focal: float = 0.0,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross entropy, or the focal loss of K classes (Lin et al. 2017), as a scalar.

    A cell's loss is the sum over the classes of -w q (1 - p) ** focal log(p), with p the softmax of its
    logits, q its smoothed target and w the weight of the class. The mean over the cells is weighted by the
    weights of their classes (of a mixed cell: the mean of them by its shares), as in torch's cross entropy.

    Args:
        logits: (N, K).
        targets: (N,) int64 classes, or (N, K) shares that add up to 1.
        class_weights: (K,), ``None`` for 1 each.
        focal: gamma; 0 is the cross entropy.
        label_smoothing: share of the target that is spread over all K classes.
    """
    if not focal and not targets.is_floating_point():
        return functional.cross_entropy(logits, targets, class_weights, label_smoothing=label_smoothing)
    logarithms = functional.log_softmax(logits.float(), 1)
    num_classes = logits.shape[1]
    shares = targets if targets.is_floating_point() else functional.one_hot(targets, num_classes)
    weights = logarithms.new_ones(num_classes) if class_weights is None else class_weights
    smoothed = shares * (1 - label_smoothing) + label_smoothing / num_classes
    losses = -smoothed * weights * logarithms
    if focal:
        # the derivative of the power of 0 has no value
        losses = losses * (-torch.expm1(logarithms)).clamp(min=1e-12) ** focal
    return losses.sum() / (shares * weights).sum()


def loss_weight(targets: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """What :func:`cell_loss` divides the sum over the cells by: their number, or the sum of their weights."""
    if class_weights is None:
        return torch.tensor(float(len(targets)), device=targets.device)
    return (targets * class_weights).sum() if targets.is_floating_point() else class_weights[targets].sum()


def class_weights(
    labels: NDArray[np.int64], weights: NDArray[np.float64], *, num_classes: int
) -> NDArray[np.float64]:
    """(K,) weights of the classes in the loss by which all count the same; 0 for a class without cells.

    A class weighs the inverse of its share of what is drawn; the mean over the cells that are drawn is 1.

    Args:
        labels: (N,) class of each training cell.
        weights: (N,) how often each is drawn, in any unit.
        num_classes: K.

    >>> class_weights(np.array([0, 0, 0, 1]), np.ones(4), num_classes=2)
    array([0.66666667, 2.        ])
    """
    drawn = np.bincount(labels, weights, num_classes) / weights.sum()
    weights_of_classes: NDArray[np.float64] = np.zeros(num_classes)
    weights_of_classes[drawn > 0] = 1 / (np.count_nonzero(drawn) * drawn[drawn > 0])
    return weights_of_classes
