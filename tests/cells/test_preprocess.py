"""preprocess: one window, whatever way it is worked out."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from leukoscope.cells.measure import measure
from leukoscope.cells.preprocess import Preprocess
from leukoscope.errors import UsageError


def by_hand(image: np.ndarray, field: int, size: int) -> np.ndarray:
    """The whole window first, then the whole window made smaller."""
    facts = measure(image)
    x, y, width, height = (0, 0, facts.width, facts.height) if not facts.segmented else facts[3:7]
    left, top = x + width // 2 - field // 2, y + height // 2 - field // 2
    window = np.zeros((field, field, 3), np.uint8)
    for row in range(max(top, y, 0), min(top + field, y + height)):
        columns = slice(max(left, x), min(left + field, x + width))
        window[row - top, columns.start - left : columns.stop - left] = image[row, columns]
    how = cv2.INTER_AREA if size <= field else cv2.INTER_LINEAR
    return cv2.resize(window, (size, size), interpolation=how)


@settings(deadline=None, max_examples=60)
@given(
    field=st.integers(1, 150),
    size=st.integers(1, 60),
    side=st.integers(20, 140),
    x=st.integers(0, 140),
    y=st.integers(0, 140),
    radius=st.integers(1, 60),
)
def test_the_fast_way_is_the_plain_way(
    cell: Callable[..., np.ndarray], field: int, size: int, side: int, x: int, y: int, radius: int
):
    image = cell(side=side, centre=(x, y), radius=radius)
    result = Preprocess(field=field, size=size).apply(image)
    assert (result.shape, result.dtype) == ((size, size, 3), np.uint8)
    assert np.array_equal(result, by_hand(image, field, size))


@pytest.mark.parametrize(
    ("field", "size"), [(384, 128), (384, 96), (384, 384), (384, 224), (100, 128), (450, 128)]
)
def test_usual_sizes(cell: Callable[..., np.ndarray], field: int, size: int):
    image = cell(centre=(180, 260), radius=113)
    assert np.array_equal(Preprocess(field=field, size=size).apply(image), by_hand(image, field, size))


def test_each_pixel_is_the_mean_of_its_block(cell: Callable[..., np.ndarray]):
    image = cell(side=384, centre=(192, 192))
    image[:92], image[292:], image[:, :92], image[:, 292:] = (
        0,
        0,
        0,
        0,
    )  # an even box, so that it stays in place
    blocks = image.reshape(128, 3, 128, 3, 3).astype(float).mean(axis=(1, 3))
    assert np.abs(Preprocess(field=384, size=128).apply(image) - blocks).max() <= 0.5


def test_black_stays_black(cell: Callable[..., np.ndarray]):
    result = Preprocess().apply(cell())
    assert (result[0] == 0).all() and (result[:, 0] == 0).all()
    assert (result.any(axis=2)).mean() == pytest.approx(np.pi * 100**2 / 384**2, rel=0.05)
    assert not Preprocess().apply(np.zeros((450, 450, 3), np.uint8)).any()


def test_true_size_is_kept(cell: Callable[..., np.ndarray]):
    areas = [Preprocess().apply(cell(radius=radius)).any(axis=2).sum() for radius in (60, 120)]
    assert areas[1] / areas[0] == pytest.approx(4, rel=0.05)


@settings(deadline=None, max_examples=30)
@given(x=st.integers(110, 340), y=st.integers(110, 340))
def test_where_the_cell_lies_does_not_matter(cell: Callable[..., np.ndarray], x: int, y: int):
    image = cell()
    moved = np.roll(image, (y - 225, x - 225), axis=(0, 1))
    assert np.array_equal(Preprocess().apply(moved), Preprocess().apply(image))


@pytest.mark.parametrize("padding", [0, 75])
def test_padding_does_not_matter(cell: Callable[..., np.ndarray], padding: int):
    image = cell()
    padded = np.pad(image, ((padding, padding), (padding, padding), (0, 0)))  # as the final set: 600 x 600
    assert np.array_equal(Preprocess().apply(padded), Preprocess().apply(image))


def test_views_and_windows_commute(cell: Callable[..., np.ndarray]):
    image = cell()
    image[:, 325:], image[325:] = 0, 0  # an even box has a middle that mirrors keep
    window = Preprocess().apply(image)
    for turns in range(4):
        assert np.array_equal(Preprocess().apply(np.rot90(image, turns)), np.rot90(window, turns))
        assert np.array_equal(
            Preprocess().apply(np.rot90(image, turns)[:, ::-1]), np.rot90(window, turns)[:, ::-1]
        )


def test_a_photograph_is_cut_around_its_middle():
    photograph = np.random.default_rng(0).integers(100, 255, (500, 640, 3)).astype(np.uint8)
    expected = photograph[250 - 64 : 250 + 64, 320 - 64 : 320 + 64]
    assert np.array_equal(Preprocess(field=128, size=128).apply(photograph), expected)


def test_a_cell_beyond_the_field_is_cut_on_both_sides(cell: Callable[..., np.ndarray]):
    image = cell(radius=100)
    small, large = Preprocess(field=200, size=200), Preprocess(field=201, size=201)
    assert small.cuts(measure(image)) and not large.cuts(measure(image))
    assert np.array_equal(small.apply(image), image[125:325, 125:325])
    assert not small.cuts(measure(np.full((450, 450, 3), 200, np.uint8)))


def test_known_measures_give_the_same(cell: Callable[..., np.ndarray]):
    for image in (cell(), np.full((90, 80, 3), 200, np.uint8), np.zeros((90, 80, 3), np.uint8)):
        assert np.array_equal(Preprocess().apply(image, measure(image)), Preprocess().apply(image))


def test_the_image_is_left_alone(cell: Callable[..., np.ndarray]):
    image = cell()
    kept = image.copy()
    image.flags.writeable = False
    Preprocess(field=100, size=100).apply(image)[:] = 9
    assert np.array_equal(image, kept)


def test_what_is_no_image_is_refused():
    with pytest.raises(UsageError):
        Preprocess().apply(np.zeros((4, 4), np.uint8))


@pytest.mark.parametrize(
    "wrong", [{"field": 0}, {"size": 0}, {"micrometres_per_pixel": 0.0}, {"fields": 384}]
)
def test_impossible_settings_are_refused(wrong: dict[str, float]):
    with pytest.raises(ValidationError):
        Preprocess(**wrong)


@pytest.mark.parametrize("quality", [95, 75, 50])
def test_what_jpeg_leaves_around_a_cell_is_black_again(cell: Callable[..., np.ndarray], quality: int):
    original = cell()
    written = cv2.imencode(".jpg", original[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    copy = cv2.imdecode(written, cv2.IMREAD_COLOR)[..., ::-1]
    assert measure(copy).noisy and not measure(original).noisy
    clean, seen = (Preprocess(field=384, size=128).apply(image) for image in (original, copy))
    away = cv2.dilate(clean.max(axis=2), np.ones((5, 5), np.uint8)) == 0
    assert away.mean() > 0.5 and not seen[away].any()
    inside = cv2.erode(clean.max(axis=2), np.ones((5, 5), np.uint8)) > 0
    assert np.abs(seen[inside].astype(int) - clean[inside]).mean() < 12
