"""A table of cells, as CSV and as Parquet."""

import polars as pl
import pytest

from leukoscope.cohort.layouts.listing import Entry, Options
from leukoscope.cohort.layouts.table import read_table
from leukoscope.errors import LayoutError, UnknownClassError

ROWS = pl.DataFrame(
    {
        "path": ["x/1.png", "2.png", "3.png"],
        "label": ["ALL", "hem", None],
        "subject_id": ["h3", "4", None],
        "fold": [0, 1, None],
        "age": [5, 6, 7],
    }
)


@pytest.fixture(params=[".csv", ".parquet"])
def table(request, tmp_path):
    path = tmp_path / f"cells{request.param}"
    ROWS.write_csv(path) if request.param == ".csv" else ROWS.write_parquet(path)
    return path


def test_reads_what_it_says(table):
    listing = read_table(table, Options())
    assert listing.root == table.parent
    assert listing.cells == [
        Entry("x/1.png", "x/1.png", "H3", "blast", "cells", 0),
        Entry("2.png", "2.png", "4", "normal", "cells", 1),
        Entry("3.png", "3.png", None, None, "cells", None),
    ]


def test_more_columns(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(
        "file,cell_id,source,photograph_id,duplicate_group,subject\n1.png,one,preliminary,p,g,s\n"
    )
    assert read_table(path, Options()).cells == [
        Entry("one", "1.png", "S", None, "preliminary", None, "p", "g")
    ]


def test_paths_stay_below_the_table(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(f"path\n{tmp_path / 'deep/1.png'}\n")
    assert read_table(path, Options()).cells[0].path == "deep/1.png"
    for outside in ("../1.png", "/etc/1.png"):
        path.write_text(f"path\n{outside}\n")
        with pytest.raises(LayoutError, match="outside the folder of the table"):
            read_table(path, Options())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,label\n1,all\n", "expected a column path, found name, label"),
        ("path,label\n,all\n", "a row has no path"),
        ("path,fold\n1.png,first\n", "expected a whole number as fold, got 'first'"),
        ("", "expected a CSV or Parquet table"),
    ],
)
def test_tables_that_are_none(text, message, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(LayoutError, match=message):
        read_table(path, Options())


def test_classes_as_the_user_says(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("path,label\n1.png,benign\n2.png,pre-B\n")
    with pytest.raises(UnknownClassError):
        read_table(path, Options())
    assert read_table(path, Options(positive=["pre-B"])).classes == ("benign", "pre-B")
