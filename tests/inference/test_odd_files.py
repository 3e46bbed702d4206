"""Folders as they are: pipes, broken links, loops, names that are no text, files and disks that go away."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import polars as pl
import pytest

from leukoscope.errors import UsageError
from leukoscope.evaluation.table import PredictionTable
from leukoscope.inference import sinks
from leukoscope.inference.predict import predict
from leukoscope.inference.walk import walk


@pytest.fixture
def folder(tmp_path, tiny_cohort):
    images = sorted(tiny_cohort.rglob("*.bmp"))[:3]
    root = tmp_path / "cells"
    root.mkdir()
    for number, image in enumerate(images):
        shutil.copy(image, root / f"cell_{number}.bmp")
    return root


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_a_row_and_no_endless_wait(tmp_path, tiny_bundle, folder):
    os.mkfifo(folder / "pipe.bmp")
    rows = predict(tiny_bundle, folder).table.frame
    assert rows.filter(pl.col("path") == "pipe.bmp")["error"].item() == "cannot be read: no regular file"
    alone = predict(tiny_bundle, folder / "pipe.bmp").table.frame
    assert alone["error"].to_list() == ["cannot be read: no regular file"]


def test_links_that_lead_nowhere_or_back(tiny_bundle, folder):
    (folder / "broken.bmp").symlink_to("nowhere.bmp")
    (folder / "loop").symlink_to("../cells")
    (folder / "deeper").mkdir()
    (folder / "deeper" / "up").symlink_to("../..")
    rows = predict(tiny_bundle, folder).table.frame
    assert rows["path"].to_list() == ["broken.bmp", "cell_0.bmp", "cell_1.bmp", "cell_2.bmp"]
    assert rows["error"].to_list() == ["no such file", None, None, None]
    assert list(walk(folder)) == rows["path"].to_list()


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl", "out.parquet"])
def test_names_that_are_no_utf8(tmp_path, tiny_bundle, folder, name):
    odd = os.fsencode(folder / "cell_") + b"\xff.bmp"
    try:
        shutil.copy(folder / "cell_0.bmp", odd)
    except OSError:
        pytest.skip("this file system takes no such names")
    for inputs in (folder, [folder / "cell_1.bmp", os.fsdecode(odd)]):
        out = tmp_path / name
        predict(tiny_bundle, inputs, out=out)
        rows = PredictionTable.read(out).frame.filter(pl.col("path").str.contains("xff"))
        assert rows["cell_id"].item().endswith("cell_\\xff.bmp")
        assert rows["error"].item() is None and rows["blast_probability"].item() is not None


def test_a_folder_that_may_not_be_entered_is_named(tiny_bundle, folder, monkeypatch):
    locked = folder / "locked"
    locked.mkdir()
    scan, is_file = os.scandir, Path.is_file

    def forbid(path: object) -> None:  # the tests may run as root, whom no permission stops
        if str(path).startswith(str(locked)):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(os, "scandir", lambda path: forbid(path) or scan(path))
    monkeypatch.setattr(Path, "is_file", lambda path: forbid(path) or is_file(path))
    with pytest.raises(UsageError, match=r"locked: cannot be listed: Permission denied"):
        predict(tiny_bundle, folder)


def test_a_file_that_goes_away_is_a_row(tiny_bundle, folder):
    def vanishing():
        for path in sorted(folder.iterdir()):
            if path.name == "cell_1.bmp":
                path.unlink()
            yield path

    rows = predict(tiny_bundle, vanishing()).table.frame
    assert rows["error"].to_list() == [None, "no such file", None]


def test_a_full_disk_is_said_and_what_was_written_stays(tmp_path, tiny_bundle, folder, monkeypatch):
    out, write, left = tmp_path / "out.csv", sinks._csv, [2]

    def full(chunk, stream, first):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(chunk, stream, first)

    monkeypatch.setattr(sinks, "_csv", full)
    with pytest.raises(OSError, match="No space left"):
        predict(tiny_bundle, folder, out=out, batch_size=1)
    assert not out.exists()
    monkeypatch.setattr(sinks, "_csv", write)
    assert predict(tiny_bundle, folder, out=out, batch_size=1, resume=True).num_cells == 3
    assert PredictionTable.read(out).frame["cell_id"].to_list() == ["cell_0.bmp", "cell_1.bmp", "cell_2.bmp"]


def test_many_names_in_one_folder_come_in_the_order_of_their_numbers(tmp_path):
    for number in range(2_000):
        (tmp_path / f"{number}.bmp").touch()
    assert list(walk(tmp_path)) == [f"{number}.bmp" for number in range(2_000)]
