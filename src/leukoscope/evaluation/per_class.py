"""How the K classes are told apart, where there are more than two."""

from __future__ import annotations

import numpy as np

from leukoscope.core.config import Config
from leukoscope.evaluation import metrics
from leukoscope.evaluation.table import PredictionTable


class ClassRow(Config):
    """One class against the rest; a cell is called the class with the highest probability.

    Attributes:
        name: of the class; ``positive`` says whether it counts as blast.
        num_cells: judged cells of it.
        sensitivity, ppv, f1: of the calls, ``None`` where undefined.
        auroc: of ``probability_<class>``, ``None`` where undefined.
        called: class name -> its cells that are called so: a row of the confusion matrix.
    """

    name: str
    positive: bool
    num_cells: int
    sensitivity: float | None
    ppv: float | None
    f1: float | None
    auroc: float | None
    called: dict[str, int]


def class_rows(table: PredictionTable) -> list[ClassRow]:
    """One row a class; none for two classes, or where the table lacks ``probability_<class>``."""
    columns = [f"probability_{name}" for name in table.classes]
    judged = table.judged
    if len(columns) < 3 or not set(columns) <= set(judged.columns) or not judged.height:
        return []
    probabilities = judged.select(columns).fill_null(np.nan).to_numpy()
    if np.isnan(probabilities).any():
        return []
    labels, called = judged["label"].to_numpy(), np.asarray(table.classes)[probabilities.argmax(axis=1)]
    return [
        _row(table, name, labels, called, probabilities[:, place]) for place, name in enumerate(table.classes)
    ]


def _row(
    table: PredictionTable, name: str, labels: np.ndarray, called: np.ndarray, probability: np.ndarray
) -> ClassRow:
    truth = labels == name
    counts = metrics.confusion(truth, called == name)
    f1 = 2 * counts.tp / (2 * counts.tp + counts.fp + counts.fn) if truth.any() else float("nan")
    return ClassRow(
        name=name,
        positive=name in table.positive_classes,
        num_cells=int(truth.sum()),
        sensitivity=_known(metrics.sensitivity(counts)),
        ppv=_known(metrics.ppv(counts)),
        f1=_known(f1),
        auroc=_known(metrics.auroc(truth, probability)),
        called={other: int((truth & (called == other)).sum()) for other in table.classes},
    )


def _known(value: float | np.ndarray) -> float | None:
    return float(value) if np.isfinite(value) else None
