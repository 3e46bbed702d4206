"""How the K classes are told apart, where there are more than two."""

from __future__ import annotations

import numpy as np

from leukoscope.core.config import Config
from leukoscope.evaluation import metrics
from leukoscope.evaluation.bootstrap import called_counts
from leukoscope.evaluation.ranking import ratio
from leukoscope.evaluation.readings import Bools, Cells, Floats, Metric, read_metric
from leukoscope.evaluation.subject_pairs import auroc_of_draws
from leukoscope.evaluation.table import PredictionTable


class ClassRow(Config):
    """One class against the rest; a cell is called the class with the highest probability.

    Attributes:
        name: of the class; ``positive`` says whether it counts as blast.
        num_cells: judged cells of it.
        metrics: ``sensitivity``, ``ppv`` and ``f1`` of the calls, ``auroc`` of ``probability_<class>``, with
            their intervals.
        called: class name -> its cells that are called so: a row of the confusion matrix.
    """

    name: str
    positive: bool
    num_cells: int
    metrics: dict[str, Metric]
    called: dict[str, int]


def class_rows(table: PredictionTable, cells: Cells) -> list[ClassRow]:
    """One row a class; none for two classes, or where the table lacks ``probability_<class>``.

    Args:
        table: that is judged.
        cells: its judged cells, for the draws of subjects.
    """
    columns = [f"probability_{name}" for name in table.classes]
    judged = table.judged
    if len(columns) < 3 or not set(columns) <= set(judged.columns) or not judged.height:
        return []
    probabilities = judged.select(columns).fill_null(np.nan).to_numpy()
    if np.isnan(probabilities).any():
        return []
    labels, called = judged["label"].to_numpy(), np.asarray(table.classes)[probabilities.argmax(axis=1)]
    return [
        ClassRow(
            name=name,
            positive=name in table.positive_classes,
            num_cells=int((labels == name).sum()),
            metrics=_metrics(cells, name, labels == name, called == name, probabilities[:, place]),
            called={other: int(((labels == name) & (called == other)).sum()) for other in table.classes},
        )
        for place, name in enumerate(table.classes)
    ]


def _metrics(cells: Cells, name: str, truth: Bools, called: Bools, probability: Floats) -> dict[str, Metric]:
    """One class against the rest, on draws of the subjects of both."""
    against = Cells(truth, cells.subject_ids, cells.num_draws, cells.seed, cells.method)
    counts = called_counts(truth, called, against.subjects, against.times)
    values = {
        "sensitivity": metrics.sensitivity(counts),
        "ppv": metrics.ppv(counts),
        "f1": ratio(2 * counts.tp, np.where(truth.any(), 2 * counts.tp + counts.fp + counts.fn, 0.0)),
        "auroc": auroc_of_draws(truth, probability, against.subjects, against.times),
    }
    return {key: _of_class(name, read_metric(key, value, against, called)) for key, value in values.items()}


def _of_class(name: str, metric: Metric) -> Metric:
    """The metric with a reason that speaks of this class, not of blasts."""
    reason = f"undefined: no cell or every cell is {name}, or is called so"
    return metric if metric.estimate is not None else metric.model_copy(update={"reason": reason})
