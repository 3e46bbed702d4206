"""Figures on parts of the cells."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import recall_score, roc_auc_score

from leukoscope.evaluation.evaluate import evaluate
from leukoscope.evaluation.subgroups import with_measures
from leukoscope.evaluation.table import PredictionTable


@pytest.fixture
def measured(make_table):
    """A table with folds, measures and flags."""
    table = make_table(blasts=14, normals=13, cells=30)
    random = np.random.default_rng(3)
    size = len(table.p)
    frame = table.frame.with_columns(
        fold=pl.Series(random.integers(0, 3, size)),
        cell_area=pl.Series(random.integers(10_000, 50_000, size)),
        stain=pl.Series(random.normal(0.3, 0.02, size)),
        quality=pl.Series(random.choice(["", "blurred", "blurred,touches the border", ""], size)),
    )
    return PredictionTable(frame)


def test_every_part_is_judged_as_if_it_were_all(measured):
    report = evaluate(measured, draws=200)
    by = {part.by for part in report.subgroups}
    assert by == {"fold", "cells of the subject", "cell size", "stain", "quality"}
    for part in report.subgroups:
        if part.by == "fold":
            rows = measured.frame.filter(pl.col("fold") == int(part.name.removeprefix("fold ")))
        elif part.by == "cell size":
            rows = measured.frame.filter(pl.col("cell_area").is_between(part.low, part.high))
        else:
            continue
        alone = PredictionTable(rows)
        assert part.num_cells == rows.height
        assert part.metrics["auroc"].estimate == pytest.approx(roc_auc_score(alone.y, alone.p))
        called = alone.p >= 0.5
        assert part.metrics["sensitivity"].estimate == pytest.approx(recall_score(alone.y, called))
        again = evaluate(alone, draws=200).metrics
        for name, metric in part.metrics.items():
            assert metric.model_dump() == pytest.approx(again[name].model_dump())


def test_parts_of_one_kind_hold_every_cell_once(measured):
    report = evaluate(measured, draws=0)
    for by in ("fold", "cells of the subject", "cell size", "stain"):
        assert sum(part.num_cells for part in report.subgroups if part.by == by) == report.num_cells
    thirds = [part.num_cells for part in report.subgroups if part.by == "cell size"]
    assert max(thirds) - min(thirds) <= 2
    ends = [(part.low, part.high) for part in report.subgroups if part.by == "cell size"]
    assert all(one[1] < other[0] for one, other in pairwise(ends))


def test_flags_that_few_cells_have_are_no_part(measured):
    rare = measured.frame.with_columns(
        quality=pl.when(pl.int_range(pl.len()) < 4).then(pl.lit("dark")).otherwise("quality")
    )
    names = [part.name for part in evaluate(PredictionTable(rare), draws=0).subgroups if part.by == "quality"]
    assert names == ["no flag", "blurred", "touches the border"]


def test_unknown_values_are_in_no_third(measured):
    unknown = measured.frame.with_columns(
        stain=pl.when(pl.int_range(pl.len()) % 2 == 0).then("stain").otherwise(None)
    )
    report = evaluate(PredictionTable(unknown), draws=0)
    known = unknown["stain"].is_not_null().sum()
    assert sum(part.num_cells for part in report.subgroups if part.by == "stain") == known


def test_measures_come_from_the_manifest_where_the_rows_lack_them(make_table, manifest_of):
    table = make_table()
    sizes = pl.DataFrame(
        {"cell_id": table.frame["cell_id"], "cell_area": np.arange(table.frame.height, dtype=np.int32)}
    )
    manifest = manifest_of(table, sizes)
    rows = with_measures(table.judged, manifest)
    assert rows["cell_area"].to_list() == sizes["cell_area"].to_list()
    assert any(part.by == "cell size" for part in evaluate(table, data=manifest, draws=0).subgroups)
    known = table.judged.with_columns(cell_area=pl.lit(5))
    assert with_measures(known, manifest)["cell_area"].to_list() == [5] * known.height


def test_nothing_known_is_no_part(make_table):
    nobody = make_table().frame.with_columns(subject_id=pl.lit(None, dtype=pl.Utf8))
    table = PredictionTable(nobody)
    assert evaluate(table, draws=0).subgroups == []
