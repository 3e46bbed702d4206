"""The runtime is small: what a prediction loads, and what it holds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

FRAMEWORKS = (
    "torch",
    "torchvision",
    "timm",
    "lightning",
    "sklearn",
    "scipy",
    "matplotlib",
    "onnx",
    "pandas",
    "pyarrow",
    "openvino",
)

ONE_PREDICTION = """
import json, sys
import leukoscope
from leukoscope.inference.predict import predict
table = leukoscope.load(sys.argv[1]).predict(sys.argv[2])
assert table.frame["blast_probability"].null_count() == 0
done = predict(sys.argv[1], sys.argv[2], out=sys.argv[3] + "/t.parquet", by_subject=sys.argv[3] + "/s.csv")
assert done.num_cells == table.frame.height
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""


def run(script: str, *arguments: object) -> str:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_whole_prediction_loads_no_framework(tiny_bundle, tiny_cohort, tmp_path):
    loaded = json.loads(run(ONE_PREDICTION, tiny_bundle, tiny_cohort, tmp_path))
    assert not set(FRAMEWORKS) & set(loaded)
    assert {"onnxruntime", "polars", "leukoscope"} <= set(loaded), "it did predict"


def test_importing_the_package_loads_nothing():
    loaded = json.loads(run("import json, sys, leukoscope; print(json.dumps(sorted(sys.modules)))"))
    assert not {"numpy", "polars", "cv2", "onnxruntime", "pydantic"} & set(loaded)


MEMORY = """
import sys
from leukoscope.inference.predict import predict

def cells(folder, kind):
    if kind == "names":
        return iter(f"{folder}/{place}.bmp" for place in range(int(sys.argv[5])))
    return folder if kind == "folder" else f"{folder}/*.bmp"

done = predict(sys.argv[1], cells(sys.argv[2], sys.argv[4]), out=sys.argv[3], backend="onnxruntime")
status = open("/proc/self/status").read()
print(done.num_cells, done.num_unreadable, status.split("VmHWM:")[1].split()[0])
"""


def many_links(folder: Path, files: list[Path], num: int) -> Path:
    folder.mkdir()
    for place in range(num):
        (folder / f"{place}.bmp").symlink_to(files[place % len(files)])
    return folder


def small_cells(folder: Path) -> list[Path]:
    """Drawn discs of 90x90 pixels: what grows with the number of cells does so whatever their size."""
    import cv2
    import numpy as np

    folder.mkdir()
    files = [folder / f"{radius}.bmp" for radius in range(26, 42)]
    for radius, file in enumerate(files, 26):
        cell = np.zeros((90, 90, 3), np.uint8)
        cv2.circle(cell, (45, 45), radius, (120, 60, 90), -1)
        cv2.imwrite(str(file), cell)
    return files


def peak_megabytes(bundle: Path, folder: Path, kind: str, num: int) -> float:
    out = folder.with_suffix(".parquet")
    cells, unreadable, kilobytes = run(MEMORY, bundle, folder, out, kind, num).split()
    assert (int(cells), int(unreadable)) == (num, 0)
    return int(kilobytes) / 1024


reads_peaks = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from /proc")


@reads_peaks
def test_five_times_the_cells_take_no_more_memory(make_bundle, tmp_path):
    files, bundle = small_cells(tmp_path / "cells"), make_bundle(tmp_path / "m.leuko")
    few = peak_megabytes(bundle, many_links(tmp_path / "few", files, 1_000), "folder", 1_000)
    many = peak_megabytes(bundle, many_links(tmp_path / "many", files, 5_000), "folder", 5_000)
    assert many - few < 30, f"{few:.0f} MB for 1,000 cells, {many:.0f} MB for 5,000"


@pytest.mark.slow
@reads_peaks
@pytest.mark.parametrize("kind", ["folder", "names", "pattern"])
def test_memory_does_not_grow_with_the_number_of_cells(make_bundle, tmp_path, kind):
    import polars as pl

    files = small_cells(tmp_path / "cells")
    bundle = make_bundle(tmp_path / "m.leuko")
    few = many_links(tmp_path / "few", files, 2_000)
    many = many_links(tmp_path / "many", files, 100_000)
    small = peak_megabytes(bundle, few, kind, 2_000)
    large = peak_megabytes(bundle, many, kind, 100_000)
    assert large - small < 60, f"{small:.0f} MB for 2,000 cells, {large:.0f} MB for 100,000"
    ids = pl.read_parquet(tmp_path / "many.parquet", columns=["cell_id"])["cell_id"]
    before = "" if kind == "folder" else f"{many}/"
    assert ids.to_list() == [f"{before}{place}.bmp" for place in range(100_000)]
