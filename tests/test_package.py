"""The package as others meet it: importing, public names, the wheel."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

import leukoscope

ROOT = Path(__file__).parents[1]
HEAVY = (
    "numpy",
    "polars",
    "cv2",
    "pydantic",
    "torch",
    "sklearn",
    "scipy",
    "matplotlib",
    "onnxruntime",
    "typer",
)


def _processor_seconds(code: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_importing_takes_no_time_and_loads_nothing():
    code = f"import sys, leukoscope; print([name for name in {HEAVY} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
    # of the processor, so that a busy machine does not matter; least of five, for the same reason
    bare = min(_processor_seconds("pass") for _ in range(5))
    ours = min(_processor_seconds("import leukoscope") for _ in range(5))
    assert ours - bare < 0.1


def test_public_names_are_few_and_there():
    assert leukoscope.__all__ == ["CellResult", "LeukoscopeError", "Predictor", "__version__", "load"]
    assert dir(leukoscope) == sorted(leukoscope.__all__)
    for name in leukoscope.__all__:
        assert getattr(leukoscope, name)
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        leukoscope.lode  # noqa: B018


def test_load_gives_the_rows_that_the_command_gives(tiny_bundle, tiny_cohort, tmp_path):
    from leukoscope.cli.main import main
    from leukoscope.evaluation.table import PredictionTable

    rows = leukoscope.load(tiny_bundle).predict(tiny_cohort).frame
    assert main(["predict", str(tiny_bundle), str(tiny_cohort), "-o", str(tmp_path / "cells.parquet")]) == 0
    assert PredictionTable.read(tmp_path / "cells.parquet").frame.equals(rows)


def test_the_lock_holds_hashes_and_no_address():
    for name in ("requirements.lock", "bootstrap.lock"):
        text = (ROOT / name).read_text()
        assert "--hash=sha256:" in text
        assert "://" not in text
        assert not [line for line in text.splitlines() if line.startswith("-")]


def test_the_lock_satisfies_the_project():
    locked = {
        line.split("==")[0] for line in (ROOT / "requirements.lock").read_text().splitlines() if "==" in line
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["train"], *extras["explain"], *extras["dev"]]
    names = {name.split(">=")[0].lower().replace("_", "-") for name in wanted}
    assert names <= locked


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, built."""
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", out],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return next(out.glob("*.whl"))


@pytest.mark.skipif(find_spec("hatchling") is None, reason="hatchling is not installed")
def test_the_wheel_holds_what_it_needs(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    package = ROOT / "src" / "leukoscope"
    ours = {path.relative_to(ROOT / "src").as_posix() for path in package.rglob("*") if path.is_file()}
    ours = {name for name in ours if "__pycache__" not in name and not name.endswith(".pyc")}
    assert ours <= names
    assert {name.rsplit("/", 1)[-1] for name in names} >= {"LICENSE", "NOTICE", "METADATA"}


@pytest.mark.skipif(find_spec("uv") is None, reason="uv is not installed; make setup brings it")
def test_the_wheel_predicts_and_evaluates_without_extras(wheel, tmp_path, tiny_bundle, tiny_cohort):
    where = tmp_path / "fresh"
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, where], check=True)
    python = where / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    lock = ["--constraint", ROOT / "requirements.lock"]
    subprocess.run([*uv, "pip", "install", "--quiet", "--python", python, *lock, wheel], check=True)
    bundle = shutil.copytree(tiny_bundle, tmp_path / "tiny.leuko")

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python, "-m", "leukoscope", *map(str, words)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    predicted = run("predict", bundle, tiny_cohort, "-o", "cells.parquet")
    assert predicted.returncode == 0, predicted.stderr
    judged = run("evaluate", "cells.parquet", "--bundle", bundle, "-o", "report", "--json")
    assert judged.returncode == 0, judged.stderr
    assert json.loads(judged.stdout)["num_cells"] == 48
    assert (tmp_path / "report" / "report.html").is_file()
    assert run("bundle", "verify", "starter").returncode == 0
    missing = {
        package["name"]
        for package in json.loads(run("doctor", "--json").stdout)["packages"]
        if not package["version"]
    }
    assert missing >= {"torch", "lightning", "onnx"}
    trained = run("train", "--recipe", "cnn-45px", "--data", tiny_cohort, "--out", "run")
    assert trained.returncode == 2
    assert "leukoscope[train]" in trained.stderr
