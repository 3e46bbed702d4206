"""What people read at an operating point, counted by hand from the rows."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import polars as pl
import pytest

from leukoscope.errors import TableError
from leukoscope.evaluation.operating_points import OperatingPoint
from leukoscope.evaluation.people import read_people, summarise_people
from leukoscope.evaluation.table import PredictionTable


def point(name: str, low: float, high: float) -> OperatingPoint:
    return OperatingPoint(name=name, criterion="", normal_below=low, blast_from=high)


POINTS = [point("one", 0.32, 0.32), point("open", 0.35, 0.8)]


@pytest.fixture
def tables(make_table):
    """The same cells read in two partitions; some are left open for what they look like."""
    first = make_table(blasts=7, normals=6, cells=40)
    random = np.random.default_rng(4)

    def read(shake: float) -> PredictionTable:
        p = np.clip(first.p + random.normal(0, shake, len(first.p)), 0, 1)
        reasons = random.choice(
            ["novel", "quality: blank", "between thresholds", ""], len(p), p=[0.1, 0.05, 0.2, 0.65]
        )
        reason = pl.Series("reason", reasons).replace({"": None})
        return PredictionTable(first.frame.with_columns(reason, pl.Series("blast_probability", p)), {})

    return [read(0.05), PredictionTable(read(0.2).frame.sample(fraction=1, shuffle=True, seed=2), {})]


def by_hand(table: PredictionTable, low: float, high: float) -> dict[str, tuple[int, int, float | None]]:
    """Person -> cells, judged cells, share called blast; one row at a time."""
    cells, judged, blast = defaultdict(int), defaultdict(int), defaultdict(int)
    for row in table.frame.to_dicts():
        who, p = row["subject_id"], row["blast_probability"]
        cells[who] += 1
        if row["reason"] in ("novel", "quality: blank") or low <= p < high:
            continue
        judged[who] += 1
        blast[who] += p >= high
    return {
        who: (cells[who], judged[who], blast[who] / judged[who] if judged[who] else None) for who in cells
    }


def told(readings) -> list[tuple[str, int, int, float | None]]:
    return [(row.label, row.num_cells, row.num_judged, row.blast_fraction) for row in readings]


@pytest.mark.parametrize(("name", "low", "high"), [("one", 0.32, 0.32), ("open", 0.35, 0.8)])
def test_one_partition_reads_what_is_counted_by_hand(tables, name, low, high):
    expected = [
        ("normal" if who.startswith("H") else "blast", *counted)
        for who, counted in by_hand(tables[0], low, high).items()
    ]
    found = told(read_people(tables[:1], POINTS)[name])
    assert sorted(found, key=repr) == sorted(expected, key=repr)


def test_several_partitions_read_means_and_the_fewest_judged_cells(tables):
    each = [by_hand(table, 0.35, 0.8) for table in tables]
    expected = []
    for who in each[0]:
        shares = [counted[who][2] for counted in each if counted[who][1]]
        share = pytest.approx(np.mean(shares)) if shares else None
        label = "normal" if who.startswith("H") else "blast"
        expected.append((label, each[0][who][0], min(counted[who][1] for counted in each), share))
    found = told(read_people(tables, POINTS)["open"])
    assert len(found) == len(expected)
    for row in found:
        expected.remove(row)


def test_the_order_says_nothing_of_who_it_is(tables):
    renamed = [
        PredictionTable(
            table.frame.with_columns(pl.col("subject_id").replace({"H1": "zz", "7": "A"})), table.metadata
        )
        for table in tables
    ]
    assert read_people(tables, POINTS) == read_people(renamed, POINTS)


def test_a_table_without_reasons_leaves_nothing_open_but_by_its_thresholds(tables):
    plain = PredictionTable(tables[0].frame.drop("reason"), {})
    judged = sum(row.num_judged for row in read_people([plain], POINTS)["one"])
    assert judged == plain.frame.height


def test_a_summary_is_of_people_with_enough_judged_cells(tables):
    readings = read_people(tables[:1], POINTS)["open"]
    normal, blast = summarise_people(readings, ["blast"])
    for kind, summary in (("normal", normal), ("blast", blast)):
        people = [row for row in readings if row.label == kind]
        shares = [row.blast_fraction for row in people if row.num_judged >= 20]
        assert (summary.num_people, summary.num_left_out) == (len(shares), len(people) - len(shares))
        assert summary.num_people and summary.num_left_out
        assert summary.median == pytest.approx(np.median(shares))
        assert (summary.lowest, summary.highest) == (min(shares), max(shares))


def test_nobody_is_undefined_and_people_of_two_labels_are_in_neither(tables):
    mixed = tables[0].frame.with_columns(
        label=pl.when(pl.col("cell_id") == "cell_0").then(pl.lit("normal")).otherwise(pl.col("label"))
    )
    readings = read_people([PredictionTable(mixed, {})], POINTS)["one"]
    assert [row.label for row in readings].count("mixed") == 1
    kinds = summarise_people([row for row in readings if row.label == "mixed"], ["blast"])
    assert [(kind.num_people, kind.median, kind.lowest) for kind in kinds] == [(0, None, None)] * 2


def test_tables_of_other_cells_are_refused(tables):
    fewer = PredictionTable(tables[1].frame.head(50), {})
    with pytest.raises(TableError, match="other cells"):
        read_people([tables[0], fewer], POINTS)
