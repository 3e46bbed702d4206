"""What is left without the ruler: cells weighted so that both classes have one distribution of sizes.

A cell of a size at which the other class is common counts much, one of a size that only its own class has
counts nothing (overlap weights: Li, Morgan & Zaslavsky 2018), with the size cut into bins of equal numbers of
cells. Within every bin both classes then weigh the same, and so nothing that depends on the bin alone reads
more than chance.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from leukoscope.evaluation import metrics
from leukoscope.evaluation.bootstrap import called_counts
from leukoscope.evaluation.readings import Bools, Floats, Judgement, Metric, read_metric
from leukoscope.evaluation.ruler import features_of
from leukoscope.evaluation.subject_pairs import auroc_of_draws

NUM_BINS = 20
NAMES = ("auroc", "balanced_accuracy", "sensitivity", "specificity")


def overlap_weights(y: Bools, size: Floats, *, num_bins: int = NUM_BINS) -> Floats:
    """(N,) weight of each cell: the share of the other class among the cells of about its size.

    Args:
        y: (N,) is it a blast?
        size: (N,) such as the area of the box in pixels; NaN, where it is unknown, weighs nothing.
        num_bins: of equal numbers of cells.

    >>> overlap_weights(np.array([True, True, True, False]), np.array([9.0, 9.0, 2.0, 9.0]), num_bins=2)
    array([0.33333333, 0.33333333, 0.        , 0.66666667])
    """
    known = np.isfinite(size)
    if not known.any():
        return np.zeros(len(y))
    edges = np.quantile(size[known], np.linspace(0, 1, num_bins + 1)[1:-1])
    place = np.where(known, np.searchsorted(edges, size, side="right"), 0)
    blasts = np.bincount(place[known], weights=y[known], minlength=num_bins)
    cells = np.bincount(place[known], minlength=num_bins)
    share = (blasts / np.maximum(cells, 1))[place]
    return np.where(known, np.where(y, 1 - share, share), 0.0)


def box_areas(rows: pl.DataFrame) -> Floats:
    """(N,) logarithm of the area of each cell's box, NaN where it is unknown."""
    if not {"cell_width", "cell_height"} <= set(rows.columns):
        return np.full(rows.height, np.nan)
    return features_of(rows, ("log_area",))[:, 0]


def size_matched_values(judgement: Judgement, weights: Floats) -> dict[str, Floats]:
    """name -> (1 + B,): some metrics of weighted cells, on the table and on each draw of subjects.

    Args:
        judgement: of N cells.
        weights: (N,) of :func:`overlap_weights`.
    """
    cells, called = judgement.cells, judgement.p >= judgement.threshold
    areas = auroc_of_draws(cells.y, judgement.p, cells.subjects, cells.times, weights=weights)
    counts = called_counts(cells.y, called, cells.subjects, cells.times, weights=weights)
    shares = {name: metrics.CALLED[name](counts) for name in NAMES[1:]}
    return {"auroc": areas, **shares}


def read_size_matched(judgements: Sequence[Judgement], weights: Floats | None) -> dict[str, Metric] | None:
    """The metrics of :func:`size_matched_values` with intervals, means over judgements of the same cells.

    ``None`` where no size is known or shared by the classes.
    """
    if weights is None or not weights.any():
        return None
    each = [size_matched_values(one, weights) for one in judgements]
    cells, called = judgements[0].cells, judgements[0].p >= judgements[0].threshold
    values = {name: np.mean([one[name] for one in each], axis=0) for name in NAMES}
    return {name: read_metric(name, values[name], cells, called) for name in NAMES}
