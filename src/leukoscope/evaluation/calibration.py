"""From logits to probabilities that mean what they say: temperature scaling (Guo et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from leukoscope.core.config import Config
from leukoscope.errors import UsageError

Floats = npt.NDArray[np.float64]

TEMPERATURES = (0.05, 20.0)
"""Limits of a fitted temperature; cells that a model tells apart without an error would push it to zero."""


class Calibration(Config):
    """``probabilities = softmax(logits / temperature + bias)``.

    Attributes:
        method: ``"temperature"``.
        temperature: above 1 makes the model less sure, below 1 surer.
        bias: one number for each class, or empty for none. Non-zero only where training re-weighted the
            classes; then it restores the prevalence of the subjects it was fitted on.
        subjects: whom it was fitted on, in words.

    >>> Calibration(temperature=2.0).apply(np.array([[0.0, 2 * np.log(3.0)]])).round(3)
    array([[0.25, 0.75]])
    """

    method: Literal["temperature"] = "temperature"
    temperature: float = Field(default=1.0, gt=0)
    bias: tuple[float, ...] = ()
    subjects: str = ""

    def apply(self, logits: npt.ArrayLike) -> Floats:
        """Probabilities (N, K), float64, rows summing to 1, of logits (N, K)."""
        scaled = np.asarray(logits, dtype=np.float64) / self.temperature
        if self.bias:
            scaled = scaled + np.asarray(self.bias)
        return np.exp(log_softmax(scaled))


def log_softmax(scores: Floats) -> Floats:
    """Logarithm of the softmax over the last axis."""
    shifted = scores - scores.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def fit_temperature(
    logits: npt.ArrayLike,
    labels: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
    *,
    bias: bool = False,
    subjects: str = "",
) -> Calibration:
    """The calibration with the least (weighted) negative log-likelihood on these cells.

    Args:
        logits: (N, K).
        labels: (N,) class indices 0..K-1.
        weights: (N,) non-negative; ``None`` for all equal.
        bias: also fit one bias for each class; the mean probabilities then equal the classes' shares here.
        subjects: whom the cells belong to, in words, for the record.

    Raises:
        UsageError: without cells of at least two classes, or for labels that are no class indices.
    """
    from scipy.optimize import minimize

    z, y = np.asarray(logits, dtype=np.float64), np.asarray(labels)
    w = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=np.float64)
    _check(z, y, w)
    w, num_classes = w / w.sum(), z.shape[1]
    target = np.eye(num_classes)[y]

    # In the inverse temperature s and the biases the loss is convex.
    def loss(parameters: Floats) -> tuple[float, Floats]:
        s, b = parameters[0], np.concatenate([[0.0], parameters[1:]]) if bias else 0.0
        log_p = log_softmax(s * z + b)
        residual = w[:, None] * (np.exp(log_p) - target)
        gradient = np.concatenate([[(residual * z).sum()], residual.sum(axis=0)[1:] if bias else []])
        return float(-(w * (log_p * target).sum(axis=1)).sum()), gradient

    start = np.concatenate([[1.0], np.zeros(num_classes - 1 if bias else 0)])
    bounds = [(1 / TEMPERATURES[1], 1 / TEMPERATURES[0]), *[(-20.0, 20.0)] * (len(start) - 1)]
    options = {"maxiter": 1000, "ftol": 1e-14, "gtol": 1e-10}
    fitted = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
    found = (0.0, *map(float, fitted[1:])) if bias else ()
    return Calibration(temperature=float(1 / fitted[0]), bias=found, subjects=subjects)


def _check(z: Floats, y: npt.NDArray[np.generic], w: Floats) -> None:
    hint = "calibrate on labelled cells of both classes"
    if z.ndim != 2 or y.shape != z.shape[:1] or w.shape != y.shape:
        raise UsageError(f"expected logits (N, K), labels (N,). Received: {z.shape}, {y.shape}", hint=hint)
    if not np.issubdtype(y.dtype, np.integer) or (len(y) and (y.min() < 0 or y.max() >= z.shape[1])):
        raise UsageError(f"expected labels 0..{z.shape[1] - 1}. Received: {np.unique(y)[:5]}", hint=hint)
    if len(np.unique(y[w > 0])) < 2:
        raise UsageError("a temperature cannot be fitted on cells of one class only", hint=hint)


def blast_probability(
    probabilities: npt.ArrayLike, classes: Sequence[str], positive: Sequence[str]
) -> Floats:
    """The sum over the positive classes, shape (N,), 0..1.

    Args:
        probabilities: (N, K), rows summing to 1.
        classes: the K names in the order of the columns.
        positive: those that count as blast.

    >>> blast_probability([[0.2, 0.3, 0.5]], ["benign", "pre-B", "pro-B"], ["pre-B", "pro-B"])
    array([0.8])
    """
    columns = [list(classes).index(name) for name in positive]
    return np.asarray(np.minimum(np.asarray(probabilities, dtype=np.float64)[:, columns].sum(axis=1), 1.0))
