"""One recipe's figures over several partitions of the same people into folds.

Which people train together moves a figure by several hundredths, so that one partition says little. Every
metric here is the mean over partitions, and its interval is that of the mean: each draw of subjects is read
in all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from leukoscope.cohort.manifest import Manifest
from leukoscope.core.config import Config
from leukoscope.errors import TableError
from leukoscope.evaluation.bootstrap import NUM_DRAWS
from leukoscope.evaluation.paired import Difference, differences
from leukoscope.evaluation.readings import Bools, Cells, Floats, Judgement, Metric
from leukoscope.evaluation.size_baseline import size_baseline
from leukoscope.evaluation.size_matched import (
    box_areas,
    overlap_weights,
    read_size_matched,
)
from leukoscope.evaluation.subgroups import with_measures
from leukoscope.evaluation.subject_table import SubjectMeans, SubjectRow, subject_means, subject_rows
from leukoscope.evaluation.table import PredictionTable


@dataclass(frozen=True)
class MeanJudgement(Judgement):
    """Judgements of the same cells by models of several partitions; ``p`` is that of the first.

    Attributes:
        each: all of them.
    """

    each: tuple[Judgement, ...] = ()

    @classmethod
    def of(cls, judgements: Sequence[Judgement]) -> MeanJudgement:
        """Put them together."""
        first = judgements[0]
        return cls(first.cells, first.p, first.threshold, tuple(judgements))

    @cached_property
    def values(self) -> dict[str, Floats]:
        """name -> (1 + B,): the mean over partitions, on the table and on each draw of subjects."""
        return _mean([judgement.values for judgement in self.each])

    def part(self, kept: Bools) -> MeanJudgement:
        """The same on some of the cells."""
        return self if kept.all() else MeanJudgement.of([judgement.part(kept) for judgement in self.each])


class Evidence(Config):
    """What stands beside the metrics of a model: the ruler, sizes set aside, people one by one.

    Attributes:
        num_partitions: that all figures are means over.
        estimates: name -> the estimate in each partition.
        size: name -> reading of the ruler; ``None`` where sizes or folds are unknown.
        minus_size: name -> difference to the ruler on the same draws.
        size_matched: name -> reading with both classes weighted to one distribution of sizes.
        size_size_matched: the same of the ruler.
        without: subject -> its cells' AUROC and weighted F1 left out of the pool; nothing is trained again.
        subjects: one row a subject, accuracies and fractions being means over partitions.
        subject_means: of those rows.
    """

    num_partitions: int
    estimates: dict[str, list[float | None]]
    size: dict[str, Metric] | None
    minus_size: dict[str, Difference] | None
    size_matched: dict[str, Metric] | None
    size_size_matched: dict[str, Metric] | None
    without: dict[str, dict[str, Metric]]
    subjects: list[SubjectRow]
    subject_means: SubjectMeans


def read_partitions(
    tables: Sequence[PredictionTable],
    data: Manifest | None,
    *,
    without: Sequence[str] = (),
    threshold: float = 0.5,
    draws: int = NUM_DRAWS,
    seed: int = 0,
) -> tuple[dict[str, Metric], Evidence]:
    """Judge pooled out-of-fold tables of several partitions together, or test rows of one.

    Args:
        tables: one of each partition, of the same cells.
        data: manifest with the sizes of the cells, for the ruler; the folds are the tables'.
        without: subjects that are left out in turn.
        threshold: a cell is called a blast from it on.
        draws: of the subject bootstrap; 0 gives no intervals.
        seed: of the draws.

    Raises:
        TableError: when the tables do not hold the same labelled, readable cells.
    """
    tables = aligned(tables)
    first = tables[0]
    ids = None if (first.subjects == "").any() else first.subjects
    cells = Cells(first.y, ids, draws, seed)
    model = MeanJudgement.of([Judgement(cells, table.p, threshold) for table in tables])
    rulers = [p for table in tables if (p := size_baseline(table, data).p) is not None]
    known: Bools = np.zeros(len(first.p), dtype=np.bool_)
    if len(rulers) == len(tables):
        known = np.logical_and.reduce(np.isfinite(np.stack(rulers)), axis=0)
    ruler = None
    if known.any():
        ruler = MeanJudgement.of([Judgement(cells, p, threshold) for p in rulers]).part(known)
    weights = None if data is None else overlap_weights(first.y, box_areas(with_measures(first.judged, data)))
    rows = _mean_rows([subject_rows(table.judged, table.y, table.p, threshold=threshold) for table in tables])
    return model.metrics, Evidence(
        num_partitions=len(tables),
        estimates={
            name: [judgement.metrics[name].estimate for judgement in model.each] for name in model.metrics
        },
        size=ruler.metrics if ruler else None,
        minus_size=differences(model.part(known), ruler) if ruler else None,
        size_matched=read_size_matched(model.each, weights),
        size_size_matched=None
        if ruler is None or weights is None
        else read_size_matched(ruler.each, weights[known]),
        without={subject: _without(model, subject) for subject in without},
        subjects=rows,
        subject_means=subject_means(rows, first.positive_classes, draws=draws, seed=seed),
    )


def aligned(tables: Sequence[PredictionTable]) -> list[PredictionTable]:
    """The judged rows of each table, in the order of the first.

    Raises:
        TableError: when the tables do not hold the same labelled, readable cells.
    """
    first = tables[0].judged.select("cell_id")
    aligned = []
    for table in tables:
        judged = table.judged
        frame = first.join(judged, on="cell_id", how="left", maintain_order="left")
        same = judged.height == first.height and not judged["cell_id"].is_duplicated().any()
        if not same or frame["label"].null_count():
            raise TableError(
                "the tables of the partitions hold other cells each",
                hint="pool the test rows of all folds of each partition of one cohort",
            )
        aligned.append(PredictionTable(frame, table.metadata))
    return aligned


def _without(model: MeanJudgement, subject: str) -> dict[str, Metric]:
    if model.cells.subject_ids is None:
        return {}
    metrics = model.part(model.cells.subject_ids != subject).metrics
    return {name: metrics[name] for name in ("auroc", "weighted_f1")}


def _mean(values: Sequence[dict[str, Floats]]) -> dict[str, Floats]:
    return {name: np.mean([one[name] for one in values], axis=0) for name in values[0]}


def _mean_rows(tables: Sequence[Sequence[SubjectRow]]) -> list[SubjectRow]:
    means = ("accuracy", "blast_fraction", "mean_probability")
    return [
        rows[0]
        .model_copy(update={name: float(np.mean([getattr(row, name) for row in rows])) for name in means})
        .with_interval()
        for rows in zip(*tables, strict=True)
    ]
