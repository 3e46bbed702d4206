"""What the starter does with pictures that are no segmented cells: no answer, and the reason why."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from sklearn.datasets import load_sample_image

import leukoscope
from leukoscope.cells.corrupt import on_ground
from leukoscope.cells.decode import decode
from leukoscope.cohort.cell_drawing import Look, draw_cell

NOT_A_CELL = {
    "black": "quality: blank",
    "one colour": "quality: blank",
    "noise": "quality: not-segmented",
    "photograph": "quality: not-segmented",
    "cell on a smear": "quality: not-segmented",
    "colours inverted": "quality: not-segmented",
    "colours inverted inside the cell": "novel",
    "noise in the outline of a cell": "novel",
    "photograph in the outline of a cell": "novel",
}


@cache
def starter():
    return leukoscope.load("starter")


def judged(images):
    return starter().predict(list(images)).frame


def strange(cell):
    """The pictures of :data:`NOT_A_CELL` made from one segmented cell."""
    rng = np.random.default_rng(0)
    inside = cell.any(axis=2, keepdims=True)
    noise = rng.integers(1, 256, cell.shape, dtype=np.uint8)
    top, left = rng.integers(0, 100, 2)
    photograph = np.maximum(load_sample_image("flower.jpg"), 1)[top : top + 320, left : left + 450]
    photograph = np.concatenate([photograph, photograph[:130]])
    return {
        "black": np.zeros_like(cell),
        "one colour": np.full_like(cell, 90),
        "noise": noise,
        "photograph": photograph,
        "cell on a smear": on_ground(cell, np.inf),
        "colours inverted": 255 - cell,
        "colours inverted inside the cell": np.where(inside, np.maximum(255 - cell, 1), 0).astype(np.uint8),
        "noise in the outline of a cell": np.where(inside, noise, 0).astype(np.uint8),
        "photograph in the outline of a cell": np.where(inside, photograph, 0).astype(np.uint8),
    }


@pytest.fixture(scope="module")
def drawn():
    rng = np.random.default_rng(3)
    return [draw_cell(Look(radius, 1.1, 0.5, 1, (66, 28, 79), 1.0), rng) for radius in (85, 95, 105)]


def test_pictures_that_are_no_cells_get_no_answer_and_the_reason(drawn):
    for cell in drawn:
        pictures = strange(cell)
        rows = judged(pictures.values())
        assert rows["decision"].to_list() == ["indeterminate"] * len(pictures)
        assert dict(zip(pictures, rows["reason"], strict=True)) == NOT_A_CELL


def test_a_cell_upside_down_or_mirrored_is_not_strange(drawn):
    views = [view for cell in drawn for view in (cell, cell[::-1, ::-1], cell[:, ::-1])]
    rows = judged(map(np.ascontiguousarray, views))
    assert rows["reason"].is_in(["novel"]).sum() == 0
    novelty = rows["novelty"].to_numpy().reshape(len(drawn), 3)
    assert np.abs(novelty / novelty[:, :1] - 1).max() < 0.2


@pytest.mark.real
def test_the_same_of_real_cells(real_data):
    files = sorted((real_data / "C-NMC_Leukemia" / "training_data").rglob("*.bmp"))[::10]
    cells = [decode(file) for file in files]
    for cell in cells[:5]:
        pictures = strange(cell)
        assert dict(zip(pictures, judged(pictures.values())["reason"], strict=True)) == NOT_A_CELL
    upside_down = judged(np.ascontiguousarray(cell[::-1, ::-1]) for cell in cells)
    assert (upside_down["reason"] == "novel").sum() <= 1 + (judged(cells)["reason"] == "novel").sum()
    assert (upside_down["decision"] != "indeterminate").mean() > 0.9
