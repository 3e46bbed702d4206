"""A cross-validated table fold by fold: what pooling its rows hides."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from leukoscope.core.config import Config
from leukoscope.evaluation import metrics
from leukoscope.evaluation.bootstrap import MIN_SUBJECTS, called_counts
from leukoscope.evaluation.ranking import ratio
from leukoscope.evaluation.readings import (
    Bools,
    Cells,
    Floats,
    Judgement,
    Metric,
    interval_of_reading,
    read_metric,
)
from leukoscope.evaluation.reliability import bin_shares
from leukoscope.evaluation.subject_pairs import auroc_of_draws
from leukoscope.evaluation.subject_table import natural

SHOWN = ("weighted_f1", "auroc", "sensitivity", "specificity", "ece")
MOST_NAMED = 10


class FoldRow(Config):
    """What the model of one fold reads on the people that it did not see.

    Attributes:
        fold: its number, as text.
        num_cells, num_blasts, num_normals: judged in it.
        num_blast_subjects, num_normal_subjects: whose they are; ``None`` where subjects are not known.
        metrics: the headline metrics with their intervals. While subjects are drawn, the bins of the
            calibration error stay where they are.
    """

    fold: str
    num_cells: int
    num_blasts: int
    num_normals: int
    num_blast_subjects: int | None
    num_normal_subjects: int | None
    metrics: dict[str, Metric]


class FoldSpread(Config):
    """How one metric differs between the folds where it is defined.

    Attributes:
        mean, standard_deviation: over the folds, each counting once; the deviation needs two.
        lowest, highest: of a fold.
        num_folds: that it is over.
    """

    mean: float
    standard_deviation: float | None
    lowest: float
    highest: float
    num_folds: int


class FoldReading(Config):
    """A cross-validated table fold by fold.

    Attributes:
        rows: by fold.
        spread: name -> how the folds differ; a metric that is undefined in all is not in it.
        mean_auroc: mean of the AUROCs within the folds that have both classes. Cells of different models are
            never ranked against each other in it.
        shared_subjects: people with cells in several folds, at most 10: their model has seen them.
        num_shared_subjects: how many they are.
        notes: what a reader of these figures must know.
    """

    rows: list[FoldRow]
    spread: dict[str, FoldSpread]
    mean_auroc: Metric
    shared_subjects: tuple[str, ...] = ()
    num_shared_subjects: int = 0
    notes: list[str]


def read_folds(model: Judgement, folds: npt.NDArray[np.str_]) -> FoldReading:
    """Judge every fold by itself.

    Args:
        model: what was read on all N cells.
        folds: (N,) the fold of each cell, see :func:`judged_rows.folds`.
    """
    names = sorted(np.unique(folds).tolist(), key=natural)
    parts = [_part(model, folds == name, number) for number, name in enumerate(names)]
    rows = [_row(name, part) for name, part in zip(names, parts, strict=True)]
    shared = _shared(model.cells.subject_ids, folds)
    mean_auroc = _mean_auroc(parts)
    few = [note for kind in ("blast", "normal") for note in _few(kind, rows, parts)]
    return FoldReading(
        rows=rows,
        spread={name: found for name in SHOWN if (found := _spread(rows, name)) is not None},
        mean_auroc=mean_auroc,
        shared_subjects=tuple(shared[:MOST_NAMED]),
        num_shared_subjects=len(shared),
        notes=[*_shared_note(shared), *few, *_pooled_note(model, mean_auroc)],
    )


def _part(model: Judgement, kept: Bools, number: int) -> Judgement:
    """A fold with draws of its own people, which are not those of another fold of as many."""
    cells = model.cells
    ids = None if cells.subject_ids is None else cells.subject_ids[kept]
    drawn = Cells(cells.y[kept], ids, cells.num_draws, cells.seed + number, cells.method)
    return Judgement(drawn, model.p[kept], model.threshold)


def _row(fold: str, part: Judgement) -> FoldRow:
    cells = part.cells
    known = cells.subject_ids is not None
    return FoldRow(
        fold=fold,
        num_cells=len(part.p),
        num_blasts=int(cells.y.sum()),
        num_normals=int((~cells.y).sum()),
        num_blast_subjects=cells.subjects.num_with(blasts=True) if known else None,
        num_normal_subjects=cells.subjects.num_with(blasts=False) if known else None,
        metrics=_metrics(part),
    )


def _metrics(part: Judgement) -> dict[str, Metric]:
    cells, called = part.cells, part.p >= part.threshold
    counts = called_counts(cells.y, called, cells.subjects, cells.times)
    values = {name: metrics.CALLED[name](counts) for name in SHOWN if name in metrics.CALLED}
    values |= {"auroc": _aurocs(part), "ece": _calibration_errors(part)}
    return {
        name: read_metric(
            name, values[name], cells, called, threshold=part.threshold if name in metrics.CALLED else None
        )
        for name in SHOWN
    }


def _aurocs(part: Judgement) -> Floats:
    return auroc_of_draws(part.cells.y, part.p, part.cells.subjects, part.cells.times)


def _calibration_errors(part: Judgement) -> Floats:
    """(1 + B,): ECE over 15 bins that hold equally many of the fold's cells and stay where they are."""
    cells = part.cells
    off = bin_shares(part) * (cells.y - part.p)[:, None]
    sums = cells.times @ cells.subjects.totals(np.column_stack([off, np.ones(len(part.p))]))
    return ratio(np.abs(sums[:, :-1]).sum(axis=1), sums[:, -1])


def _mean_auroc(parts: list[Judgement]) -> Metric:
    both = [part for part in parts if part.cells.y.any() and not part.cells.y.all()]
    if not both:
        reason = "undefined: no fold has both classes"
        return Metric(estimate=None, num_cells=0, num_subjects=0, reason=reason)
    values = np.mean([_aurocs(part) for part in both], axis=0)
    # The fold with the fewest people of a class says how wide the interval must be, or that there is none.
    fewest = min(
        both, key=lambda part: min(part.cells.subjects.num_with(blasts=kind) for kind in (True, False))
    )
    found = interval_of_reading("auroc", values, fewest.cells)
    known = both[0].cells.subject_ids is not None
    return Metric(
        estimate=float(values[0]),
        ci_low=found.low,
        ci_high=found.high,
        num_cells=sum(len(part.p) for part in both),
        num_subjects=sum(len(part.cells.subjects.names) for part in both) if known else None,
        reason=found.reason,
    )


def _spread(rows: list[FoldRow], name: str) -> FoldSpread | None:
    found = [value for row in rows if (value := row.metrics[name].estimate) is not None]
    if not found:
        return None
    return FoldSpread(
        mean=float(np.mean(found)),
        standard_deviation=float(np.std(found, ddof=1)) if len(found) > 1 else None,
        lowest=min(found),
        highest=max(found),
        num_folds=len(found),
    )


def _shared(subject_ids: npt.NDArray[np.str_] | None, folds: npt.NDArray[np.str_]) -> list[str]:
    if subject_ids is None:
        return []
    pairs = np.unique(np.stack([subject_ids, folds]), axis=1)
    names, times = np.unique(pairs[0], return_counts=True)
    return sorted(names[times > 1].tolist(), key=natural)


def _shared_note(shared: list[str]) -> list[str]:
    if not shared:
        return []
    return [
        f"{len(shared):,} subjects have cells in several folds ({_listed(shared)}): their cells were judged "
        "by models that had seen them, and say nothing about new people."
    ]


def _few(kind: str, rows: list[FoldRow], parts: list[Judgement]) -> list[str]:
    """What rests on few people of a class: a note on one such fold, or one on all of them."""
    found: list[tuple[str, list[str], int]] = []
    for row, part in zip(rows, parts, strict=True):
        subjects = part.cells.subjects
        of = subjects.num_blasts > 0 if kind == "blast" else subjects.num_normals > 0
        if part.cells.subject_ids is not None and 0 < of.sum() < MIN_SUBJECTS:
            names = sorted(subjects.names[of].tolist(), key=natural)
            found.append((row.fold, names, row.num_blasts if kind == "blast" else row.num_normals))
    metric = "sensitivity" if kind == "blast" else "specificity"
    if not found:
        return []
    if len(found) == 1:
        return [_few_note(kind, metric, *found[0])]
    told = "; ".join(f"fold {fold} {_listed(names)} ({num:,} cells)" for fold, names, num in found)
    return [
        f"{len(found)} folds have few {kind} subjects: {told}. Their {metric} is a statistic of these "
        "people, however many cells there are, so no interval is given."
    ]


def _few_note(kind: str, metric: str, fold: str, names: list[str], num_cells: int) -> str:
    num = len(names)
    people = f"{num} {kind} subject{'' if num == 1 else 's'}"
    whom = "this one person" if num == 1 else f"these {num} people"
    return (
        f"Fold {fold} has {people}: {_listed(names)}. Its {metric} is a statistic of {whom}, however many "
        f"cells there are ({num_cells:,}), so no interval is given."
    )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def _pooled_note(model: Judgement, mean_auroc: Metric) -> list[str]:
    pooled = model.metrics["auroc"].estimate
    if pooled is None or mean_auroc.estimate is None:
        return []
    return [
        "The pooled AUROC ranks cells of different models against each other, as if all had one scale: it "
        f"reads {pooled:.3f}, the mean of the AUROCs within the folds {mean_auroc.estimate:.3f}."
    ]
