"""Four ways from logits to probabilities, and which of them unseen subjects bear out.

Temperature scaling has one number, Platt scaling (Platt 1999) two, beta calibration (Kull, Silva Filho &
Flach 2017) three, isotonic regression (Zadrozny & Elkan 2002) as many as the cells want. The more a way can
follow, the more it follows the few people it was fitted on. So the choice is made on subjects left out, and
temperature scaling stays unless another way is better by more than chance among subjects.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt

from leukoscope.errors import UsageError
from leukoscope.evaluation.calibration import (
    TEMPERATURES,
    Calibration,
    Floats,
    beta_features,
    difference,
    fit_temperature,
)

CalibrationChoice = Literal["auto", "temperature", "platt", "beta", "isotonic"]
FOLDS = 5
FEWEST_SUBJECTS = 5
"""Of a class, from which on there is something to choose by: one in each fold."""

Labels = npt.NDArray[np.int64]
Names = npt.NDArray[np.str_]


def fit_calibration(
    logits: npt.ArrayLike,
    labels: npt.ArrayLike,
    subjects: npt.ArrayLike,
    method: CalibrationChoice = "auto",
    *,
    shares: npt.ArrayLike | None = None,
    fitted_on: str = "",
) -> Calibration:
    """The calibration by the given method, or by the one that ``auto`` chooses.

    ``auto`` compares the log loss of subjects left out, five folds of subjects with both classes spread over
    them. The best method is taken where it is better than temperature scaling by more than the standard error
    of that difference, subjects being what is drawn; else temperature scaling. With more than two classes, or
    fewer than 5 subjects of one, it is temperature scaling.

    Args:
        logits: (N, K).
        labels: (N,) class indices 0..K-1.
        subjects: (N,) whose each cell is.
        method: which, or ``"auto"``.
        shares: (K,) of the classes, where training drew them alike; see :func:`fit_temperature`. The other
            methods fit them.
        fitted_on: whom the cells belong to, in words.

    Raises:
        UsageError: without cells of two classes, or for a method of two classes where there are more.
    """
    z, y = np.asarray(logits, dtype=np.float64), np.asarray(labels)
    losses: dict[str, float] = {}
    if method == "auto":
        method, losses = _chosen(z, y, np.asarray(subjects, dtype=np.str_), shares)
    fitted = _fit(method, z, y, shares)
    return fitted.model_copy(update={"subjects": fitted_on, "cross_validated": losses})


def fit_platt(z: Floats, y: Labels) -> Calibration:
    """Slope and offset of the log odds, with Platt's targets, which keep them finite where no cell is wrong.

    Args:
        z: (N,) logit of the second class less that of the first.
        y: (N,) 0 or 1.
    """
    low, high = 1 / TEMPERATURES[1], 1 / TEMPERATURES[0]
    (slope,), offset = _logistic([z], y, (low, high))
    return Calibration(method="platt", temperature=1 / slope, bias=(0.0, offset))


def fit_beta(z: Floats, y: Labels) -> Calibration:
    """Two slopes, one for each end of the scale, neither negative, and an offset; arguments as of
    :func:`fit_platt`."""
    (a, b), c = _logistic(list(beta_features(z)), y, (0.0, 1 / TEMPERATURES[0]))
    return Calibration(method="beta", beta=(a, b, c))


def fit_isotonic(z: Floats, y: Labels) -> Calibration:
    """The ascending steps nearest to the cells, joined by straight lines; arguments as of :func:`fit_platt`.

    No probability goes beyond 1 / (N + 2) from 0 or 1 (Laplace's rule), so that no single cell refutes it.
    """
    from sklearn.isotonic import IsotonicRegression

    least = 1 / (len(y) + 2)
    fitted = IsotonicRegression(y_min=least, y_max=1 - least).fit(z, y)
    knots = zip(fitted.X_thresholds_.tolist(), fitted.y_thresholds_.tolist(), strict=True)
    return Calibration(method="isotonic", knots=tuple(knots))


def _fit(method: str, z: Floats, y: Labels, shares: npt.ArrayLike | None) -> Calibration:
    if method == "temperature":
        return fit_temperature(z, y, shares=shares)
    if len(np.unique(y)) < 2:
        raise UsageError(f"{method} calibration needs cells of both classes", hint="add subjects")
    return _OF_TWO_CLASSES[method](difference(z), y)


_OF_TWO_CLASSES: dict[str, Callable[[Floats, Labels], Calibration]] = {
    "platt": fit_platt,
    "beta": fit_beta,
    "isotonic": fit_isotonic,
}


def _chosen(
    z: Floats, y: Labels, subjects: Names, shares: npt.ArrayLike | None
) -> tuple[CalibrationChoice, dict[str, float]]:
    """The method, and every method's log loss on subjects left out; none where nothing can be chosen by."""
    from sklearn.model_selection import StratifiedGroupKFold

    fewest = min(len(np.unique(subjects[y == label])) for label in range(z.shape[-1]))
    if z.shape[-1] != 2 or fewest < FEWEST_SUBJECTS:
        return "temperature", {}
    losses = {method: np.empty(len(y)) for method in ("temperature", *_OF_TWO_CLASSES)}
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    for others, held in folds.split(z, y, subjects):
        if len(np.unique(y[others])) < 2:  # one person has nearly all cells of a class
            return "temperature", {}
        for method, loss in losses.items():
            p = _fit(method, z[others], y[others], shares).apply(z[held])
            loss[held] = -np.log(p[np.arange(len(held)), y[held]])
    best = min(losses, key=lambda method: losses[method].mean())
    gain = losses["temperature"] - losses[best]
    chosen = best if gain.mean() > _standard_error(gain, subjects) else "temperature"
    means = {method: float(loss.mean()) for method, loss in losses.items()}
    return chosen, means  # type: ignore[return-value]  # a key of the dict is a name of a method


def _standard_error(values: Floats, subjects: Names) -> float:
    """Of the mean of the cells, subjects being independent and their cells not."""
    _, index = np.unique(subjects, return_inverse=True)
    sums = np.bincount(index, values - values.mean())
    return float(np.sqrt((sums**2).sum() * len(sums) / (len(sums) - 1)) / len(values))


def _logistic(features: list[Floats], y: Labels, slopes: tuple[float, float]) -> tuple[list[float], float]:
    """Slopes within limits and offset of the logistic regression with Platt's targets."""
    from scipy.optimize import minimize

    num = len(y), int(y.sum())
    target = np.where(y == 1, (num[1] + 1) / (num[1] + 2), 1 / (num[0] - num[1] + 2))
    x = np.column_stack([*features, np.ones(len(y))])

    def loss(weights: Floats) -> tuple[float, Floats]:
        odds = x @ weights
        value = np.logaddexp(0, odds) - target * odds
        return float(value.mean()), x.T @ (np.exp(-np.logaddexp(0, -odds)) - target) / len(y)

    start = [*(1.0 for _ in features), 0.0]
    bounds = [slopes] * len(features) + [(None, None)]
    found = minimize(
        loss, start, jac=True, bounds=bounds, method="L-BFGS-B", options={"ftol": 1e-15, "gtol": 1e-9}
    )
    *slope, offset = map(float, found.x)
    return slope, offset
