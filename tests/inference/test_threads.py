"""One model, many threads at once: the rows of each are those that it would get alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import leukoscope

THREADS = 8


@pytest.mark.parametrize("bundle", ["tiny", "starter"])
def test_eight_threads_get_the_rows_of_one(bundle, tiny_bundle, tiny_cohort):
    model = leukoscope.load(tiny_bundle if bundle == "tiny" else "starter")
    files = sorted(tiny_cohort.rglob("*.bmp"))[:16]
    table, each = model.predict(files).frame, list(model.predict_each(files))
    together = threading.Barrier(THREADS)

    def ask(number: int) -> None:
        together.wait(60)
        if number % 3 == 0:
            assert model.predict(files).frame.equals(table)
        elif number % 3 == 1:
            assert list(model.predict_each(files)) == each
        else:  # alone in its batch: the last bit of a sum may differ
            for file, expected in zip(files, each, strict=True):
                found = model.predict_one(file)
                assert found.decision == expected.decision
                assert found.blast_probability == pytest.approx(expected.blast_probability, abs=1e-6)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(ask, range(THREADS)))


WITH_TORCH = """
import json, sys, threading
from concurrent.futures import ThreadPoolExecutor
import leukoscope
model = leukoscope.load("starter", backend="torch")
files = sys.argv[1:]
alone = model.predict(files).frame
together = threading.Barrier(8)
def ask(number):
    together.wait(120)
    return model.predict(files).frame
with ThreadPoolExecutor(8) as pool:
    found = list(pool.map(ask, range(8)))
away = max(abs(table["blast_probability"] - alone["blast_probability"]).max() for table in found)
same = [table.drop("novelty", "^(blast|raw|probability|logit).*$").equals(
    alone.drop("novelty", "^(blast|raw|probability|logit).*$")) for table in found]
print(json.dumps({"away": away, "same": same, "unread": alone["error"].count()}))
"""


@pytest.mark.slow
def test_eight_threads_get_the_rows_of_one_with_torch(tiny_cohort: Path):
    """In a process of its own: what torch is told about threads holds for a whole process."""
    pytest.importorskip("torch")
    files = [str(file) for file in sorted(tiny_cohort.rglob("*.bmp"))[:4]]
    one_thread_each = os.environ | {"OMP_NUM_THREADS": "1"}  # eight times all processors take a minute
    command = [sys.executable, "-c", WITH_TORCH, *files]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=one_thread_each)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["same"] == [True] * THREADS and found["unread"] == 0
    assert found["away"] < 1e-6
