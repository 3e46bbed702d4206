"""JPEG in batches against Pillow, which calls libjpeg."""

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from leukoscope.cohort.cell_drawing import draw_cell
from leukoscope.cohort.synthetic_people import draw_look, draw_people
from leukoscope.training.jpeg import through_jpeg


def cells(size: int) -> np.ndarray:
    """Three synthetic blasts, uint8 (3, size, size, 3)."""
    rng = np.random.default_rng(0)
    person = draw_people(1, blast=True, first=1, rng=rng)[0]
    drawn = [draw_cell(draw_look(person, rng, size=0.0), rng, side=450) for _ in range(3)]
    return np.stack([np.asarray(Image.fromarray(cell).resize((size, size))) for cell in drawn])


def by_pillow(pixels: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    return np.asarray(Image.open(file)).astype(float)


def ours(pixels: np.ndarray, quality: list[int]) -> np.ndarray:
    floats = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
    return through_jpeg(floats, torch.tensor(quality).float()).permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("size", [45, 64, 120])
@pytest.mark.parametrize("quality", [5, 10, 30, 49, 50, 80, 95, 100])
def test_it_is_what_pillow_makes(size, quality):
    pixels = cells(size)
    theirs = np.stack([by_pillow(cell, quality) for cell in pixels])
    error = abs(theirs - pixels).mean()
    assert abs(ours(pixels, [quality] * 3) - theirs).mean() < 0.25 * error


def test_each_picture_has_a_quality_of_its_own():
    pixels = cells(64)
    together = ours(pixels, [10, 50, 90])
    alone = [ours(cell[None], [quality])[0] for cell, quality in zip(pixels, (10, 50, 90), strict=True)]
    assert np.array_equal(together, alone)
    errors = abs(together - pixels).mean((1, 2, 3))
    assert errors[0] > errors[1] > errors[2] > 0


@given(
    level=st.integers(0, 255),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    quality=st.integers(1, 100),
)
@settings(max_examples=40, deadline=None)
def test_a_plain_grey_of_any_size_is_off_by_its_quantisation_at_most(level, height, width, quality):
    """The mean of a block is an eighth of its first coefficient, whose step is at most 255 at quality 1."""
    pixels = np.full((1, height, width, 3), level, np.uint8)
    changed = ours(pixels, [quality])
    assert changed.shape == pixels.shape
    step = min(255, np.floor((16 * (5000 // quality if quality < 50 else 200 - 2 * quality) + 50) / 100))
    assert abs(changed - level).max() <= max(step, 1) / 16 + 1
    assert np.ptp(changed) <= 1e-6
