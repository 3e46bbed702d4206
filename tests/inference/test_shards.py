"""Shards of predictions, judged here without Ray: each is written once, and the folder says what is whole."""

from __future__ import annotations

import json
import shutil

import numpy as np
import polars as pl
import pytest
from PIL import Image
from polars.testing import assert_frame_equal

from leukoscope.cli.main import main
from leukoscope.core.files import sha256_file
from leukoscope.errors import TableError, UsageError
from leukoscope.evaluation.shards import read_manifest
from leukoscope.evaluation.table import PredictionTable
from leukoscope.inference import ray as engine
from leukoscope.inference import shards
from leukoscope.inference.predict import predict
from leukoscope.inference.predictor import Predictor


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Fifty small cells, one of them broken."""
    root = tmp_path_factory.mktemp("cells")
    chance = np.random.default_rng(0)
    for number in range(50):
        cell = np.zeros((40, 40, 3), np.uint8)
        cell[8:32, 8:32] = chance.integers(40, 200, 3)
        Image.fromarray(cell).save(root / f"cell_{number}.png")
    (root / "cell_20.png").write_bytes(b"no picture")
    return root


@pytest.fixture(autouse=True)
def here(monkeypatch):
    """Shards of eight rows, judged in this process, the last one first; ``here(n)`` breaks off after n."""
    left = [1000]

    def judge(jobs, bundle, options, *, actors):
        predictor = Predictor(bundle, **options)
        for job in reversed(list(jobs)):
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            yield job.number, shards.judge_shard(predictor, job)

    monkeypatch.setattr(engine, "judge_on_ray", judge)
    monkeypatch.setattr(shards, "LEAST_ROWS", 8)
    return lambda number: left.__setitem__(0, number)


def test_the_folder_is_the_table(tmp_path, tiny_bundle, folder):
    local, out = tmp_path / "local.parquet", tmp_path / "cells.parquet"
    options = {"by_subject": tmp_path / "people.csv", "gallery": tmp_path / "gallery.html"}
    expected = predict(tiny_bundle, folder, out=local, subject_id="P1", **options)
    whole = {name: path.read_bytes() for name, path in options.items()}
    done = predict(tiny_bundle, folder, out=out, subject_id="P1", engine="ray", **options)
    assert (done.num_cells, done.num_unreadable) == (expected.num_cells, expected.num_unreadable) == (50, 1)
    assert {name: path.read_bytes() for name, path in options.items()} == whole
    table, other = PredictionTable.read(out), PredictionTable.read(local)
    assert_frame_equal(table.frame, other.frame, abs_tol=1e-6)
    assert table.metadata == other.metadata
    assert_frame_equal(pl.read_parquet(out / "*.parquet"), table.frame)  # as other programs read it


def test_the_manifest_says_what_is_there(tmp_path, tiny_bundle, folder):
    out = tmp_path / "cells.parquet"
    predict(tiny_bundle, folder, out=out, engine="ray")
    said = json.loads((out / "manifest.json").read_text())
    assert said["complete"] and said["metadata"]["bundle_id"] == said["run"]["bundle_id"]
    assert [shard["rows"] for shard in said["shards"]] == [8, 8, 8, 8, 8, 8, 2]
    assert [shard["unreadable"] for shard in said["shards"]] == [0, 0, 1, 0, 0, 0, 0]
    names = {"manifest.json", *(shard["name"] for shard in said["shards"])}
    assert {path.name for path in out.iterdir()} == names
    for shard in said["shards"]:
        assert shard["sha256"] == sha256_file(out / shard["name"])
        assert dict(pl.read_parquet_schema(out / shard["name"])) == dict(
            PredictionTable.read(out).frame.schema
        )
    assert list(said["columns"]) == PredictionTable.read(out).frame.columns


def test_what_was_interrupted_goes_on_and_keeps_its_shards(tmp_path, tiny_bundle, folder, here):
    out = tmp_path / "cells.parquet"
    here(3)
    with pytest.raises(KeyboardInterrupt):
        predict(tiny_bundle, folder, out=out, engine="ray")
    with pytest.raises(TableError, match="rows are missing"):
        PredictionTable.read(out)
    here(1000)
    with pytest.raises(UsageError, match="rows of an interrupted run"):
        predict(tiny_bundle, folder, out=out, engine="ray")
    kept = {path: path.stat().st_mtime_ns for path in out.glob("part-*")}
    assert len(kept) == 3
    torn = out / "part-000000.parquet"
    torn.write_bytes(next(iter(kept)).read_bytes()[:-10])
    (out / ".part-000001.parquet.x.parquet").write_bytes(b"half")
    predict(tiny_bundle, folder, out=out, engine="ray", resume=True)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    expected = predict(tiny_bundle, folder).table.frame
    assert_frame_equal(PredictionTable.read(out).frame, expected, abs_tol=1e-6)
    assert not list(out.glob(".*"))


def test_another_run_and_other_inputs_do_not_go_on_with_it(tmp_path, tiny_bundle, make_bundle, folder, here):
    out, names = tmp_path / "cells.parquet", [str(path) for path in sorted(folder.iterdir())]
    here(3)
    with pytest.raises(KeyboardInterrupt):
        predict(tiny_bundle, names, out=out, engine="ray")
    here(1000)
    other = make_bundle(tmp_path / "other.leuko", name="other")
    with pytest.raises(UsageError, match="its bundle_id is"):
        predict(other, names, out=out, engine="ray", resume=True)
    with pytest.raises(UsageError, match="its views is 1, not 8"):
        predict(tiny_bundle, names, out=out, engine="ray", views=8, resume=True)
    with pytest.raises(UsageError, match="holds the rows of other inputs"):
        predict(tiny_bundle, names[1:], out=out, engine="ray", resume=True)
    with pytest.raises(UsageError, match="holds the rows of other inputs"):
        predict(tiny_bundle, names[:16], out=out, engine="ray", resume=True)
    assert predict(tiny_bundle, names, out=out, engine="ray", resume=True).num_cells == 50


def test_ids_are_distinct_over_all_shards(tmp_path, tiny_bundle, folder):
    twice = [folder, folder, folder / "cell_3.png"]
    out = tmp_path / "cells.parquet"
    predict(tiny_bundle, twice, out=out, engine="ray")
    found = PredictionTable.read(out).frame["cell_id"]
    assert found.n_unique() == 101
    assert found.to_list() == predict(tiny_bundle, twice).table.frame["cell_id"].to_list()


def test_no_inputs_are_no_rows(tmp_path, tiny_bundle):
    out = tmp_path / "cells.parquet"
    assert predict(tiny_bundle, iter(()), out=out, engine="ray").num_cells == 0
    assert PredictionTable.read(out).frame.is_empty()


def test_a_shard_that_was_changed_is_found_out(tmp_path, tiny_bundle, folder):
    out = tmp_path / "cells.parquet"
    predict(tiny_bundle, folder, out=out, engine="ray")
    shutil.copy(out / "part-000001.parquet", out / "part-000002.parquet")
    with pytest.raises(TableError, match=r"part-000002.parquet: is not the file that manifest.json lists"):
        PredictionTable.read(out)
    (out / "part-000002.parquet").unlink()
    with pytest.raises(TableError, match="is missing"):
        PredictionTable.read(out)


def test_what_lies_there_is_not_written_over(tmp_path, tiny_bundle, folder):
    out, file, things = tmp_path / "cells.parquet", tmp_path / "f.parquet", tmp_path / "things.parquet"
    predict(tiny_bundle, folder, out=out, engine="ray")
    for resume in (False, True):
        with pytest.raises(UsageError, match="holds 50 predictions already"):
            predict(tiny_bundle, folder, out=out, engine="ray", resume=resume)
    file.touch()
    things.mkdir()
    (things / "photograph.jpg").touch()
    for place, message in ((file, "is a file"), (things, "folder of other things")):
        with pytest.raises(UsageError, match=message):
            predict(tiny_bundle, folder, out=place, engine="ray")
    with pytest.raises(TableError, match=r"folder without manifest.json"):
        PredictionTable.read(things)
    (out / "manifest.json").write_text('{"schema_version": 2}')
    with pytest.raises(TableError, match=r"no manifest of predictions: 'schema_version'"):
        read_manifest(out)


def test_the_folder_may_be_at_an_address(tmp_path, tiny_bundle, folder):
    fsspec = pytest.importorskip("fsspec")
    fsspec.filesystem("memory").store.clear()
    for out in (f"file://{tmp_path}/there/cells.parquet", "memory://cells.parquet"):
        predict(tiny_bundle, folder, out=out, engine="ray")
        found = PredictionTable.read(out).frame
        assert_frame_equal(found, predict(tiny_bundle, folder).table.frame, abs_tol=1e-6)
    fsspec.filesystem("memory").store.clear()


def test_shards_grow_with_the_number_of_cells(monkeypatch):
    monkeypatch.setattr(shards, "LEAST_ROWS", 256)
    sizes = [shards.rows_per_shard(num) for num in (0, 20_000, 10**6, 10**9)]
    assert sizes == sorted(sizes) and sizes[0] == 256 and sizes[-1] == 16_384
    assert all(size % 64 == 0 for size in sizes)  # whole batches, as the local engine has them


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--engine", "ray"], "--engine ray writes a folder"),
        (["--engine", "ray", "-o", "cells.csv"], "cells.csv: --engine ray writes a folder"),
        (["--actors", "2"], "actors are of the engine ray"),
        (["--engine", "ray", "-o", "c.parquet", "--actors", "-1"], "actors from 0"),
    ],
)
def test_wrong_usage_is_said_before_anything_is_done(tiny_bundle, folder, capsys, options, message):
    assert main(["predict", str(tiny_bundle), str(folder), *options]) == 2
    assert message in capsys.readouterr().err


def test_evaluate_takes_the_folder(tmp_path, tiny_bundle, tiny_split, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["predict", tiny_bundle, tiny_split, "-o", "cells.parquet", "--engine", "ray"]
    assert main([str(word) for word in words]) == 0
    assert capsys.readouterr().out == "cells.parquet: 53 rows\n"
    predict(tiny_bundle, tiny_split, out="local.parquet")
    said = []
    for table in ("cells.parquet", "local.parquet"):
        assert main(["evaluate", table, "--json"]) == 0
        said.append(json.loads(capsys.readouterr().out)["metrics"])
    assert said[0] == said[1]
