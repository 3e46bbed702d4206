"""``docs/bundle-format.md``, followed to the letter with numpy alone, gives what Leukoscope gives.

The functions here know the page and nothing of the package; the tests compare.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from leukoscope.bundle.format import NoveltyLimit
from leukoscope.bundle.read import open_bundle
from leukoscope.cells.corrupt import CORRUPTIONS
from leukoscope.cells.decode import decode
from leukoscope.cells.measure import measure
from leukoscope.cells.preprocess import Preprocess
from leukoscope.evaluation.calibration import Calibration
from leukoscope.evaluation.operating_points import OperatingPoint
from leukoscope.inference.predictor import load

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "bundle-format.md"
EXAMPLE = ROOT / "examples" / "run_bundle.py"


def page_body(image):
    """Step 2: the mask of what is not black, its box ``x, y, width, height``, and whether there is noise."""
    mask = image.max(axis=2)
    box = page_box(mask)
    if box is None:
        return mask, None, False
    rows = mask[box[1] : box[1] + box[3], box[0] : box[0] + box[2]]
    area = (rows > 0).sum()
    faint = [step * ((rows[::step] > 0) & (rows[::step] <= 20)).sum() / area for step in (8, 1)]
    if min(faint) > 0.03:
        mask = np.where(mask > 20, mask, 0)
        return mask, page_box(mask), True
    return mask, box, False


def page_box(mask):
    y, x = np.nonzero(mask)
    return (x.min(), y.min(), x.max() - x.min() + 1, y.max() - y.min() + 1) if len(x) else None


def page_segmented(mask, box):
    """Step 3."""
    if box is None or (mask > 0).sum() >= 0.97 * box[2] * box[3]:
        return False
    corners = [mask[row, column] > 20 for row in (0, -1) for column in (0, -1)]
    return sum(corners) <= 1


def page_model_input(image, field, size):
    """Steps 2 to 4."""
    mask, box, _ = page_body(image)
    if page_segmented(mask, box):
        x, y, width, height = box
        image = (image * (mask > 0)[..., None])[y : y + height, x : x + width]
    window = np.zeros((field, field, 3))
    rows, columns = (np.arange(field) - field // 2 + length // 2 for length in image.shape[:2])
    down, across = (rows >= 0) & (rows < len(image)), (columns >= 0) & (columns < image.shape[1])
    window[np.ix_(down, across)] = image[np.ix_(rows[down], columns[across])]
    start, pixel = np.arange(size)[:, None] * field / size, np.arange(field)
    overlap = np.minimum(start + field / size, pixel + 1) - np.maximum(start, pixel)
    share = np.maximum(overlap, 0) / (field / size)
    mean = np.einsum("ij,jkc,lk->ilc", share, window, share, optimize=True)
    mean = np.round(mean, 6)  # what is a half shall be one
    return (np.floor(mean + 0.5) if field == 2 * size else np.rint(mean)).astype(np.uint8)


def page_probabilities(logits, fit):
    """Step 6."""
    if fit["method"] in ("temperature", "platt"):
        scores = [
            value / fit["temperature"] + (fit["bias"][place] if fit["bias"] else 0)
            for place, value in enumerate(logits)
        ]
        odds = [math.exp(score - max(scores)) for score in scores]
        return [value / sum(odds) for value in odds]
    z = logits[1] - logits[0]
    if fit["method"] == "beta":
        a, b, c = fit["beta"]
        second = 1 / (1 + math.exp(-(a * -math.log1p(math.exp(-z)) + b * math.log1p(math.exp(z)) + c)))
        return [1 - second, second]
    knots = fit["knots"]
    if z <= knots[0][0] or z >= knots[-1][0]:
        second = knots[0][1] if z <= knots[0][0] else knots[-1][1]
        return [1 - second, second]
    (z0, p0), (z1, p1) = next(pair for pair in itertools.pairwise(knots) if pair[1][0] >= z)
    second = p0 + (p1 - p0) * (z - z0) / (z1 - z0)
    return [1 - second, second]


def page_flag(image, info):
    """Step 9: the one of the three flags that is set, if any."""
    mask, box, _ = page_body(image)
    if box is None:
        return "blank"
    if not page_segmented(mask, box):
        rows = image[:: max(1, image.shape[0] // 128)].reshape(-1, 3)
        return "blank" if rows.std(axis=0).max() < 2 else "not-segmented"
    return "none" if (mask > 0).sum() < info["quality_limits"]["none_area"] else None


def page_ruler(image, ruler):
    """Step 11."""
    mask, box, _ = page_body(image)
    if ruler is None or not page_segmented(mask, box):
        return None
    width, height = int(box[2]), int(box[3])
    features = {
        "width": width,
        "height": height,
        "log_area": math.log(width * height),
        "log_aspect": math.log(width / height),
    }
    linear = ruler["intercept"] + sum(
        weight * (features[name] - mean) / scale
        for name, mean, scale, weight in zip(
            ruler["features"], ruler["mean"], ruler["scale"], ruler["coefficients"], strict=True
        )
    )
    return 1 / (1 + math.exp(-linear))


def page_answer(image, folder):
    """Steps 2 to 11 of one image: what a row of the table says."""
    import onnxruntime

    info = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    cell = page_model_input(image, info["preprocess"]["field"], info["preprocess"]["size"])
    views = [np.rot90(side, turns) for side in (cell, cell[:, ::-1]) for turns in range(4)]
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    batch = np.stack(views[: info["views"]])
    logits, embedding = session.run(["logits", "embedding"], {"cells": batch})
    mean = logits.mean(axis=0).tolist()
    probabilities = page_probabilities(mean, info["calibration"])
    p = sum(probabilities[info["classes"].index(name)] for name in info["positive_classes"])
    distance, reason = None, None
    if info["novelty"]:
        known = np.load(folder / "novelty.npz")["embeddings"].astype(np.float64)
        apart = np.sqrt(np.mean((known - embedding[0]) ** 2, axis=1))
        distance = np.sort(apart)[info["novelty"]["k"] - 1]
    flag, point = page_flag(image, info), info["operating_points"][0]
    if flag in info["forbidding_flags"]:
        reason = f"quality: {flag}"
    elif distance is not None and distance > info["novelty"]["distance"]:
        reason = "novel"
    elif point["normal_below"] <= p < point["blast_from"]:
        reason = "between thresholds"
    call = "blast" if p >= point["blast_from"] else "normal"
    return {
        "decision": "indeterminate" if reason else call,
        "reason": reason,
        "blast_probability": p,
        "logits": mean,
        "novelty": distance,
        "ruler_probability": page_ruler(image, info["ruler"]),
    }


def agree(image, folder, model):
    found, row = page_answer(image, folder), model.predict_one(image)
    assert (row.decision, row.reason) == (found["decision"], found["reason"])
    assert row.blast_probability == pytest.approx(found["blast_probability"], abs=1e-6)
    assert list(row.logits.values()) == pytest.approx(found["logits"], abs=1e-5)
    for name in ("novelty", "ruler_probability"):
        expected = found[name]
        assert getattr(row, name) == (expected if expected is None else pytest.approx(expected, abs=1e-3))


STARTER = open_bundle("starter").path
POINT = {"name": "p", "criterion": "none", "target": None}
BUNDLES = {
    "platt": {"calibration": Calibration(method="platt", temperature=0.7, bias=(0.0, 0.3)), "views": 8},
    "beta": {"calibration": Calibration(method="beta", beta=(1.3, 0.6, -0.2)), "ruler": None},
    "isotonic": {
        "calibration": Calibration(method="isotonic", knots=((-1.0, 0.1), (0.2, 0.3), (0.9, 0.95))),
        "preprocess": Preprocess(field=450, size=32),
        "novelty": NoveltyLimit(distance=0.65, k=3),
    },
    "two thresholds": {
        "operating_points": (OperatingPoint(normal_below=0.55, blast_from=0.62, **POINT),),
        "forbidding_flags": ("blank", "none"),
        "preprocess": Preprocess(field=64, size=32),
        "novelty": None,
    },
}


@pytest.fixture(scope="module")
def images(tiny_cohort) -> dict[str, np.ndarray]:
    """Drawn cells, the same spoilt, and what is no cell."""
    files = sorted(tiny_cohort.rglob("*.bmp"))[::16]
    cells = {file.name: decode(file) for file in files}
    first = next(iter(cells.values()))
    noise = np.random.default_rng(1).integers(0, 256, (450, 450, 3), dtype=np.uint8)
    spoilt = {corruption.name: corruption.apply(first) for corruption in CORRUPTIONS}
    small, odd = np.zeros((450, 450, 3), np.uint8), np.zeros((301, 503, 3), np.uint8)
    small[200:230, 100:140][np.indices((30, 40)).sum(axis=0) > 9] = (90, 40, 120)
    odd[3:290, 8:203] = first[80:367, 120:315]
    faint = np.where(first.max(axis=2, keepdims=True) > 0, first // 12 + 1, 0).astype(np.uint8)
    return (
        cells
        | spoilt
        | {
            "black": np.zeros((450, 450, 3), np.uint8),
            "grey": np.full((450, 450, 3), 128, np.uint8),
            "noise": noise,
            "faint noise": (noise // 16).astype(np.uint8),
            "faint": faint,
            "small": small,
            "odd size": odd,
            "turned": np.rot90(odd),
            "at the edge": first[:, 225:],
            "one column": first[:, 220:221],
        }
    )


@pytest.mark.parametrize("name", BUNDLES)
def test_the_page_says_how_each_kind_of_bundle_is_run(name, make_bundle, tmp_path, images):
    folder = make_bundle(tmp_path / "m.leuko", **BUNDLES[name])
    model = load(folder)
    for image in images.values():
        agree(image, folder, model)


def test_the_page_says_how_the_starter_is_run(images):
    model = load("starter")
    for image in list(images.values())[:6]:
        agree(image, STARTER, model)


@pytest.mark.parametrize(
    ("field", "size"),
    [(336, 112), (384, 128), (448, 224), (450, 45), (384, 96), (450, 128), (301, 100), (64, 64)],
)
def test_the_page_gives_the_input_to_the_pixel(field, size, images):
    """Where the field is no multiple of the size, a mean that lies within rounding of a half may differ."""
    cell, *others = (images[name] for name in ("faint", "odd size", "JPEG, strong", "noise"))
    for image in (cell, *others):
        ours, page = Preprocess(field=field, size=size).apply(image), page_model_input(image, field, size)
        away = np.abs(ours.astype(int) - page)
        assert away.max() <= (0 if field % size == 0 else 1)
        assert (away > 0).mean() < 0.002


def worked_cell():
    """The cell that the page draws."""
    row, column = np.indices((450, 450))
    inside = (76 * (row - 220)) ** 2 + (90 * (column - 235)) ** 2 <= (76 * 90) ** 2
    red = 93 + (4 * row + 6 * column) // 38 % 7
    green = 38 + (6 * row + 4 * column) // 38 % 3
    blue = 95 + (4 * row + 10 * column) // 38 % 7
    return (np.stack([red, green, blue], axis=2) * inside[..., None]).astype(np.uint8)


def worked_numbers():
    """What the package says of it."""
    image, bundle, model = worked_cell(), open_bundle("starter"), load("starter")
    facts, row = measure(image), model.predict_one(image)
    cell = bundle.info.preprocess.apply(image)
    return {
        "bundle_id": bundle.bundle_id,
        "image": {"sum": int(image.sum()), "row 220, column 235": image[220, 235].tolist()},
        "box (x, y, width, height)": [facts.cell_x, facts.cell_y, facts.cell_width, facts.cell_height],
        "area": facts.cell_area,
        "brightness": round(facts.brightness, 4),
        "stain": round(facts.stain, 6),
        "input": {
            "sum": int(cell.sum()),
            "row 56, column 56": cell[56, 56].tolist(),
            "row 27, column 55": cell[27, 55].tolist(),
            "sha256": hashlib.sha256(cell.tobytes()).hexdigest(),
        },
        "logits": [round(value, 4) for value in row.logits.values()],
        "raw_probability": round(row.raw_probability, 4),
        "blast_probability": round(row.blast_probability, 4),
        "novelty": round(row.novelty, 3),
        "ruler_probability": round(row.ruler_probability, 6),
        "quality": list(row.quality),
        "decision": row.decision,
        "reason": row.reason,
        "probability of the second class, logits -0.5 and 0.1": {
            f"{fit.method} {numbers}": round(float(fit.apply([[-0.5, 0.1]])[0, 1]), 6)
            for fit, numbers in (
                (Calibration(method="platt", temperature=0.7, bias=(0.0, 0.3)), "T = 0.7, bias = 0, 0.3"),
                (Calibration(method="beta", beta=(1.3, 0.6, -0.2)), "a, b, c = 1.3, 0.6, -0.2"),
                (
                    Calibration(method="isotonic", knots=((-1.0, 0.1), (0.2, 0.3), (0.9, 0.95))),
                    "knots = (-1, 0.1), (0.2, 0.3), (0.9, 0.95)",
                ),
            )
        },
    }


def approximately(value):
    if isinstance(value, dict):
        return {name: approximately(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [approximately(inner) for inner in value]
    return pytest.approx(value, abs=2e-3, rel=0) if isinstance(value, float) else value


def test_the_worked_example_of_the_page_holds():
    text = PAGE.read_text(encoding="utf-8")
    told = json.loads(re.search(r"## A worked example.*?```json\n(.*?)```", text, re.DOTALL)[1])
    found = worked_numbers()
    assert found == approximately(told), json.dumps(found, indent=2)
    agree(worked_cell(), STARTER, load("starter"))


def test_the_page_names_every_field_of_bundle_json_and_every_flag():
    from leukoscope.bundle.format import BundleInfo
    from leukoscope.cells.quality import FLAGS, QualityLimits
    from leukoscope.evaluation.people import PersonReading
    from leukoscope.evaluation.sizes import MedianSize

    text = PAGE.read_text(encoding="utf-8")
    models = (BundleInfo, PersonReading, Preprocess, Calibration, OperatingPoint, NoveltyLimit, QualityLimits)
    for model in (*models, MedianSize):
        for name in model.model_fields:
            assert f"`{name}`" in text, f"{model.__name__}.{name}"
    for flag in FLAGS:
        assert f"`{flag}`" in text


@pytest.mark.parametrize("bundle", ["starter", "second"])
def test_thirty_lines_give_the_same_answers(bundle, make_bundle, tmp_path, tiny_cohort):
    folder = STARTER if bundle == "starter" else make_bundle(tmp_path / "m.leuko", **BUNDLES["platt"])
    model = load(folder)
    for file in sorted(tiny_cohort.rglob("*.bmp"))[3:44:20]:
        ran = subprocess.run(
            [sys.executable, EXAMPLE, folder, file], capture_output=True, text=True, check=True, cwd=tmp_path
        )
        decision, probability = ran.stdout.split()
        row = model.predict_one(file)
        assert float(probability) == pytest.approx(row.blast_probability, abs=1e-4)
        assert decision == row.decision


def test_thirty_lines_refuse_what_they_do_not_know(make_bundle, tmp_path, tiny_cohort):
    from PIL import Image

    file = sorted(tiny_cohort.rglob("*.bmp"))[0]
    Image.fromarray(np.zeros((450, 450, 3), np.uint8)).save(tmp_path / "black.bmp")
    beta = make_bundle(tmp_path / "b.leuko", **BUNDLES["beta"])
    for folder, cell, says in (
        (STARTER, tmp_path / "black.bmp", "no cell on black"),
        (beta, file, "needs more"),
    ):
        ran = subprocess.run(
            [sys.executable, EXAMPLE, folder, cell], capture_output=True, text=True, check=False
        )
        assert ran.returncode == 1 and says in ran.stderr and not ran.stdout


def test_thirty_lines_are_thirty_and_need_onnxruntime_and_numpy_alone():
    text = EXAMPLE.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 30
    assert re.findall(r"^(?:import|from) (.*)", text, re.MULTILINE) == [
        "json, sys",
        "numpy as np",
        "onnxruntime",
    ]
