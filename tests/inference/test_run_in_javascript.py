"""``examples/run_bundle.js`` gives what Leukoscope gives; needs Node and, in NODE_PATH, onnxruntime-web."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from leukoscope.bundle.format import NoveltyLimit
from leukoscope.bundle.read import open_bundle
from leukoscope.cells.corrupt import through_jpeg
from leukoscope.cells.decode import decode
from leukoscope.cells.preprocess import Preprocess
from leukoscope.evaluation.calibration import Calibration
from leukoscope.evaluation.operating_points import OperatingPoint
from leukoscope.inference.predictor import load

EXAMPLE = Path(__file__).parents[2] / "examples" / "run_bundle.js"
POINT = OperatingPoint(name="p", criterion="none", target=None, normal_below=0.55, blast_from=0.62)


@pytest.fixture(scope="module")
def node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.skip("Node is not installed")
    if subprocess.run(
        [found, "-e", "require('onnxruntime-web')"], capture_output=True, check=False
    ).returncode:
        pytest.skip("NODE_PATH leads to no onnxruntime-web")
    return found


@pytest.fixture(scope="module")
def files(tiny_cohort, tmp_path_factory) -> list[Path]:
    """Drawn cells; one through JPEG; and what is no cell."""
    drawn = sorted(tiny_cohort.rglob("*.bmp"))[::12]
    folder = tmp_path_factory.mktemp("cells")
    pictures = {
        "jpeg": through_jpeg(decode(drawn[0]), 40),
        "black": np.zeros((300, 211, 3), np.uint8),
        "grey": np.full((450, 450, 3), 128, np.uint8),
        "noise": np.random.default_rng(0).integers(0, 256, (450, 449, 3), dtype=np.uint8),
        "odd": decode(drawn[1])[60:400, 101:350],
    }
    for name, pixels in pictures.items():
        Image.fromarray(pixels).save(folder / f"{name}.bmp")
    return [*drawn, *sorted(folder.iterdir())]


BUNDLES = {
    "starter": None,
    "eight views": {"views": 8, "calibration": Calibration(method="beta", beta=(1.3, 0.6, -0.2))},
    "isotonic": {
        "preprocess": Preprocess(field=450, size=32),
        "calibration": Calibration(method="isotonic", knots=((-1.0, 0.1), (0.2, 0.3), (0.9, 0.95))),
        "novelty": NoveltyLimit(distance=0.65, k=3),
    },
    "two thresholds": {
        "operating_points": (POINT,),
        "novelty": None,
        "preprocess": Preprocess(field=64, size=32),
    },
}


@pytest.mark.parametrize("bundle", BUNDLES)
def test_javascript_gives_the_same_answers(bundle, node, make_bundle, tmp_path, files):
    fields = BUNDLES[bundle]
    folder = open_bundle("starter").path if fields is None else make_bundle(tmp_path / "m.leuko", **fields)
    ran = subprocess.run([node, EXAMPLE, folder, *files], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    answers = [json.loads(line) for line in ran.stdout.splitlines()]
    for answer, row in zip(answers, load(folder).predict_each(files), strict=True):
        assert (answer["decision"], answer["reason"]) == (row.decision, row.reason)
        assert answer["blast_probability"] == pytest.approx(row.blast_probability, abs=1e-4)
        assert answer["novelty"] == (None if row.novelty is None else pytest.approx(row.novelty, abs=1e-3))
