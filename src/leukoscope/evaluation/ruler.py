"""The ruler: how far the size of a cell alone goes.

Leukaemic cells are larger than normal ones, so a logistic regression on the bounding box reads much of what
published networks read. Every report shows it beside the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import model_validator

from leukoscope.core.config import Config
from leukoscope.errors import UsageError

Floats = npt.NDArray[np.float64]

_width, _height = pl.col("cell_width").cast(pl.Float64), pl.col("cell_height").cast(pl.Float64)

RULER_FEATURES: dict[str, pl.Expr] = {
    "width": _width,
    "height": _height,
    "log_area": (_width * _height).log(),
    "log_aspect": (_width / _height).log(),
}
"""What the ruler may measure, from the bounding box of a cell in pixels; the area is that of the box."""

SIZE_AND_SHAPE = ("log_area", "log_aspect")


class Ruler(Config):
    """A logistic regression on the size of a cell.

    Attributes:
        features: names from :data:`RULER_FEATURES`.
        mean, scale: of each feature on the cells it was fitted on.
        coefficients: one for each standardised feature: change of the log odds for one ``scale`` more.
        intercept: of the linear predictor.
    """

    features: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    coefficients: tuple[float, ...]
    intercept: float

    @model_validator(mode="after")
    def _complete(self) -> Self:
        unknown = [name for name in self.features if name not in RULER_FEATURES]
        if unknown:
            raise ValueError(
                f"features must be among {', '.join(RULER_FEATURES)}, found {', '.join(unknown)}"
            )
        if {len(self.mean), len(self.scale), len(self.coefficients)} != {len(self.features)}:
            raise ValueError("mean, scale and coefficients must have one number for each feature")
        return self

    def predict(self, frame: pl.DataFrame) -> Floats:
        """Probability of a blast for each row, shape (N,); NaN where the size is unknown.

        Args:
            frame: with ``cell_width`` and ``cell_height`` in pixels.
        """
        measured = features_of(frame, self.features)
        standard = (measured - np.asarray(self.mean)) / np.asarray(self.scale)
        linear = standard @ np.asarray(self.coefficients) + self.intercept
        return np.asarray(1 / (1 + np.exp(-linear)))


def features_of(frame: pl.DataFrame, features: Sequence[str] = SIZE_AND_SHAPE) -> Floats:
    """The features of each row, shape (N, F); NaN where the size is unknown or zero."""
    known = pl.all_horizontal(pl.col("cell_width") > 0, pl.col("cell_height") > 0)
    measured = frame.select(pl.when(known).then(RULER_FEATURES[name]).alias(name) for name in features)
    return measured.to_numpy().astype(np.float64)


def fit_ruler(frame: pl.DataFrame, labels: npt.ArrayLike, features: Sequence[str] = SIZE_AND_SHAPE) -> Ruler:
    """Fit the ruler on the rows whose size is known.

    Args:
        frame: with ``cell_width`` and ``cell_height`` in pixels.
        labels: (N,) 1 or True for a blast, 0 or False for a normal cell.
        features: names from :data:`RULER_FEATURES`.

    Raises:
        UsageError: when fewer than two classes have cells of known size.
    """
    from sklearn.linear_model import LogisticRegression

    measured, y = features_of(frame, features), np.asarray(labels).astype(bool)
    known = np.isfinite(measured).all(axis=1)
    measured, y = measured[known], y[known]
    if len(np.unique(y)) < 2:
        received = f"{y.sum()} blasts, {(~y).sum()} normal"
        raise UsageError(
            f"the ruler needs blasts and normal cells of known size. Received: {received}",
            hint="index the cells again with 'leukoscope data index', which measures them",
        )
    mean, scale = measured.mean(axis=0), measured.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    # The penalty (C = 1) is on the features in pixels and logarithms, not on standardised ones: so the
    # published readings of the ruler were made. Newton's method does not mind their different sizes.
    model = LogisticRegression(solver="newton-cholesky").fit(measured - mean, y)
    return Ruler(
        features=tuple(features),
        mean=tuple(mean.tolist()),
        scale=tuple(scale.tolist()),
        coefficients=tuple((model.coef_[0] * scale).tolist()),
        intercept=float(model.intercept_[0]),
    )


def out_of_fold_ruler(
    frame: pl.DataFrame, *, positive: Sequence[str] = ("blast",), features: Sequence[str] = SIZE_AND_SHAPE
) -> Floats:
    """For each row, what a ruler says that was fitted on the labelled rows of all other folds; shape (N,).

    NaN where the fold or the size is unknown. Rows that share a subject must share a fold.

    Args:
        frame: with ``cell_width``, ``cell_height``, ``label`` (class name or null) and ``fold``.
        positive: the class names that count as blast.
        features: names from :data:`RULER_FEATURES`.

    Raises:
        UsageError: when there are not two folds, or one fold's complement lacks a class.
    """
    folds = frame["fold"].drop_nulls().unique().sort().to_list()
    if len(folds) < 2:
        raise UsageError(f"a ruler fitted fold-wise needs at least two folds, found {len(folds)}")
    result = np.full(frame.height, np.nan)
    for fold in folds:
        here = (frame["fold"] == fold).fill_null(False).to_numpy()
        others = frame.filter((pl.col("fold") != fold) & pl.col("label").is_not_null())
        ruler = fit_ruler(others, others["label"].is_in(list(positive)).to_numpy(), features)
        result[here] = ruler.predict(frame.filter(here))
    return result
