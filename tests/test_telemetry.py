"""Nothing is written to the home folder, and no report is sent from it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

NNCF = """
from leukoscope.core.runtimes import import_nncf
nncf, onnx = import_nncf()
assert "openvino_telemetry" not in {name for name, module in __import__("sys").modules.items() if module}
from nncf.telemetry.wrapper import telemetry
assert "Mock" in type(telemetry).__name__, telemetry
"""

PREDICT = """
import sys
import leukoscope
assert leukoscope.load(sys.argv[1]).predict(sys.argv[2]).num_unreadable == 0
"""


def written_by(script, home, *arguments):
    hidden = {
        "HOME": str(home),
        "MPLCONFIGDIR": str(home.parent),
        "TORCHINDUCTOR_CACHE_DIR": str(home.parent),
    }
    kept = {
        name: value for name, value in os.environ.items() if name not in ("ORT_DISABLE_TELEMETRY", "NNCF_CI")
    }
    command = [sys.executable, "-c", script, *map(str, arguments)]
    subprocess.run(command, check=True, env=kept | hidden, capture_output=True)
    return [str(path.relative_to(home)) for path in home.rglob("*")]


@pytest.fixture
def home(tmp_path):
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def test_nncf_writes_nothing_to_the_home_folder(home):
    pytest.importorskip("nncf")
    assert written_by(NNCF, home) == []


def test_a_prediction_writes_nothing_to_the_home_folder(home, tiny_bundle, tiny_cohort):
    assert written_by(PREDICT, home, tiny_bundle, tiny_cohort) == []
