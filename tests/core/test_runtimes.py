"""Nothing of what is run here is told to anybody, and the home folder stays as it is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import leukoscope

PREDICTION = """
import sys
from leukoscope.inference.predict import predict
done = predict(sys.argv[1], sys.argv[2], out=sys.argv[4], backend=sys.argv[3])
assert done.num_cells and not done.num_unreadable
"""
NEEDED = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "SYSTEMROOT")


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_prediction_writes_nothing_into_the_home_folder(tmp_path, tiny_bundle, tiny_cohort, backend):
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    home = tmp_path / "home"
    home.mkdir()
    # of the environment only what is needed: a variable that says CI would keep the runtimes quiet by itself
    bare = {name: os.environ[name] for name in NEEDED if name in os.environ} | {"HOME": str(home)}
    words = [sys.executable, "-c", PREDICTION, tiny_bundle, tiny_cohort, backend, tmp_path / "cells.csv"]
    subprocess.run([str(word) for word in words], check=True, env=bare)
    assert list(home.rglob("*")) == []


def test_runtimes_are_imported_in_one_place():
    root = Path(leukoscope.__file__).parent
    pattern = re.compile(r"^\s*(import|from) (onnxruntime|openvino)\b", re.MULTILINE)
    found = [path.relative_to(root) for path in root.rglob("*.py") if pattern.search(path.read_text("utf-8"))]
    assert found == [Path("core/runtimes.py")]


def test_who_wants_to_report_may(monkeypatch):
    from leukoscope.core.runtimes import import_onnxruntime

    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    import_onnxruntime()
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "0"
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY")
    import_onnxruntime()
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
