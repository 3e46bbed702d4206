"""The light of a photograph is read from its empty background and taken out of it; without one nothing
changes."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leukoscope.cells import light
from leukoscope.cells.decode import decode
from leukoscope.cells.light import LEVEL, Light
from leukoscope.cohort.synthetic_smear import synthesize_smear

NEUTRAL = (1.0, 1.0, 1.0)
LAMPS = {"neutral": NEUTRAL, "warm": (1.1, 0.9, 0.65), "blue": (0.75, 0.9, 1.05)}


def field(seed: int = 3, **how) -> np.ndarray:
    return synthesize_smear(
        seed=seed, **{"width": 640, "height": 480, "unevenness": 0.0, "red_cells": 40} | how
    ).image


def as_if_even(image: np.ndarray) -> np.ndarray:
    """An evenly lit photograph at LEVEL: each channel scaled by its commonest value, which is its
    background's."""
    modes = [np.bincount(image[:, :, channel].ravel()).argmax() for channel in range(3)]
    return np.minimum(image * (LEVEL / np.array(modes)), 255)


def lit(image: np.ndarray, lamp: tuple[float, ...] = NEUTRAL, fall: float = 0.0) -> np.ndarray:
    """The photograph under a lamp of another colour that falls off towards the lower right by a share
    ``fall``."""
    height, width = image.shape[:2]
    y, x = np.linspace(-0.7, 1, height)[:, None], np.linspace(-0.5, 1, width)[None, :]
    shade = 1 - fall * (x**2 + y**2) / 2
    return np.rint(np.clip(image * shade[:, :, None] * np.array(lamp), 0, 255)).astype(np.uint8)


def corrected(image: np.ndarray) -> np.ndarray:
    return Light.of(image).even(image)


@pytest.mark.parametrize("seed", [3, 4])
@pytest.mark.parametrize("fall", [0.0, 0.25, 0.45])
@pytest.mark.parametrize("lamp", LAMPS)
def test_uneven_and_coloured_light_is_taken_out(seed, lamp, fall):
    plain = field(seed)
    seen, truth = lit(plain, LAMPS[lamp], fall), as_if_even(plain)
    before, after = (np.abs(image - truth).mean() for image in (seen, corrected(seen)))
    assert after < 3
    assert after < before / 3


def test_more_red_cells_than_background_do_no_harm():
    plain = field(5, red_cells=130)
    seen = lit(plain, LAMPS["warm"], 0.3)
    assert np.abs(corrected(seen) - as_if_even(plain)).mean() < 4


@settings(max_examples=15)
@given(st.integers(0, 50), st.floats(0.4, 1.05))
def test_under_even_light_only_the_exposure_changes(seed, exposure):
    seen = lit(field(seed, width=320, height=280, red_cells=10), (exposure,) * 3)
    assert np.abs(corrected(seen) - as_if_even(seen)).mean() < 2


@settings(max_examples=15)
@given(st.integers(0, 50), st.sampled_from(sorted(LAMPS)), st.floats(0, 0.4))
def test_light_that_was_evened_is_even(seed, lamp, fall):
    once = corrected(lit(field(seed, width=320, height=280, red_cells=10), LAMPS[lamp], fall))
    assert np.abs(corrected(once).astype(int) - once).max() <= 6
    assert np.abs(corrected(once).astype(int) - once).mean() < 1.5


@settings(max_examples=30)
@given(st.data())
def test_a_part_is_as_in_the_whole(data):
    image = lit(field(width=330, height=270), LAMPS["warm"], 0.4)
    found = Light.of(image)
    x, y = data.draw(st.integers(0, 329)), data.draw(st.integers(0, 269))
    width, height = data.draw(st.integers(1, 330 - x)), data.draw(st.integers(1, 270 - y))
    part = found.even(image[y : y + height, x : x + width], x, y)
    assert np.array_equal(part, found.even(image)[y : y + height, x : x + width])


def test_the_photograph_stays_as_it_was():
    image = lit(field(), LAMPS["blue"], 0.4)
    before = image.copy()
    assert not np.array_equal(corrected(image), before)
    assert np.array_equal(image, before)


def test_a_large_photograph_is_read_at_some_of_its_pixels(monkeypatch):
    plain = field(width=1200, height=900, red_cells=120)
    seen = lit(plain, LAMPS["warm"], 0.4)
    monkeypatch.setattr(light, "_SAMPLE", 20_000)
    assert np.abs(corrected(seen) - as_if_even(plain)).mean() < 3


def test_overexposed_background_is_neutral_and_nothing_wraps():
    plain = field()
    seen = lit(plain, (1.5, 1.1, 1.0))
    assert (seen[:, :, 0] == 255).mean() > 0.5
    even = corrected(seen)
    assert np.abs(np.median(even.reshape(-1, 3), axis=0) - LEVEL).max() <= 2
    assert (even[seen == 255] >= LEVEL - 2).all()
    assert even[plain.max(axis=2) < 150].max() < LEVEL


def test_what_is_brighter_than_the_lamp_is_clipped():
    seen = lit(field(), (0.6, 0.6, 0.6))
    seen[100:110, 100:110] = 255
    assert (corrected(seen)[100:110, 100:110] == 255).all()


def test_black_stays_black():
    seen = lit(field(), (0.6, 0.6, 0.6))
    seen[200:230, 200:260] = 0
    assert not corrected(seen)[200:230, 200:260].any()


def test_a_round_field_on_black():
    plain = field()
    inside = cv2.circle(np.zeros(plain.shape[:2], np.uint8), (320, 240), 235, 1, -1) > 0
    seen = lit(plain, LAMPS["warm"], 0.2) * inside[:, :, None]
    even = corrected(seen)
    assert not even[~inside].any()
    assert np.abs(even - as_if_even(plain))[inside].mean() < 4


def without_background(cell) -> dict[str, np.ndarray]:
    chance = np.random.default_rng(0)
    smooth = cv2.GaussianBlur(chance.integers(0, 255, (300, 300, 3), dtype=np.uint8), (0, 0), 9)
    thick = field(6, red_cells=1500)
    return {
        "a cell on black": cell(),
        "a pale cell on black": cell(colour=(190, 170, 200), radius=180),
        "dark": field() // 5,
        "black": np.zeros((200, 300, 3), np.uint8),
        "cells on cells": thick,
        "inside of a cell": cell(radius=150)[150:300, 150:300],
        "one strong colour": np.full((200, 300, 3), (200, 40, 60), np.uint8),
        "noise": chance.integers(0, 256, (300, 400, 3), dtype=np.uint8),
        "clouds": cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX),
        "one dark pixel": np.full((1, 1, 3), 9, np.uint8),
    }


@pytest.mark.parametrize("name", without_background(lambda **_: np.zeros((450, 450, 3), np.uint8)))
def test_without_empty_background_nothing_changes(name, cell):
    image = without_background(cell)[name]
    assert Light.of(image).surface is None
    assert np.array_equal(corrected(image), image)


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (7, 9)])
def test_tiny_pictures_are_no_crash(shape):
    assert corrected(np.full((*shape, 3), 200, np.uint8)).shape == (*shape, 3)


@pytest.mark.real
def test_the_background_of_bccd_becomes_even_and_neutral():
    named = os.environ.get("LEUKOSCOPE_BCCD", "")
    if not named:
        pytest.skip("LEUKOSCOPE_BCCD names no folder of BCCD (JPEGImages, Annotations)")
    paths = sorted((Path(named) / "JPEGImages").glob("*.jpg"))[::9]
    before, after = np.array([_unevenness(decode(path)) for path in paths]).T
    assert np.median(after) < np.median(before) / 2
    assert np.mean(after < before) > 0.95


def _unevenness(image: np.ndarray) -> tuple[float, float]:
    """How far the background of the four quarters and of the three channels lies apart, before and after."""
    found = []
    for picture in (image, corrected(image)):
        quarters = [half for row in np.array_split(picture, 2) for half in np.array_split(row, 2, axis=1)]
        values = [np.bincount(part[:, :, c].ravel()).argmax() for part in quarters for c in range(3)]
        found.append(float(np.std(values)))
    return found[0], found[1]
