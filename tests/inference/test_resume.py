"""A run that was broken off goes on, and gives what an unbroken one gives."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import polars as pl
import pytest
from PIL import Image
from polars.testing import assert_frame_equal

from leukoscope.errors import UsageError
from leukoscope.evaluation.table import PredictionTable
from leukoscope.inference import journal as journal_module
from leukoscope.inference import sinks
from leukoscope.inference.journal import partial_path
from leukoscope.inference.predict import predict

NAMES = ("cells.csv", "cells.jsonl", "cells.parquet")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three hundred small cells, two of them broken, some with names that need care in a table."""
    root = tmp_path_factory.mktemp("cells")
    chance = np.random.default_rng(0)
    for number in range(300):
        cell = np.zeros((40, 40, 3), np.uint8)
        cell[8:32, 8:32] = chance.integers(40, 200, 3)
        name = {7: "=sum(A1).png", 8: "-minus.png", 9: 'quo"te, comma.png', 10: "line\nbreak.png"}.get(number)
        path = root / (name or f"cell_{number}.png")
        Image.fromarray(cell).save(path)
    (root / "cell_100.png").write_bytes(b"no picture")
    (root / "cell_200.png").write_bytes(b"")
    return root


@pytest.fixture(autouse=True)
def noted_often(monkeypatch):
    monkeypatch.setattr(journal_module, "SECONDS", 0.0)
    monkeypatch.setattr(sinks, "ROWS_PER_PART", 40)


def same(path, other):
    if path.suffix == ".parquet":
        assert_frame_equal(pl.read_parquet(path), pl.read_parquet(other))
        return True
    return path.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("breaks", [(1,), (3, 1, 2), (0, 5)])
def test_what_was_interrupted_becomes_the_whole(tmp_path, tiny_bundle, folder, breaking, name, breaks):
    whole = tmp_path / f"whole_{name}"
    expected = predict(tiny_bundle, folder, out=whole, by_subject=tmp_path / "people.csv", batch_size=16)
    out = tmp_path / name
    for number in breaks:
        mend = breaking(number)
        with pytest.raises(KeyboardInterrupt):
            predict(tiny_bundle, folder, out=out, batch_size=16, resume=True)
        mend()
    again = tmp_path / "again.csv"
    done = predict(tiny_bundle, folder, out=out, by_subject=again, batch_size=16, resume=True)
    assert same(out, whole)
    assert (done.num_cells, done.num_unreadable) == (expected.num_cells, expected.num_unreadable) == (300, 2)
    assert again.read_bytes() == (tmp_path / "people.csv").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [out.name, whole.name, "again.csv", "people.csv"]
    )


def test_what_could_not_be_read_before_is_counted_without_reading_rows_again(
    tmp_path, tiny_bundle, folder, breaking, monkeypatch
):
    out = tmp_path / "cells.csv"
    mend = breaking(15)
    with pytest.raises(KeyboardInterrupt):
        predict(tiny_bundle, folder, out=out, batch_size=16)
    mend()
    monkeypatch.delattr("leukoscope.inference.predict.kept_rows")
    done = predict(tiny_bundle, folder, out=out, batch_size=16, resume=True)
    assert (done.num_cells, done.num_unreadable) == (300, 2)


def test_names_come_back_as_they_were_and_are_no_formulas(tmp_path, tiny_bundle, folder):
    out = tmp_path / "cells.csv"
    predict(tiny_bundle, folder, out=out)
    table = PredictionTable.read(out)
    assert set(table.frame["path"]) == {path.name for path in folder.iterdir()}
    first = pl.read_csv(out, infer_schema=False)
    assert not first.select(pl.col(pl.String).str.contains(r"^[=+@\t\r]").any()).row(0).count(True)
    assert "'=sum(A1).png" in first["path"].to_list() and "'-minus.png" in first["path"].to_list()


def test_finished_rows_are_not_thrown_away_unasked(tmp_path, tiny_bundle, folder, breaking):
    out = tmp_path / "cells.csv"
    mend = breaking(2)
    with pytest.raises(KeyboardInterrupt):
        predict(tiny_bundle, folder, out=out, batch_size=16)
    mend()
    with pytest.raises(UsageError, match="32 finished rows") as caught:
        predict(tiny_bundle, folder, out=out, batch_size=16)
    assert "--resume" in caught.value.hint
    (tmp_path / "cells.csv.partial.json").unlink()
    assert predict(tiny_bundle, folder, out=out, batch_size=16).num_cells == 300


def test_another_run_does_not_go_on_with_it(tmp_path, tiny_bundle, make_bundle, folder, breaking):
    out = tmp_path / "cells.csv"
    mend = breaking(2)
    with pytest.raises(KeyboardInterrupt):
        predict(tiny_bundle, folder, out=out, batch_size=16)
    mend()
    other = make_bundle(tmp_path / "other.leuko", name="other")
    with pytest.raises(UsageError, match="its bundle_id is"):
        predict(other, folder, out=out, batch_size=16, resume=True)
    with pytest.raises(UsageError, match="its views is 1, not 8"):
        predict(tiny_bundle, folder, out=out, batch_size=16, views=8, resume=True)
    names = sorted(folder.iterdir())[::-1]
    with pytest.raises(UsageError, match="its root is"):
        predict(tiny_bundle, names, out=out, batch_size=16, resume=True)


def test_other_inputs_are_found_out(tmp_path, tiny_bundle, folder, breaking):
    out, names = tmp_path / "cells.csv", sorted(folder.iterdir())
    mend = breaking(2)
    with pytest.raises(KeyboardInterrupt):
        predict(tiny_bundle, names, out=out, batch_size=16)
    mend()
    with pytest.raises(UsageError, match="first 32 inputs are not those"):
        predict(tiny_bundle, names[1:], out=out, batch_size=16, resume=True)
    with pytest.raises(UsageError, match="first 32 inputs are not those"):
        predict(tiny_bundle, names[:20], out=out, batch_size=16, resume=True)
    assert predict(tiny_bundle, names, out=out, batch_size=16, resume=True).num_cells == 300


def test_a_note_that_is_torn_is_none(tmp_path, tiny_bundle, folder):
    out = tmp_path / "cells.csv"
    partial_path(out).write_text("cell_id\n")
    (tmp_path / "cells.csv.partial.json").write_text('{"run": {')
    assert predict(tiny_bundle, folder, out=out, resume=True).num_cells == 300


def test_resuming_what_never_began_begins(tmp_path, tiny_bundle, folder):
    assert predict(tiny_bundle, folder, out=tmp_path / "cells.csv", resume=True).num_cells == 300


SLOWLY = """
import sys, time
from leukoscope.inference import journal, predictor, sinks
from leukoscope.inference.predict import predict
journal.SECONDS, sinks.ROWS_PER_PART = 0.0, 40
make_rows = predictor.make_rows
def make_slowly(*arguments, **named):
    time.sleep(0.01)
    return make_rows(*arguments, **named)
predictor.make_rows = make_slowly
print("begun", flush=True)
predict(sys.argv[1], sys.argv[2], out=sys.argv[3], batch_size=16, resume=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cells.csv", "cells.parquet"])
def test_killed_at_any_moment_it_goes_on(tmp_path, tiny_bundle, folder, name):
    """Twenty runs are killed, at random moments; the last one ends."""
    whole, out = tmp_path / f"whole_{name}", tmp_path / name
    predict(tiny_bundle, folder, out=whole, batch_size=16)
    chance, words = random.Random(0), [sys.executable, "-c", SLOWLY, tiny_bundle, folder, out]
    killed = 0
    while killed < 20:
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdout is not None and process.stdout.readline() == b"begun\n"
        time.sleep(chance.uniform(0, 0.4))
        os.kill(process.pid, signal.SIGKILL)
        if process.wait() == 0:  # it was done before
            assert same(out, whole)
            out.unlink()
        else:
            killed += 1
            assert not out.exists() or same(out, whole)
    assert subprocess.run(words, check=False, stdout=subprocess.DEVNULL).returncode == 0
    assert same(out, whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([out.name, whole.name])


def test_the_note_says_how_far_it_is(tmp_path, tiny_bundle, folder, breaking):
    out = tmp_path / "cells.csv"
    breaking(3)
    with pytest.raises(KeyboardInterrupt):
        predict(tiny_bundle, folder, out=out, batch_size=16)
    note = json.loads((tmp_path / "cells.csv.partial.json").read_text())
    assert (note["num_rows"], note["num_unreadable"]) == (48, 0)
    assert note["place"] == partial_path(out).stat().st_size
