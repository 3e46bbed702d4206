"""From logits to probabilities that mean what they say.

Temperature scaling (Guo et al. 2017), for any number of classes; how the other ways are fitted, and which
one is chosen, is in :mod:`~leukoscope.evaluation.calibrators`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from leukoscope.core.config import Config
from leukoscope.errors import UsageError

Floats = npt.NDArray[np.float64]

TEMPERATURES = (0.05, 20.0)
"""Limits of a fitted temperature; cells that a model tells apart without an error would push it to zero."""


CalibrationMethod = Literal["temperature", "platt", "beta", "isotonic"]


class Calibration(Config):
    """How logits become probabilities; all methods but ``temperature`` are for two classes.

    Attributes:
        method: ``temperature`` and ``platt``: ``softmax(logits / temperature + bias)``, the bias of the first
            being given by the classes' shares, that of the second fitted. ``beta`` and ``isotonic`` act on
            the difference z of the two logits, that of the second class first.
        temperature: above 1 makes the model less sure, below 1 surer.
        bias: one number for each class, or empty for none. Of ``temperature`` only where training drew all
            classes alike: the logarithm of each class's share, which restores the prevalence.
        beta: a, b, c of Kull et al. 2017: the log odds are ``a ln s(z) - b ln s(-z) + c``, s being the
            sigmoid.
        knots: of ``isotonic``: pairs of z, ascending, and the probability of the second class there; between
            them on a straight line, beyond them level.
        subjects: whom it was fitted on, in words.
        cross_validated: method -> log loss in nats a cell on subjects left out, where a method was chosen.

    >>> Calibration(temperature=2.0).apply(np.array([[0.0, 2 * np.log(3.0)]])).round(3)
    array([[0.25, 0.75]])
    """

    method: CalibrationMethod = "temperature"
    temperature: float = Field(default=1.0, gt=0)
    bias: tuple[float, ...] = ()
    beta: tuple[float, float, float] | None = None
    knots: tuple[tuple[float, float], ...] = ()
    subjects: str = ""
    cross_validated: dict[str, float] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.method == "beta") != (self.beta is not None):
            raise ValueError("beta belongs to the method 'beta', which needs it")
        if (self.method == "isotonic") != bool(self.knots):
            raise ValueError("knots belong to the method 'isotonic', which needs them")
        if self.beta is not None and min(self.beta[:2]) < 0:
            raise ValueError("a and b of beta must not be negative")
        at, rise = np.diff(np.asarray(self.knots, dtype=np.float64).reshape(-1, 2), axis=0).T
        if not ((at > 0).all() and (rise >= 0).all()):
            raise ValueError("knots must ascend")
        return self

    def apply(self, logits: npt.ArrayLike) -> Floats:
        """Probabilities (N, K), float64, rows summing to 1, of logits (N, K).

        Raises:
            UsageError: for other than two classes where the method knows only two.
        """
        scores = np.asarray(logits, dtype=np.float64)
        if self.method in ("beta", "isotonic"):
            second = self._second(difference(scores))
            return np.stack([1 - second, second], axis=-1)
        scaled = scores / self.temperature
        if self.bias:
            scaled = scaled + np.asarray(self.bias)
        return np.exp(log_softmax(scaled))

    def _second(self, z: Floats) -> Floats:
        """Probability of the second of two classes."""
        if self.beta is None:
            at, p = np.asarray(self.knots).T
            return np.asarray(np.interp(z, at, p), dtype=np.float64)
        a, b, c = self.beta
        yes, no = beta_features(z)
        return np.asarray(np.exp(-np.logaddexp(0, -(a * yes + b * no + c))))


def difference(logits: Floats) -> Floats:
    """Logit of the second of two classes less that of the first, (N,).

    Raises:
        UsageError: for other than two classes.
    """
    if logits.shape[-1] != 2:
        text = f"expected logits of two classes. Received: {logits.shape[-1]}"
        raise UsageError(text, hint="more classes are calibrated by temperature")
    return np.asarray(logits[..., 1] - logits[..., 0])


def beta_features(z: Floats) -> tuple[Floats, Floats]:
    """``ln s(z)`` and ``-ln s(-z)``: both ascend with z, and their sum is z."""
    return -np.logaddexp(0, -z), np.logaddexp(0, z)


def log_softmax(scores: Floats) -> Floats:
    """Logarithm of the softmax over the last axis."""
    shifted = scores - scores.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def fit_temperature(
    logits: npt.ArrayLike,
    labels: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
    *,
    shares: npt.ArrayLike | None = None,
    subjects: str = "",
) -> Calibration:
    """The calibration with the least (weighted) negative log-likelihood on these cells.

    One number is fitted, the temperature. The bias, which a handful of subjects would leave to chance,
    follows from the shares alone by Bayes' rule.

    Args:
        logits: (N, K).
        labels: (N,) class indices 0..K-1.
        weights: (N,) non-negative; ``None`` for all equal.
        shares: (K,) of the classes among the cells that the probabilities are for, where training drew all
            classes alike; each class's cells then weigh as much here. A class without a share counts as half
            a cell. ``None`` for no bias.
        subjects: whom the cells belong to, in words, for the record.

    Raises:
        UsageError: without cells of at least two classes, or for labels that are no class indices.
    """
    from scipy.optimize import minimize_scalar

    z, y = np.asarray(logits, dtype=np.float64), np.asarray(labels)
    w = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=np.float64)
    _check(z, y, w)
    bias: Floats = np.zeros(0)
    if shares is not None:
        wanted = np.maximum(np.asarray(shares, dtype=np.float64), 0.5 / len(y))
        found = np.bincount(y, w, minlength=z.shape[1])
        w = w * (wanted / np.where(found > 0, found, 1.0))[y]
        bias = np.log(wanted / wanted[0])
    w, picked = w / w.sum(), (np.arange(len(y)), y)

    # In the inverse temperature the loss is convex, so it has one minimum.
    def loss(inverse: float) -> float:
        return float(-(w * log_softmax(inverse * z + (bias if len(bias) else 0.0))[picked]).sum())

    limits = (1 / TEMPERATURES[1], 1 / TEMPERATURES[0])
    fitted = minimize_scalar(loss, bounds=limits, method="bounded", options={"xatol": 1e-9}).x
    return Calibration(temperature=float(1 / fitted), bias=tuple(map(float, bias)), subjects=subjects)


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
