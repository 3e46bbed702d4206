"""Figures over several partitions: one is the ordinary evaluation, several are their mean."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from leukoscope.errors import TableError
from leukoscope.evaluation.evaluate import evaluate
from leukoscope.evaluation.partitions import read_partitions
from leukoscope.evaluation.table import PredictionTable


@pytest.fixture
def tables(make_table):
    """The same cells, read by models of two partitions, the second in another order."""
    first = make_table(blasts=7, normals=6, cells=40)
    random = np.random.default_rng(1)
    shaken = np.clip(first.p + random.normal(0, 0.2, len(first.p)), 0, 1)
    folds = pl.Series("fold", random.permutation(len(first.p)) % 3)
    second = first.frame.with_columns(pl.Series("blast_probability", shaken), folds)
    return [
        PredictionTable(
            first.frame.with_columns(pl.Series("fold", np.arange(len(first.p)) % 4)), first.metadata
        ),
        PredictionTable(second.sample(fraction=1, shuffle=True, seed=2), first.metadata),
    ]


@pytest.fixture
def manifest(tables, manifest_of):
    table = tables[0]
    random = np.random.default_rng(0)
    side = np.where(table.y, 220, 190) + random.normal(0, 25, len(table.y))
    sizes = table.frame.select("cell_id").with_columns(
        cell_width=pl.Series(side).cast(pl.Int32),
        cell_height=pl.Series(side + random.normal(0, 9, len(side))).cast(pl.Int32),
    )
    return manifest_of(table, sizes)


def test_one_partition_reads_what_evaluate_reads(tables, manifest):
    metrics, beside = read_partitions(tables[:1], manifest, draws=100)
    report = evaluate(tables[0], data=manifest, draws=100)
    assert metrics == report.metrics
    assert beside.size == report.baselines.size
    assert beside.minus_size == report.model_minus_size
    assert beside.subjects == report.subjects and beside.subject_means == report.subject_means


def test_several_read_their_mean_and_the_interval_of_the_mean(tables, manifest):
    metrics, beside = read_partitions(tables, manifest, draws=100)
    each = [evaluate(table, data=manifest, draws=100) for table in tables]
    for name, metric in metrics.items():
        wanted = np.mean([report.metrics[name].estimate for report in each])
        assert metric.estimate == pytest.approx(wanted)
        assert beside.estimates[name] == pytest.approx([report.metrics[name].estimate for report in each])
    low, high = metrics["auroc"].ci_low, metrics["auroc"].ci_high
    assert low < metrics["auroc"].estimate < high
    widths = [report.metrics["auroc"].ci_high - report.metrics["auroc"].ci_low for report in each]
    assert 0.5 * min(widths) < high - low < 1.2 * max(widths)
    accuracies = [{row.subject_id: row.accuracy for row in report.subjects} for report in each]
    for row in beside.subjects:
        assert row.accuracy == pytest.approx(np.mean([known[row.subject_id] for known in accuracies]))


def test_without_a_person_is_the_pool_without_its_cells(tables, manifest):
    _, beside = read_partitions(tables[:1], manifest, without=["H3"], draws=20)
    rest = PredictionTable(tables[0].frame.filter(pl.col("subject_id") != "H3"), tables[0].metadata)
    report = evaluate(rest, draws=20)
    assert beside.without["H3"]["auroc"].estimate == pytest.approx(report.metrics["auroc"].estimate)
    assert beside.without["H3"]["auroc"].num_subjects == report.num_subjects


def test_the_ruler_reads_near_chance_when_sizes_match(tables, manifest):
    _, beside = read_partitions(tables[:1], manifest, draws=20)
    assert beside.size["auroc"].estimate > 0.65
    assert abs(beside.size_size_matched["auroc"].estimate - 0.5) < 0.12


def test_cells_of_unknown_size_are_in_the_model_and_not_beside_the_ruler(tables, manifest):
    unknown = pl.col("cell_id").is_in(tables[0].frame["cell_id"].head(25).to_list())
    gone = pl.when(~unknown).then(pl.col("cell_width"))
    partly = manifest.with_frame(manifest.frame.with_columns(cell_width=gone))
    metrics, beside = read_partitions(tables, partly, draws=20)
    assert metrics["auroc"].num_cells - beside.size["auroc"].num_cells == 25
    report = evaluate(tables[0], data=partly, draws=20)
    _, one = read_partitions(tables[:1], partly, draws=20)
    assert one.size == report.baselines.size and one.minus_size == report.model_minus_size


def test_without_a_manifest_there_is_no_ruler(tables):
    _, beside = read_partitions(tables, None, draws=0)
    assert beside.size is None and beside.minus_size is None and beside.size_matched is None


def test_tables_of_other_cells_are_refused(tables):
    fewer = PredictionTable(tables[1].frame.head(50), tables[1].metadata)
    with pytest.raises(TableError, match="other cells"):
        read_partitions([tables[0], fewer], None)
