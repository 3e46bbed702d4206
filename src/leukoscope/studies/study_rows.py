"""What a study found, as typed rows: from the runs' tables to figures with intervals, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import polars as pl
from pydantic import Field

from leukoscope.core.config import Config
from leukoscope.evaluation.bootstrap import NUM_DRAWS
from leukoscope.evaluation.paired import Difference, differences
from leukoscope.evaluation.partitions import MeanJudgement, read_partitions
from leukoscope.evaluation.readings import Cells, Judgement, Metric
from leukoscope.evaluation.table import STAMPS, PredictionTable
from leukoscope.recipes.schema import Published
from leukoscope.studies.gap import Gap, read_gap
from leukoscope.studies.outcome import Cost, Energy, Job, Need, Outcome, Status
from leukoscope.studies.study_splits import Parting
from leukoscope.studies.suite import Entry, ReadingName, WeightsName

PREDICTIONS = "predictions.parquet"
SHOWN = ("accuracy", "log_loss", "sensitivity", "weighted_f1", "auroc")
"""Metrics of the table: accuracy, loss and recall as the documents give them, and what stands beside."""

NOT_PAIRED = "no interval: the two readings judge other cells"


class Reading(Config):
    """What one recipe reads by one way of parting the cells, over its seeds.

    Attributes:
        status: ``done`` where at least one seed is.
        reason: why it is not, or why some seeds are not.
        parting: how the cells were parted; ``None`` where there was no run.
        stamps: ``LEAKY``, ``SYNTHETIC``.
        seeds: of the runs that are done.
        metrics: name -> mean over the seeds, with its interval by subject.
        size: the same of the ruler, the size of the cells alone.
        num_cells, num_subjects: that were judged.
        weights: what it started from, in words.
        cost: means over the seeds; memory is the largest.
        gap: between training and validation at the kept epoch.
        folders: of the runs, below the study's folder.
    """

    status: Status
    reason: str = ""
    parting: Parting | None = None
    stamps: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    metrics: dict[str, Metric] = Field(default_factory=dict)
    size: dict[str, Metric] = Field(default_factory=dict)
    num_cells: int = 0
    num_subjects: int | None = None
    weights: str = ""
    cost: Cost | None = None
    gap: Gap | None = None
    folders: tuple[str, ...] = ()


class Row(Config):
    """One recipe of a study.

    Attributes:
        recipe, title, published: of the recipe.
        starts_random: its document starts from random weights, so that it has no pretrained column.
        need: parameters and multiply-adds; ``None`` where it was not counted.
        readings: weights -> reading -> what it reads.
        leak: weights -> metric -> image less subject: what people on both sides add.
    """

    recipe: str
    title: str
    published: Published
    starts_random: bool
    need: Need | None
    readings: dict[WeightsName, dict[ReadingName, Reading]]
    leak: dict[WeightsName, dict[str, Difference]]


@dataclass(frozen=True)
class Finished:
    """A run with how it ended."""

    job: Job
    outcome: Outcome


def read_rows(
    entries: Sequence[Entry], runs: Sequence[Finished], out: Path, *, draws: int = NUM_DRAWS
) -> list[Row]:
    """One row for each recipe of the study, in their order.

    Args:
        entries: the recipes.
        runs: of them, each with its outcome.
        out: the study's folder.
        draws: of the subject bootstrap.
    """
    return [
        _row(entry, [run for run in runs if run.job.name == entry.recipe.name], out, draws)
        for entry in entries
    ]


def _row(entry: Entry, runs: Sequence[Finished], out: Path, draws: int) -> Row:
    readings: dict[WeightsName, dict[ReadingName, Reading]] = {}
    leak: dict[WeightsName, dict[str, Difference]] = {}
    for weights in dict.fromkeys(run.job.weights for run in runs):
        here = [run for run in runs if run.job.weights == weights]
        judged: dict[ReadingName, tuple[Reading, MeanJudgement | None, list[str]]] = {
            name: _read([run for run in here if run.job.reading == name], out, draws)
            for name in dict.fromkeys(run.job.reading for run in here)
        }
        readings[weights] = {name: found[0] for name, found in judged.items()}
        if "image" in judged and "subject" in judged:
            leak[weights] = _leak(judged["image"], judged["subject"])
    needs = [run.outcome.need for run in runs if run.outcome.need is not None]
    return Row(
        recipe=entry.recipe.name,
        title=entry.recipe.title,
        published=entry.recipe.published,
        starts_random=entry.recipe.model.weights == "none" and "pretrained" not in readings,
        need=needs[0] if needs else None,
        readings=readings,
        leak=leak,
    )


def _read(runs: Sequence[Finished], out: Path, draws: int) -> tuple[Reading, MeanJudgement | None, list[str]]:
    """The reading over its seeds, the judgement behind it, and the ids of the judged cells in its order."""
    done = [run for run in runs if run.outcome.status == "done"]
    others = [run for run in runs if run.outcome.status != "done"]
    if not done:
        first = others[0]
        return (
            Reading(status=first.outcome.status, reason=first.outcome.reason, parting=first.job.parting),
            None,
            [],
        )
    tables = [_test_rows(PredictionTable.read(run.job.folder / PREDICTIONS)) for run in done]
    metrics, evidence = read_partitions(tables, None, draws=draws)
    judged = tables[0].judged
    first_table = tables[0]
    ids = None if (first_table.subjects == "").any() else first_table.subjects
    cells = Cells(first_table.y, ids, draws, 0)
    ordered = [_in_order(table, judged["cell_id"]) for table in tables]
    return (
        Reading(
            status="done",
            reason="; ".join(f"seed {run.job.seed}: {run.outcome.reason}" for run in others),
            parting=done[0].job.parting,
            stamps=tuple(name.upper() for name in STAMPS if first_table.metadata.get(name) == "true"),
            seeds=tuple(run.job.seed for run in done),
            metrics=metrics,
            size=evidence.size or {},
            num_cells=judged.height,
            num_subjects=None if ids is None else len(cells.subjects.names),
            weights=done[0].outcome.weights,
            cost=_mean_cost([run.outcome.cost for run in done if run.outcome.cost is not None]),
            gap=read_gap([(run.job.folder, run.outcome.best_epochs) for run in done]),
            folders=tuple(run.job.folder.relative_to(out).as_posix() for run in done),
        ),
        MeanJudgement.of([Judgement(cells, table.p, 0.5) for table in ordered]),
        judged["cell_id"].to_list(),
    )


def _test_rows(table: PredictionTable) -> PredictionTable:
    """The rows that were tested; pooled out-of-fold rows are all test rows."""
    return PredictionTable(table.frame.filter(pl.col("split") == "test"), table.metadata)


def _in_order(table: PredictionTable, cell_ids: pl.Series) -> PredictionTable:
    frame = cell_ids.to_frame().join(table.judged, on="cell_id", how="left", maintain_order="left")
    return PredictionTable(frame, table.metadata)


def _mean_cost(costs: Sequence[Cost]) -> Cost | None:
    if not costs:
        return None
    energies = [cost.energy for cost in costs if cost.energy is not None]
    predicted = [cost.predicted_per_second for cost in costs if cost.predicted_per_second is not None]
    return Cost(
        seconds=fmean(cost.seconds for cost in costs),
        cells_per_second=fmean(cost.cells_per_second for cost in costs),
        predicted_per_second=fmean(predicted) if predicted else None,
        memory_bytes=max((cost.memory_bytes for cost in costs if cost.memory_bytes), default=None),
        gpu_bytes=max((cost.gpu_bytes for cost in costs if cost.gpu_bytes), default=None),
        energy=Energy(joules=fmean(one.joules for one in energies), source=energies[0].source)
        if energies
        else None,
        resumed=any(cost.resumed for cost in costs),
    )


def _leak(
    image: tuple[Reading, MeanJudgement | None, list[str]],
    subject: tuple[Reading, MeanJudgement | None, list[str]],
) -> dict[str, Difference]:
    """Image less subject; paired, with an interval, where both judged the same cells."""
    (one, first, cells), (other, second, other_cells) = image, subject
    if first is None or second is None:
        return {}
    if sorted(cells) != sorted(other_cells):
        return {name: _unpaired(one.metrics[name], other.metrics[name]) for name in SHOWN}
    where = {cell: place for place, cell in enumerate(other_cells)}
    order = [where[cell] for cell in cells]
    paired = MeanJudgement.of([Judgement(first.cells, each.p[order], each.threshold) for each in second.each])
    return differences(first, paired, SHOWN)


def _unpaired(first: Metric, second: Metric) -> Difference:
    known = first.estimate is not None and second.estimate is not None
    return Difference(
        first=first.estimate,
        second=second.estimate,
        difference=first.estimate - second.estimate if known else None,  # type: ignore[operator]
        num_cells=first.num_cells,
        num_subjects=first.num_subjects,
        reason=NOT_PAIRED if known else first.reason or second.reason,
    )


def failed(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Runs that went wrong: which, and why. What the machine cannot hold, or has no weights for, is not."""
    found = []
    for row in rows:
        for weights, readings in row.readings.items():
            found += [
                (f"{row.recipe}, by {name}, weights={weights}", reading.reason)
                for name, reading in readings.items()
                if reading.status == "failed" or (reading.status == "done" and reading.reason)
            ]
    return found


def by_reading(row: Row, weights: WeightsName) -> Mapping[ReadingName, Reading]:
    """The readings of a row with these weights; empty where there are none."""
    return row.readings.get(weights, {})
