"""The light of a photograph is read from its empty background and taken out of it; without one nothing
changes."""

from __future__ import annotations

import os
from functools import cache
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


@cache
def field(seed: int = 3, width: int = 480, height: int = 360, red_cells: int = 22) -> np.ndarray:
    """A smear under even light, drawn once."""
    smear = synthesize_smear(seed=seed, width=width, height=height, red_cells=red_cells, unevenness=0.0)
    smear.image.flags.writeable = False
    return smear.image


def small_field(seed: int) -> np.ndarray:
    return field(seed, width=320, height=280, red_cells=10)


def as_if_even(image: np.ndarray) -> np.ndarray:
    """An evenly lit photograph at LEVEL: each channel scaled by its commonest value, which is its
    background's."""
    return np.minimum(image * (LEVEL / commonest(image)), 255)


def commonest(image: np.ndarray) -> np.ndarray:
    return np.array([np.bincount(image[:, :, channel].ravel()).argmax() for channel in range(3)])


def lit(image: np.ndarray, lamp: tuple[float, ...] = NEUTRAL, fall: float = 0.0) -> np.ndarray:
    """The photograph under a lamp of another colour that falls off towards the lower right by a share
    ``fall``."""
    height, width = image.shape[:2]
    y, x = np.linspace(-0.7, 1, height)[:, None], np.linspace(-0.5, 1, width)[None, :]
    shade = 1 - fall * (x**2 + y**2) / 2
    return np.rint(np.clip(image * shade[:, :, None] * np.array(lamp), 0, 255)).astype(np.uint8)


def corrected(image: np.ndarray) -> np.ndarray:
    return Light.of(image).even(image)


@pytest.mark.parametrize("fall", [0.0, 0.25, 0.45])
@pytest.mark.parametrize("lamp", LAMPS)
def test_uneven_and_coloured_light_is_taken_out(lamp, fall):
    plain = field()
    seen, truth = lit(plain, LAMPS[lamp], fall), as_if_even(plain)
    before, after = (np.abs(image - truth).mean() for image in (seen, corrected(seen)))
    assert after < 3
    assert after < before / 3


def test_more_red_cells_than_background_do_no_harm():
    plain = field(5, red_cells=70)
    seen = lit(plain, LAMPS["warm"], 0.3)
    assert np.abs(corrected(seen) - as_if_even(plain)).mean() < 4


@settings(max_examples=15)
@given(st.integers(0, 3), st.floats(0.4, 1.05))
def test_under_even_light_only_the_exposure_changes(seed, exposure):
    seen = lit(small_field(seed), (exposure,) * 3)
    assert np.abs(corrected(seen) - as_if_even(seen)).mean() < 2


@settings(max_examples=15)
@given(st.integers(0, 3), st.sampled_from(sorted(LAMPS)), st.floats(0, 0.4))
def test_light_that_was_evened_is_even(seed, lamp, fall):
    once = corrected(lit(small_field(seed), LAMPS[lamp], fall))
    assert np.abs(corrected(once).astype(int) - once).max() <= 6
    assert np.abs(corrected(once).astype(int) - once).mean() < 1.5


@settings(max_examples=30)
@given(st.data())
def test_a_part_is_as_in_the_whole(data):
    image = lit(small_field(0), LAMPS["warm"], 0.4)
    found = Light.of(image)
    x, y = data.draw(st.integers(0, 319)), data.draw(st.integers(0, 279))
    width, height = data.draw(st.integers(1, 320 - x)), data.draw(st.integers(1, 280 - y))
    part = found.even(image[y : y + height, x : x + width], x, y)
    assert np.array_equal(part, found.even(image)[y : y + height, x : x + width])


def test_the_photograph_stays_as_it_was():
    image = lit(field(), LAMPS["blue"], 0.4)
    before = image.copy()
    assert not np.array_equal(corrected(image), before)
    assert np.array_equal(image, before)


def test_a_large_photograph_is_read_at_some_of_its_pixels(monkeypatch):
    plain = field(width=900, height=700, red_cells=70)
    seen = lit(plain, LAMPS["warm"], 0.4)
    monkeypatch.setattr(light, "_SAMPLE", 20_000)
    assert np.abs(corrected(seen) - as_if_even(plain)).mean() < 3


def test_overexposed_background_is_neutral_and_nothing_wraps():
    plain = field()
    seen = lit(plain, (1.5, 1.1, 1.0))
    assert (seen[:, :, 0] == 255).mean() > 0.5
    even = corrected(seen)
    assert np.abs(commonest(even) - LEVEL).max() <= 2
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
    inside = cv2.circle(np.zeros(plain.shape[:2], np.uint8), (240, 180), 210, 1, -1) > 0
    seen = lit(plain, LAMPS["warm"], 0.2) * inside[:, :, None]
    even = corrected(seen)
    assert not even[~inside].any()
    assert np.abs(even - as_if_even(plain))[inside].mean() < 4


def without_background(cell) -> dict[str, np.ndarray]:
    chance = np.random.default_rng(0)
    smooth = cv2.GaussianBlur(chance.integers(0, 255, (300, 300, 3), dtype=np.uint8), (0, 0), 9)
    texture = cv2.GaussianBlur(chance.normal(0, 1, (300, 400)), (0, 0), 4)
    density = (0.2 + 0.08 * texture / texture.std())[:, :, None] * np.array([0.4, 1, 0.9])
    thick = synthesize_smear(
        seed=6, width=480, height=360, white_cells=0, touching_pairs=0, red_cells=200, unevenness=0.0
    )
    return {
        "a cell on black": cell(),
        "a pale cell on black": cell(colour=(190, 170, 200), radius=180),
        "dark": field() // 5,
        "black": np.zeros((200, 300, 3), np.uint8),
        "cells on cells": thick.image,
        "thin and thick all over": np.clip(230 * 10**-density, 0, 255).astype(np.uint8),
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
    """How far the bright ends of the four quarters and of the three channels lie apart, before and after."""
    found = []
    for picture in (image, corrected(image)):
        smooth = cv2.GaussianBlur(picture, (0, 0), 2)
        quarters = [half for row in np.array_split(smooth, 2) for half in np.array_split(row, 2, axis=1)]
        found.append(float(np.std([np.percentile(part, 85, axis=(0, 1)) for part in quarters])))
    return found[0], found[1]
