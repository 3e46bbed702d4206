"""Cells are brought to C-NMC's colours, and nothing but cells; against torchstain and scikit-image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leukoscope.cells import normalisation
from leukoscope.cells.decode import decode
from leukoscope.cells.light import LEVEL
from leukoscope.cells.normalisation import (
    MIN_PIXELS,
    NORMALISERS,
    cell_pixels,
    create_normaliser,
    dyes_of,
    lab_statistics,
    to_lab,
)
from leukoscope.errors import UsageError

TRUTH = Path(__file__).parent / "stain_truth.npz"
SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture(params=NORMALISERS.names())
def normaliser(request):
    return create_normaliser(request.param)


def dyed(
    dyes: tuple[tuple[float, ...], ...], strengths: tuple[float, ...], seed: int = 0, num: int = 10_000
) -> np.ndarray:
    """Pixels of two dyes, whose 99th percentiles are ``strengths``: as Beer and Lambert have it."""
    rng = np.random.default_rng(seed)
    amounts = rng.beta(2, 3, (num, 2)) * (rng.random((num, 2)) > 0.05)  # some hold one dye alone
    amounts *= np.array(strengths) / np.percentile(amounts, 99, axis=0)
    unit = np.array(dyes) / np.linalg.norm(dyes, axis=1, keepdims=True)
    return np.rint(np.clip((LEVEL + 1) * 10 ** -(amounts @ unit) - 1, 1, 255)).astype(np.uint8)


def pink_and_blue(seed: int = 0, num: int = 10_000) -> np.ndarray:
    return dyed(((0.75, 0.6, 0.25), (0.25, 0.85, 0.45)), (0.8, 0.5), seed, num)


def on_black(pixels: np.ndarray, side: int = 200) -> np.ndarray:
    """A picture that holds these pixels in its middle rows."""
    image = np.zeros((side, side, 3), np.uint8)
    rows = len(pixels) // 100
    image[20 : 20 + rows, 50:150] = pixels[: rows * 100].reshape(rows, 100, 3)
    return image


def test_black_stays_black_and_nothing_else_becomes_it(normaliser):
    pixels = pink_and_blue()
    pixels[:50] = (1, 0, 0)  # darkest that is not black
    image = on_black(pixels)
    result = normaliser.fitted(cell_pixels(image))(image)
    assert result.dtype == np.uint8
    assert result.shape == image.shape
    assert np.array_equal(result.any(axis=2), image.any(axis=2))
    assert not np.array_equal(result, image)


def test_the_cell_stays_as_it_was(normaliser):
    image = on_black(pink_and_blue())
    before = image.copy()
    normaliser.fitted(cell_pixels(image))(image)
    assert np.array_equal(image, before)


def test_black_pixels_fit_nothing(normaliser):
    image = on_black(pink_and_blue())
    fitted, also = normaliser.fitted(image[image.any(axis=2)]), normaliser.fitted(image.reshape(-1, 3))
    assert np.array_equal(fitted(image), also(image))


def test_the_order_of_pixels_does_not_matter(normaliser):
    pixels = pink_and_blue()
    image = on_black(pixels)
    mixed = np.random.default_rng(1).permutation(pixels)
    one, other = normaliser.fitted(pixels)(image), normaliser.fitted(mixed)(image)
    assert np.abs(one.astype(int) - other).max() <= 1


def test_very_many_pixels_are_sampled(normaliser, monkeypatch):
    pixels = pink_and_blue()
    monkeypatch.setattr(normalisation, "_SAMPLE", 10_000)
    image = on_black(pixels)
    few, many = normaliser.fitted(pixels), normaliser.fitted(np.repeat(pixels, 7, axis=0))
    assert np.array_equal(few(image), many(image))


@pytest.mark.parametrize("num", [0, 1, MIN_PIXELS - 1])
def test_too_few_pixels_change_nothing(normaliser, num):
    image = on_black(pink_and_blue())
    assert np.array_equal(normaliser.fitted(pink_and_blue()[:num])(image), image)


@pytest.mark.parametrize("colour", [(110, 60, 150), (1, 1, 1), (255, 255, 255), (128, 128, 128)])
def test_one_colour_is_at_most_moved(normaliser, colour):
    image = on_black(np.full((10_000, 3), colour, np.uint8))
    result = normaliser.fitted(image.reshape(-1, 3))(image)
    inside = result[image.any(axis=2)]
    assert (inside == inside[0]).all()
    assert inside[0].any()
    if isinstance(normaliser, normalisation.Reinhard):
        assert to_lab(inside)[0] == pytest.approx(normalisation.LAB_MEAN, abs=1.5)
    else:
        assert np.array_equal(result, image)


def test_a_black_picture_stays_black(normaliser):
    black = np.zeros((40, 50, 3), np.uint8)
    assert not normaliser.fitted(pink_and_blue())(black).any()


@settings(max_examples=20)
@given(
    st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=30), st.sampled_from([*NORMALISERS])
)
def test_any_colours_are_no_crash(colours, name):
    pixels = np.repeat(np.array(colours, np.uint8), 1200, axis=0)
    image = on_black(pixels[:10_000], 300)
    result = create_normaliser(name).fitted(pixels)(image)
    assert np.array_equal(result.any(axis=2), image.any(axis=2))


@settings(max_examples=20)
@given(st.integers(0, 1000), st.floats(0.5, 1.2), st.floats(0.35, 0.9))
def test_reinhard_gives_mean_and_deviation(seed, blue, pink):
    pixels = dyed(((0.7, 0.65, 0.3), (0.35, 0.85, 0.4)), (blue, pink), seed, 10_000)
    image = on_black(pixels)
    result = create_normaliser("reinhard").fitted(pixels)(image)
    mean, deviation = lab_statistics(result[image.any(axis=2)])
    assert mean == pytest.approx(normalisation.LAB_MEAN, abs=1.5)
    assert deviation == pytest.approx(normalisation.LAB_DEVIATION, rel=0.15)


@settings(max_examples=20)
@given(st.integers(0, 1000), st.floats(0.5, 1.2), st.floats(0.35, 0.9))
def test_macenko_gives_the_dyes_of_the_reference(seed, blue, pink):
    pixels = dyed(((0.75, 0.6, 0.25), (0.25, 0.85, 0.45)), (blue, pink), seed, 10_000)
    image = on_black(pixels)
    result = create_normaliser("macenko").fitted(pixels)(image)
    dyes, strengths = dyes_of(result[image.any(axis=2)], normalisation.LIGHT)
    angles = np.degrees(np.arccos(np.clip((dyes * np.array(normalisation.DYES)).sum(axis=1), -1, 1)))
    assert angles.max() < 2
    assert strengths == pytest.approx(normalisation.STRENGTHS, rel=0.1)


@given(st.integers(0, 1000))
@settings(max_examples=10)
def test_of_cells_stained_like_the_reference_only_the_light_changes(seed):
    pixels = dyed(normalisation.DYES, normalisation.STRENGTHS, seed, 10_000)
    result = create_normaliser("macenko").fitted(pixels)(on_black(pixels))[20:120, 50:150].reshape(-1, 3)
    as_dense = (pixels.astype(float) + 1) * (normalisation.LIGHT + 1) / (LEVEL + 1) - 1
    assert np.abs(result - as_dense).mean() < 3


def test_the_true_dyes_are_found():
    dyes = np.array(((0.75, 0.6, 0.25), (0.25, 0.85, 0.45)))
    found, strengths = dyes_of(dyed(tuple(map(tuple, dyes)), (0.9, 0.6), num=50_000), LEVEL)
    true = dyes / np.linalg.norm(dyes, axis=1, keepdims=True)
    assert np.degrees(np.arccos((found * true).sum(axis=1))).max() < 1.5
    assert strengths == pytest.approx((0.9, 0.6), rel=0.05)


@pytest.fixture(scope="module")
def truth():
    """Made by scripts/stain_truth.py, which says by which versions of torchstain and scikit-image."""
    with np.load(TRUTH) as stored:
        return dict(stored)


def test_lab_as_scikit_image_has_it(truth):
    assert to_lab(truth["colours"]) == pytest.approx(truth["lab"], abs=0.05)


def test_macenko_as_torchstain_has_it(truth, monkeypatch):
    monkeypatch.setattr(normalisation, "LIGHT", LEVEL)
    monkeypatch.setattr(normalisation, "DYES", truth["dyes"])
    monkeypatch.setattr(normalisation, "STRENGTHS", truth["strengths"])
    source = truth["source"]
    result = create_normaliser("macenko").fitted(source.reshape(-1, 3))(source)
    assert np.abs(result.astype(int) - truth["macenko"]).max() <= 2


def test_reinhard_as_torchstain_has_it(truth, monkeypatch):
    monkeypatch.setattr(normalisation, "LAB_MEAN", truth["lab_mean"])
    monkeypatch.setattr(normalisation, "LAB_DEVIATION", truth["lab_deviation"])
    source = truth["source"]
    result = create_normaliser("reinhard").fitted(source.reshape(-1, 3))(source)
    assert np.abs(result.astype(int) - truth["reinhard"]).max() <= 2


def test_an_unknown_normalisation_names_the_nearest():
    with pytest.raises(UsageError, match="unknown normalisation 'makenko'") as raised:
        create_normaliser("makenko")
    assert "macenko" in raised.value.hint


def test_cells_are_fitted_without_their_rim(cell):
    image = cell(radius=100)
    body = image.any(axis=2)
    rim = np.hypot(*(np.indices(body.shape) - 225)) > 95
    image[body & rim] = (250, 250, 10)
    pixels = cell_pixels(image)
    assert len(pixels) == 5000
    assert not (pixels == (250, 250, 10)).all(axis=1).any()
    assert len(cell_pixels(image, most=10**6)) > 0.8 * body.sum()


def test_a_black_picture_has_no_pixels_to_fit_on():
    assert cell_pixels(np.zeros((30, 40, 3), np.uint8)).shape == (0, 3)


@pytest.mark.real
def test_the_constants_are_those_of_the_cells_that_are_there(real_data, monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    from cnmc_stain_reference import reference, stains_of

    stains = stains_of(real_data, 40)
    if len(stains) < 3:
        pytest.skip("fewer than three people with 20 cells are there")
    found = reference(list(stains.values()))
    # a few people lie apart from all by what people differ, 2 in lightness and 1 in hue
    assert found.lab_mean == pytest.approx(normalisation.LAB_MEAN, abs=3)
    assert found.lab_deviation == pytest.approx(normalisation.LAB_DEVIATION, rel=0.3)
    assert (
        np.degrees(np.arccos(np.clip((found.dyes * np.array(normalisation.DYES)).sum(axis=1), -1, 1))).max()
        < 5
    )
    assert found.strengths == pytest.approx(normalisation.STRENGTHS, rel=0.2)


@pytest.mark.real
def test_cells_of_the_reference_move_little(real_data):
    """Reinhard, that is: Macenko takes cells for lit as photographs are here, and C-NMC's were not."""
    paths = sorted((real_data / "C-NMC_Leukemia" / "training_data").rglob("*_1_*.bmp"))[:40]
    cells = [decode(path) for path in paths]
    moved = create_normaliser("reinhard").fitted(np.concatenate([cell_pixels(image) for image in cells]))
    far = [np.abs(moved(image).astype(int) - image)[image.any(axis=2)].mean() for image in cells]
    assert np.median(far) < 10
