"""Three formats, one table; whole or not at all; what an interruption leaves says so."""

from __future__ import annotations

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from leukoscope.errors import UsageError
from leukoscope.evaluation.table import PredictionTable
from leukoscope.inference import sinks
from leukoscope.inference.journal import partial_path
from leukoscope.inference.rows import schema
from leukoscope.inference.sinks import write_predictions

FORMATS = ("cells.csv", "cells.parquet", "cells.jsonl")


def chunk(first: int, num: int) -> pl.DataFrame:
    numbers = range(first, first + num)
    return pl.DataFrame(
        {
            "cell_id": [f'cell, "{number}"\nä' for number in numbers],
            "subject_id": [None if number % 3 else f"H{number}" for number in numbers],
            "label": [None] * num,
            "blast_probability": [None if number % 5 == 0 else number / 1000 for number in numbers],
            "cell_width": list(numbers),
            "error": ["zero bytes" if number % 5 == 0 else None for number in numbers],
        },
        schema={
            "cell_id": pl.Utf8,
            "subject_id": pl.Utf8,
            "label": pl.Utf8,
            "blast_probability": pl.Float64,
            "cell_width": pl.Int32,
            "error": pl.Utf8,
        },
    )


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("rows_per_part", [1, 7, 10_000])
def test_every_format_gives_the_same_rows_in_order(tmp_path, monkeypatch, name, rows_per_part):
    monkeypatch.setattr(sinks, "ROWS_PER_PART", rows_per_part)
    path = write_predictions((chunk(first, 10) for first in range(0, 50, 10)), tmp_path / "deep" / name, {})
    assert_frame_equal(PredictionTable.read(path).frame, chunk(0, 50))
    assert [file.name for file in path.parent.iterdir()] == [name]


@pytest.mark.parametrize("name", FORMATS)
def test_stamps_are_kept_by_every_format(tmp_path, name):
    metadata = {"leaky": "true", "synthetic": "true", "bundle_id": "ab"}
    table = PredictionTable.read(write_predictions([chunk(0, 3)], tmp_path / name, metadata))
    assert table.is_leaky and table.is_synthetic
    assert_frame_equal(table.frame, chunk(0, 3))


def test_parquet_keeps_all_metadata(tmp_path):
    metadata = {
        "bundle_id": "ab",
        "leaky": "false",
        "synthetic": "false",
        "root": "/x",
        "classes": '["a", "b"]',
    }
    table = PredictionTable.read(write_predictions([chunk(0, 3)], tmp_path / "t.parquet", metadata))
    assert table.metadata == metadata


@pytest.mark.parametrize("name", FORMATS)
def test_an_interruption_keeps_what_was_finished_under_a_name_that_says_so(tmp_path, name):
    target = tmp_path / name
    target.write_text("from before")

    def interrupted():
        yield chunk(0, 10)
        yield chunk(10, 10)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_predictions(interrupted(), target, {})
    assert target.read_text() == "from before"
    left = partial_path(target)
    assert left.name == f"{name}.partial"
    if left.is_dir():
        found = pl.read_parquet(left / "*.parquet")
    else:
        found = PredictionTable.read(left.rename(tmp_path / f"left{target.suffix}")).frame
    assert_frame_equal(found, chunk(0, 20))


@pytest.mark.parametrize("name", FORMATS)
def test_a_later_run_clears_what_an_interrupted_one_left(tmp_path, name):
    left = partial_path(tmp_path / name)
    left.mkdir()
    (left / "part-000007.parquet").write_bytes(b"old")
    write_predictions([chunk(0, 3)], tmp_path / name, {})
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert PredictionTable.read(tmp_path / name).frame.height == 3


@pytest.mark.parametrize("name", ["cells.xlsx", "cells", "cells.csv.gz"])
def test_another_ending_is_refused_before_anything_is_judged(tmp_path, name):
    def never():
        raise AssertionError("rows were asked for")
        yield

    with pytest.raises(UsageError, match="ending in"):
        write_predictions(never(), tmp_path / name, {})


def test_a_folder_in_the_way_is_refused(tmp_path):
    (tmp_path / "cells.csv").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        write_predictions([chunk(0, 1)], tmp_path / "cells.csv", {})


def test_a_table_without_a_row_still_has_its_columns(tmp_path, tiny_bundle):
    from leukoscope.bundle.read import open_bundle

    empty = pl.DataFrame(schema=schema(open_bundle(tiny_bundle).info))
    for name in ("e.csv", "e.parquet"):
        assert PredictionTable.read(write_predictions([empty], tmp_path / name, {})).frame.height == 0
