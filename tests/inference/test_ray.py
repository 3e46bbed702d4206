"""The engine ray, for real: in processes of its own, so that no other test meets what Ray leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from polars.testing import assert_frame_equal

from leukoscope.errors import MissingExtraError, TableError
from leukoscope.evaluation.table import PredictionTable
from leukoscope.inference import ray as engine
from leukoscope.inference.predict import predict

pytest.importorskip("ray")
pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
PATIENCE = 300
"""Seconds, on a machine that is busy with other things."""


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """Three hundred small cells, one of them broken."""
    root = tmp_path_factory.mktemp("cells")
    chance = np.random.default_rng(0)
    for number in range(300):
        cell = np.zeros((40, 40, 3), np.uint8)
        cell[8:32, 8:32] = chance.integers(40, 200, 3)
        Image.fromarray(cell).save(root / f"cell_{number}.png")
    (root / "cell_100.png").write_bytes(b"no picture")
    return root


@pytest.fixture(scope="module")
def many(tmp_path_factory, cells):
    """Six thousand links to them: 24 shards."""
    root = tmp_path_factory.mktemp("many")
    for number in range(6_000):
        (root / f"{number}.png").symlink_to(cells / f"cell_{number % 300}.png")
    return root


def start(bundle, inputs, out, *options):
    words = ["predict", bundle, *inputs, "-o", out, "--engine", "ray", "--actors", "2", "--json", *options]
    command = [sys.executable, "-m", "leukoscope", *map(str, words)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=environment, start_new_session=True, **pipes)


def finish(process):
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode in (0, 1), err
    return json.loads(out)


def wait_for_shards(process, out, num):
    end = time.monotonic() + PATIENCE
    while len(list(out.glob("part-*"))) < num:
        assert process.poll() is None and time.monotonic() < end, process.communicate()
        time.sleep(0.02)


def actors_of(process):
    """Process ids of the actors that a driver has started, by way of its raylet."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                title = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            parents[int(entry.name)] = (parent, title)
    raylets = {number for number, (parent, _) in parents.items() if parent == process.pid}
    return [
        number
        for number, (parent, title) in parents.items()
        if parent in raylets and title.startswith("ray::Judge")
    ]


def test_two_workers_give_the_rows_of_the_local_engine(tmp_path, tiny_bundle, cells):
    """A folder, the same at an address, and as images in Parquet: 900 cells, 4 shards."""
    names = sorted(cells.iterdir())
    table = tmp_path / "images.parquet"
    images = {"path": [path.name for path in names], "bytes": [path.read_bytes() for path in names]}
    pl.DataFrame(images).write_parquet(table, row_group_size=50)
    inputs, out = [cells, f"file://{cells}", table], tmp_path / "out.parquet"
    same = ("--subject", "P1", "--backend", "onnxruntime")  # two that time the runtimes at once may differ
    process = start(tiny_bundle, inputs, out, "--by-subject", tmp_path / "people.csv", *same)
    expected = predict(tiny_bundle, [str(item) for item in inputs], subject_id="P1", backend="onnxruntime")
    said = finish(process)
    assert process.returncode == 1  # three cells cannot be read
    assert said["num_cells"] == expected.num_cells == 900 and said["num_unreadable"] == 3
    found = PredictionTable.read(out)
    assert_frame_equal(found.frame, expected.table.frame, abs_tol=1e-6)
    assert found.metadata == expected.table.metadata
    assert len(list(out.glob("part-*"))) == 4
    assert pl.read_csv(tmp_path / "people.csv")["num_cells"].item() == 900


@pytest.mark.slow
def test_a_worker_that_is_killed_is_started_again(tmp_path, tiny_bundle, many):
    out = tmp_path / "out.parquet"
    process = start(tiny_bundle, [many], out)
    wait_for_shards(process, out, 2)
    os.kill(actors_of(process)[0], signal.SIGKILL)
    assert finish(process)["num_cells"] == 6_000
    expected = predict(tiny_bundle, many).table.frame
    assert_frame_equal(PredictionTable.read(out).frame, expected, abs_tol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_driver_that_is_stopped_goes_on(tmp_path, tiny_bundle, many, number):
    out = tmp_path / "out.parquet"
    process = start(tiny_bundle, [many], out)
    wait_for_shards(process, out, 3)
    os.kill(process.pid, number)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == (130 if number == signal.SIGINT else -number), err
    if number == signal.SIGINT:
        assert (
            err.splitlines()[-1] == f"interrupted: the shards that were ready are in {out}; --resume goes on"
        )
    with pytest.raises(TableError, match="rows are missing"):
        PredictionTable.read(out)
    time.sleep(1)  # workers of a killed driver see that it is gone
    kept = {path: path.stat().st_mtime_ns for path in out.glob("part-*")}
    assert 3 <= len(kept) < 24
    assert finish(start(tiny_bundle, [many], out, "--resume"))["num_cells"] == 6_000
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    expected = predict(tiny_bundle, many).table.frame
    assert_frame_equal(PredictionTable.read(out).frame, expected, abs_tol=1e-6)


def test_without_ray_the_extra_is_named(tmp_path, tiny_bundle, cells, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match="--engine ray needs the extra 'scale'"):
        predict(tiny_bundle, cells, out=tmp_path / "out.parquet", engine="ray")


def test_importing_the_engine_loads_no_ray():
    code = "import sys, leukoscope.inference.predict, leukoscope.inference.ray; print('ray' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
    assert engine.__name__ == "leukoscope.inference.ray"
