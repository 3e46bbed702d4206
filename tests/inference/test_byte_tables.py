"""Images in Parquet: the same rows as from files, in a stream, and in whatever order they are asked for."""

from __future__ import annotations

import pickle
import random
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from leukoscope.errors import ImageFormatError, ManifestError, MissingExtraError, UsageError
from leukoscope.inference.byte_tables import HELD, ByteTable
from leukoscope.inference.inputs import resolve
from leukoscope.inference.predict import predict

pq = pytest.importorskip("pyarrow.parquet")


def write(path, images, *, rows_per_group=100, **columns):
    """``images``: bytes by path."""
    frame = pl.DataFrame({"path": list(images), "bytes": list(images.values()), **columns})
    pq.write_table(frame.to_arrow(), path, row_group_size=rows_per_group)
    return path


def numbered(num):
    return {f"{row}.bmp": f"image {row}".encode() for row in range(num)}


def test_the_rows_are_those_of_the_files(tmp_path, tiny_bundle, tiny_cohort):
    expected = predict(tiny_bundle, tiny_cohort).table.frame
    images = {path: (tiny_cohort / path).read_bytes() for path in expected["path"]}
    told = {
        "cell_id": expected["cell_id"],
        "subject_id": expected["subject_id"],
        "label": expected["label"],
        "fold": expected["fold"],
    }
    table = write(tmp_path / "cells.parquet", images, rows_per_group=7, **told)
    found = predict(tiny_bundle, table).table
    assert_frame_equal(found.frame, expected)
    assert found.metadata["root"] == str(table)
    at_address = predict(tiny_bundle, [f"file://{table}", f"file://{tmp_path}/c*.parquet"]).table.frame
    assert at_address.height == 2 * expected.height == 2 * at_address["sha256"].n_unique()
    assert at_address["cell_id"].n_unique() == at_address.height
    assert_frame_equal(at_address.head(expected.height).drop("path"), expected.drop("path"))


@pytest.mark.parametrize("rows_per_group", [1, 50, 10_000])
def test_any_row_may_be_asked_for(tmp_path, rows_per_group):
    table = ByteTable(str(write(tmp_path / "t.parquet", numbered(1_000), rows_per_group=rows_per_group)))
    rows = random.Random(0).sample(range(1_000), 60)
    assert [table.read(row) for row in rows] == [f"image {row}".encode() for row in rows]
    again = pickle.loads(pickle.dumps(table))
    assert again.read(999) == b"image 999" and again.read(3) == b"image 3"


def test_rows_in_order_are_read_once(tmp_path, monkeypatch):
    """Threads ask a little apart; row groups end in between."""
    table = ByteTable(str(write(tmp_path / "t.parquet", numbered(2_000), rows_per_group=130)))
    begun, iter_batches = [], table._file.iter_batches

    class Counted:
        def iter_batches(self, *args, **more):
            begun.extend(more["row_groups"])
            return iter_batches(*args, **more)

    monkeypatch.setattr(table, "_file", Counted())
    chance, apart = random.Random(1), HELD // 2
    rows = sorted(range(2_000), key=lambda row: row + chance.randrange(apart))
    assert [table.read(row) for row in rows] == [f"image {row}".encode() for row in rows]
    assert begun == list(range(16))


def test_rows_without_an_image_or_a_name_are_rows(tmp_path, tiny_bundle):
    table = write(tmp_path / "t.parquet", {"a.bmp": None, None: b"nothing", "UID_57_29_1_all.bmp": b""})
    rows = predict(tiny_bundle, table).table.frame
    assert rows["cell_id"].to_list() == ["a.bmp", "row_1", "UID_57_29_1_all"]
    assert rows["subject_id"].to_list() == [None, None, "57"]
    assert rows["error"].null_count() == 0


def test_a_damaged_row_group_costs_its_rows(tmp_path, tiny_bundle):
    images = {f"{row}.bmp": random.Random(row).randbytes(5_000) for row in range(400)}
    path = write(tmp_path / "t.parquet", images)
    chunk = pq.ParquetFile(path).metadata.row_group(1).column(1)
    data = bytearray(path.read_bytes())
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    data[start : start + 40] = b"\xff" * 40
    path.write_bytes(data)
    table = ByteTable(str(path))
    for row in (0, 99, 200, 399):
        assert table.read(row) == images[f"{row}.bmp"]
    for row in (100, 150, 199):
        with pytest.raises(ImageFormatError, match="cannot be read from the table"):
            table.read(row)
    errors = predict(tiny_bundle, path).table.frame["error"]
    assert errors.str.contains("from the table").sum() == 100


def test_other_tables_are_told_apart(tmp_path, tiny_split):
    assert resolve(tiny_split).count() == 53
    other = tmp_path / "other.parquet"
    pl.DataFrame({"path": ["a"], "pixels": [b""]}).write_parquet(other)
    with pytest.raises(ManifestError, match="expected a manifest"):
        resolve(other)
    with pytest.raises(UsageError, match=r"columns path, bytes\. Received: path, pixels"):
        resolve(f"file://{other}")


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    path = write(tmp_path / "t.parquet", numbered(3))
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingExtraError, match="images in Parquet needs the extra 'scale'"):
        resolve(path)


PEAK = """
import sys
from leukoscope.inference.byte_tables import ByteTable
table = ByteTable(sys.argv[1])
assert sum(len(table.read(row)) for row in range(table.num_rows)) == table.num_rows * 200_000
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="reads the peak of memory in /proc")
def test_memory_does_not_grow_with_the_file(tmp_path):
    peaks = []
    for num in (200, 1_200):
        images = {str(row): bytes([row % 256]) * 200_000 for row in range(num)}
        table = write(tmp_path / f"{num}.parquet", images)
        ran = subprocess.run([sys.executable, "-c", PEAK, table], capture_output=True, text=True, check=True)
        peaks.append(int(ran.stdout))
    assert peaks[1] - peaks[0] < 60_000  # kB; there are 200,000 more in the table
