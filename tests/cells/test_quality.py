"""quality: a good cell has no flag, and each way of being unfit has its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leukoscope.cells.decode import decode
from leukoscope.cells.measure import measure
from leukoscope.cells.quality import FLAGS, Quality, QualityLimits, examine
from leukoscope.errors import UsageError

Draw = Callable[..., np.ndarray]


def flags(image: np.ndarray, **limits: float) -> tuple[str, ...]:
    return examine(image, QualityLimits(**limits))[1].flags


@settings(deadline=None, max_examples=40)
@given(
    radius=st.integers(66, 125), x=st.integers(140, 310), y=st.integers(140, 310), share=st.floats(0.8, 1.5)
)
def test_a_good_cell_has_no_flag(cell: Draw, radius: int, x: int, y: int, share: float):
    colour = tuple(share * value for value in (68, 28, 78))
    assert flags(cell(radius=radius, centre=(x, y), colour=colour)) == ()


def two_cells(cell: Draw, *, apart: int, radius: int) -> np.ndarray:
    return cell(radius=80, centre=(130, 225)) | cell(radius=radius, centre=(130 + 80 + apart + radius, 225))


def blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    inside = image.any(axis=2, keepdims=True)
    return np.maximum(cv2.GaussianBlur(image, (0, 0), sigma), 1) * inside


def with_glare(image: np.ndarray) -> np.ndarray:
    glare = image.copy()
    cv2.circle(glare, (225, 225), 20, (255, 255, 255), -1)
    return glare


UNFIT: dict[str, tuple[Callable[[Draw], np.ndarray], tuple[str, ...]]] = {
    "black": (lambda cell: np.zeros((450, 450, 3), np.uint8), ("blank",)),
    "white": (lambda cell: np.full((450, 450, 3), 255, np.uint8), ("blank",)),
    "a photograph": (lambda cell: cv2.max(cell(), 140), ("not-segmented",)),
    "a speck": (lambda cell: cell(radius=15), ("none",)),
    "two cells": (lambda cell: two_cells(cell, apart=20, radius=70), ("several",)),
    "a cell and a smaller one": (lambda cell: two_cells(cell, apart=20, radius=46), ("several",)),
    "touching cells": (lambda cell: two_cells(cell, apart=-6, radius=70), ("several",)),
    "cut by the image": (lambda cell: cell(centre=(60, 225)), ("border",)),
    "cut before it was pasted": (lambda cell: np.roll(cell(centre=(40, 225)), 130, axis=1), ("border",)),
    "a small one": (lambda cell: cell(radius=50), ("small",)),
    "a large one": (lambda cell: cell(radius=150), ("large",)),
    "a very large one": (lambda cell: cell(radius=200), ("large", "beyond-field")),
    "a dark one": (lambda cell: cell(colour=(40, 15, 46)), ("dark",)),
    "a bright one": (lambda cell: cell(colour=(158, 93, 169)), ("bright",)),
    "a grey one": (lambda cell: cell(colour=(60, 60, 60)), ("colour",)),
    "a green one": (lambda cell: cell(colour=(35, 80, 35)), ("colour",)),
    "glare": (lambda cell: with_glare(cell()), ("saturated",)),
    "blurred by 2 pixels": (lambda cell: blurred(cell(), 2), ("blurred",)),
    "blurred by 5 pixels": (lambda cell: blurred(cell(), 5), ("blurred",)),
}


@pytest.mark.parametrize("name", UNFIT)
def test_each_flaw_has_its_flag(cell: Draw, name: str):
    make, expected = UNFIT[name]
    assert flags(make(cell)) == expected


def test_every_flag_is_drawn_above():
    assert {flag for _, expected in UNFIT.values() for flag in expected} == set(FLAGS)


@pytest.mark.parametrize("name", UNFIT)
def test_turns_and_mirrors_change_no_flag(cell: Draw, name: str):
    make, expected = UNFIT[name]
    image = make(cell)
    for turns in range(4):
        assert flags(np.rot90(image, turns)) == flags(np.rot90(image, turns)[:, ::-1]) == expected


def test_a_crumb_beside_a_cell_is_no_second_one(cell: Draw):
    assert flags(two_cells(cell, apart=20, radius=25)) == ()


def test_a_tail_is_no_second_body(cell: Draw):
    image = cell()
    image[215:235, 320:400] = image[200:220, 200:280]
    assert flags(image) == ()


@pytest.mark.parametrize("quality", [80, 90, 95])
def test_a_jpeg_copy_is_as_good(cell: Draw, quality: int):
    copy = cv2.imencode(".jpg", cell()[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    assert flags(decode(copy.tobytes())) == ()


@pytest.mark.parametrize(
    ("limits", "flag"),
    [
        ({"field": 200}, "beyond-field"),
        ({"none_area": 32_000}, "none"),
        ({"min_area": 32_000}, "small"),
        ({"max_area": 31_000}, "large"),
        ({"min_brightness": 50.0}, "dark"),
        ({"max_brightness": 40.0}, "bright"),
        ({"min_stain": 0.3}, "colour"),
        ({"max_stain": 0.25}, "colour"),
        ({"max_straight_share": 0.001}, "border"),
        ({"min_sharpness": 1.0}, "blurred"),
    ],
)
def test_limits_are_obeyed(cell: Draw, limits: dict[str, float], flag: str):
    assert flags(cell()) == ()
    assert flags(cell(), **limits) == (flag,)


def test_measures_are_those_of_measure(cell: Draw):
    for image in (cell(), cv2.max(cell(), 140), np.zeros((9, 9, 3), np.uint8)):
        assert examine(image)[0] == measure(image)


def test_flags_come_in_their_order(cell: Draw):
    found = flags(cell(centre=(40, 225), radius=200, colour=(158, 93, 169)))
    assert list(found) == sorted(found, key=list(FLAGS).index)
    assert len(found) >= 3
    assert Quality(found).text == ",".join(found)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (2, 2), (3, 700)])
def test_strange_shapes_are_judged(shape: tuple[int, int]):
    for level in (0, 90):
        assert flags(np.full((*shape, 3), level, np.uint8)) == ("blank",)


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**32 - 1), height=st.integers(1, 300), width=st.integers(1, 300))
def test_anything_is_judged(seed: int, height: int, width: int):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    image *= rng.random((height, width, 1)) < rng.random()
    assert set(flags(image, none_area=0, min_area=0)) <= set(FLAGS)


def test_what_is_no_image_is_refused():
    with pytest.raises(UsageError):
        examine(np.zeros((4, 4), np.uint8))


@pytest.mark.real
def test_real_cells_are_good(real_data: Path):
    paths = [path for path in real_data.rglob("*") if path.suffix in (".bmp", ".webp")]
    found = [flags(decode(path)) for path in paths]
    assert len(found) >= 100
    unfit = [path.name for path, flag in zip(paths, found, strict=True) if set(flag) - {"border"}]
    assert len(unfit) < 0.02 * len(found), unfit
    assert sum("border" in flag for flag in found) < 0.03 * len(found)


@pytest.mark.real
def test_blurred_real_cells_are_noticed(real_data: Path):
    paths = sorted((real_data / "C-NMC_Leukemia" / "training_data").rglob("*.*"))[::5]
    images = [cv2.GaussianBlur(decode(path), (0, 0), 2.5) for path in paths]
    assert np.mean(["blurred" in flags(image) for image in images]) > 0.95
