"""What goes wrong with a picture, by the stated amount: against OpenCV, Pillow, formulas and geometry."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from leukoscope.cells.corrupt import (
    CORRUPTIONS,
    GIEMSA,
    GROUND,
    blurred,
    exposed,
    on_ground,
    restained,
    scaled,
    through_jpeg,
)
from leukoscope.cells.measure import measure
from leukoscope.cohort.cell_drawing import Look, draw_cell

COLOUR = (66, 28, 79)


@pytest.fixture(scope="module")
def cell():
    return draw_cell(Look(90, 1.2, 0.5, 1, COLOUR, 1.0), np.random.default_rng(0))


@pytest.fixture(scope="module")
def picture():
    """Not segmented: no pixel is black."""
    smooth = cv2.GaussianBlur(np.random.default_rng(0).normal(0, 1, (90, 120, 3)), (0, 0), 3)
    return (40 + 180 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)


def disc(radius, side=450, colour=COLOUR):
    image = np.zeros((side, side, 3), np.uint8)
    cv2.circle(image, (side // 2, side // 2), radius, colour, cv2.FILLED)
    return image


@pytest.mark.parametrize(
    "nothing",
    [
        lambda image: blurred(image, 0),
        lambda image: exposed(image, 0),
        lambda image: restained(image, 0),
        lambda image: scaled(image, 1),
        lambda image: on_ground(image, 0),
    ],
    ids=["blur", "light", "stain", "scale", "ground"],
)
def test_none_of_it_changes_nothing(nothing, cell, picture):
    odd = np.random.default_rng(1).integers(0, 256, (31, 47, 3), dtype=np.uint8)
    for image in (cell, picture, odd, np.zeros((20, 30, 3), np.uint8)):
        before = image.copy()
        assert np.array_equal(nothing(image), before)
        assert np.array_equal(image, before)


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda one: one.name)
def test_every_corruption_keeps_shape_and_black(corruption, cell):
    before = cell.copy()
    changed = corruption.apply(cell)
    assert changed.shape == cell.shape and changed.dtype == np.uint8
    assert np.array_equal(cell, before) and not np.array_equal(changed, cell)
    black = ~cell.any(axis=2)
    if corruption.kind in ("blur", "darker", "brighter", "bluer", "redder"):
        assert np.array_equal(~changed.any(axis=2), black)
    if corruption.kind in ("smaller", "larger"):
        assert not changed[:20].any() and not changed[:, :20].any()
    if corruption.kind != "background":
        assert corruption.apply(np.zeros((40, 50, 3), np.uint8)).max() == 0
    assert corruption.apply(np.full((40, 50, 3), 90, np.uint8)).shape == (40, 50, 3)


def test_kinds_come_mild_and_strong_and_strong_is_more(cell):
    pairs = list(zip(CORRUPTIONS[::2], CORRUPTIONS[1::2], strict=True))
    assert all(
        one.kind == two.kind and (one.severity, two.severity) == ("mild", "strong") for one, two in pairs
    )
    for mild, strong in pairs:
        change = [np.abs(one.apply(cell).astype(int) - cell).sum() for one in (mild, strong)]
        assert change[0] < change[1], mild.kind


def test_blur_is_that_of_opencv_where_nothing_is_black(picture):
    inner = np.s_[12:-12, 12:-12]
    theirs = cv2.GaussianBlur(picture.astype(np.float64), (0, 0), 2)
    assert np.abs(blurred(picture, 2).astype(float) - theirs)[inner].max() <= 0.51


def test_no_black_is_blurred_into_a_cell():
    assert np.array_equal(blurred(disc(60), 4), disc(60))


@given(value=st.integers(1, 255), stops=st.floats(-2, 2))
def test_light_is_multiplied_before_it_is_encoded(value, stops):
    out = int(exposed(np.full((1, 1, 3), value, np.uint8), stops)[0, 0, 0])

    def light(v):  # IEC 61966-2-1
        v = v / 255
        return v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4

    wanted = min(1.0, light(value) * 2**stops)
    if out == 1:
        assert wanted < light(1.5)
    else:
        assert light(max(out - 0.501, 0)) <= wanted <= light(out + 0.501) or out == 255


def test_jpeg_is_pillows(cell):
    stream = io.BytesIO()
    Image.fromarray(cell).save(stream, "JPEG", quality=30)
    assert np.array_equal(through_jpeg(cell, 30), np.asarray(Image.open(stream)))
    assert measure(through_jpeg(cell, 75)).segmented


def test_dyes_are_changed_by_their_share():
    """A pixel of known amounts of both dyes: its optical density is theirs, added."""
    amounts = np.array([0.9, 0.7])

    def pixel(amount):
        return np.rint(256 * np.exp(-amount @ GIEMSA) - 1).astype(np.uint8)[None, None]

    for share in (0.2, 0.1, -0.2):
        out = restained(pixel(amounts), share).astype(int)
        assert np.abs(out - pixel(amounts * (1 + share, 1 - share))).max() <= 1
    grey = np.full((1, 1, 3), 120, np.uint8)
    assert restained(grey, 0.2)[0, 0, 0] < restained(grey, -0.2)[0, 0, 0]  # blue dye absorbs red


@pytest.mark.parametrize("factor", [0.9, 0.95, 1.05, 1.1, 2.0])
def test_scale_changes_area_by_its_square_about_the_middle(factor):
    before, after = measure(disc(80)), measure(scaled(disc(80), factor))
    assert after.cell_area / before.cell_area == pytest.approx(factor**2, rel=0.01)
    middles = [(m.cell_x + m.cell_width / 2, m.cell_y + m.cell_height / 2) for m in (before, after)]
    assert np.allclose(middles[0], middles[1], atol=0.51)


def test_a_scaled_cell_has_its_own_colours_to_the_edge():
    image = scaled(disc(80), 1.1)
    assert np.unique(image.reshape(-1, 3), axis=0).tolist() == [[0, 0, 0], list(COLOUR)]
    large = scaled(disc(220), 1.1)  # reaches beyond the picture
    assert large.shape == (450, 450, 3) and measure(large).cell_width == 450


def test_the_scaled_picture_is_opencvs(picture):
    """About the middle of a picture without black; inside, where nothing comes from beyond the edge."""
    height, width = picture.shape[:2]
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), 0, 1.1)
    theirs = cv2.warpAffine(picture.astype(np.float32), turn, (width, height))
    assert np.abs(scaled(picture, 1.1).astype(float) - theirs).max() <= 0.51


def test_ground_lies_around_the_cell_only():
    cell = disc(60)
    rim = on_ground(cell, 4)
    distance = np.hypot(*(np.indices((450, 450)) - 225))
    assert (rim[distance <= 59] == COLOUR).all()
    assert (rim[(distance > 61.5) & (distance < 63)] == GROUND).all()
    assert not rim[distance > 66].any()
    around = on_ground(cell, np.inf)
    assert (around[distance > 62] == GROUND).all()
    assert measure(rim).segmented and not measure(around).segmented
