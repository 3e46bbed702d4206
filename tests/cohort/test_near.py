"""A copy is found however it was changed, and nobody is taken for somebody else."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leukoscope.cells.decode import decode
from leukoscope.cohort import near
from leukoscope.cohort.cell_drawing import Look, draw_cell
from leukoscope.cohort.near import CONFIRMED, NearCopy, near_copies, similarity, take_print
from leukoscope.cohort.official import subject_groups

SIDE = 300


def drawn(seed: int) -> np.ndarray:
    """A cell with as much debris, dents and grain as chance gives it."""
    rng = np.random.default_rng(seed)
    look = Look(
        rng.uniform(60, 110), rng.uniform(1, 1.4), rng.random(), int(rng.integers(4)), (66, 28, 79), 1.0
    )
    return draw_cell(look, rng, side=SIDE)


@pytest.fixture(scope="module")
def cells() -> list[np.ndarray]:
    return [drawn(seed) for seed in range(24)]


@pytest.fixture(scope="module")
def prints(cells):
    return [take_print(cell) for cell in cells]


def jpeg(image: np.ndarray, quality: int = 80) -> np.ndarray:
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 1)


def warped(image: np.ndarray, *, degrees: float = 0, zoom: float = 1) -> np.ndarray:
    image = cv2.copyMakeBorder(image, 80, 80, 80, 80, cv2.BORDER_CONSTANT)
    matrix = cv2.getRotationMatrix2D((SIDE / 2 + 80, SIDE / 2 + 80), degrees, zoom)
    return cv2.warpAffine(image, matrix, image.shape[1::-1])


def moved(image: np.ndarray, right: int, down: int) -> np.ndarray:
    return cv2.warpAffine(image, np.array([[1.0, 0, right], [0, 1, down]]), image.shape[1::-1])


ALTERATIONS = {
    **{f"turn {k}": lambda image, k=k: np.rot90(image, k).copy() for k in range(4)},
    **{f"mirror and turn {k}": lambda image, k=k: np.rot90(image[:, ::-1], k).copy() for k in range(4)},
    "jpeg 80": jpeg,
    "brighter": lambda image: np.uint8(np.clip(image * 1.1, 0, 255)),
    "darker": lambda image: np.uint8(image * 0.9),
    "moved": lambda image: moved(image, 4, -4),
    "padded": lambda image: cv2.copyMakeBorder(image, 75, 75, 75, 75, cv2.BORDER_CONSTANT),
    "mirrored, moved, darker, jpeg": lambda image: jpeg(np.uint8(moved(image[::-1], -3, 4) * 0.9)),
    "rotated": lambda image: warped(image, degrees=37),
    "zoomed": lambda image: warped(image, zoom=0.85),
    "rotated, mirrored, zoomed, jpeg": lambda image: jpeg(warped(image[::-1], degrees=201, zoom=1.15)),
}


@pytest.mark.parametrize("name", ALTERATIONS)
def test_every_altered_copy_is_found_and_nothing_else(cells, prints, name):
    copies = [take_print(ALTERATIONS[name](cell)) for cell in cells]
    found = near_copies([*prints, *copies], [0] * len(prints) + [1] * len(copies))
    assert [(pair.first, pair.second - len(cells)) for pair in found] == [(i, i) for i in range(len(cells))]
    assert min(pair.similarity for pair in found) > CONFIRMED + 0.05


def test_different_cells_are_not_alike(prints):
    assert near_copies(prints, range(len(prints))) == []


def test_what_is_found_is_what_comparing_all_pairs_finds(cells, prints):
    some = [*prints[:8], *(take_print(ALTERATIONS["rotated"](cell)) for cell in cells[:3]), None]
    sides = [0, 1, 0, 2, 1, 0, 2, 1, 0, 1, 1, 0]
    brute = [
        (i, j)
        for i in range(len(some))
        for j in range(i + 1, len(some))
        if sides[i] != sides[j] and some[i] and some[j] and similarity(some[i], some[j]) > CONFIRMED
    ]
    assert brute == [(2, 10)]
    assert [(pair.first, pair.second) for pair in near_copies(some, sides)] == brute


@given(st.lists(st.integers(0, 3), max_size=12), st.integers(1, 20))
def test_every_pair_of_different_sides_is_compared_once(sides, at_once):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near, "PAIRS_AT_ONCE", at_once)
        blocks = list(near._blocks(np.array(sides, np.int64)))
    compared = [tuple(sorted((int(a), int(b)))) for here, away in blocks for a in here for b in away]
    expected = [(i, j) for j in range(len(sides)) for i in range(j) if sides[i] != sides[j]]
    assert sorted(compared) == sorted(expected)


def test_it_does_not_matter_who_comes_first(cells, prints):
    turned = [take_print(warped(cell, degrees=100)) for cell in cells[:6]]
    there = [similarity(one, other) for one, other in zip(prints, turned, strict=False)]
    back = [similarity(other, one) for one, other in zip(prints, turned, strict=False)]
    assert there == pytest.approx(back, abs=0.03)
    found = near_copies([turned[0], prints[0]], [5, 3])
    assert [(pair.first, pair.second) for pair in found] == [(0, 1)]


def test_a_cell_is_like_itself_and_unlike_its_negative(cells, prints):
    assert all(similarity(one, one) == pytest.approx(1, abs=1e-3) for one in prints)
    inside = cells[0].any(axis=2, keepdims=True)
    negative = take_print(np.where(inside, 140 - np.minimum(cells[0], 120), 0).astype(np.uint8))
    assert similarity(prints[0], negative) < 0.5


def test_a_picture_without_an_inside_has_no_print_and_is_like_nothing():
    blank = np.zeros((SIDE, SIDE, 3), np.uint8)
    disc = cv2.circle(blank.copy(), (150, 150), 80, (66, 28, 79), -1)
    speck = blank.copy()
    speck[10, 10] = 200
    assert [take_print(image) for image in (blank, disc, speck, blank[:1, :1])] == [None] * 4
    assert near_copies([None, None], [0, 1]) == []
    assert near_copies([], []) == []


def test_a_pair_reads_as_rows(prints):
    assert near_copies([prints[0], prints[0]], [0, 1]) == [NearCopy(0, 1, pytest.approx(1, abs=1e-3))]


@pytest.mark.real
def test_on_real_cells_copies_are_found_and_only_those(real_data):
    paths = sorted((real_data / "C-NMC_Leukemia" / "training_data").rglob("*.bmp"))[:150]
    images = [decode(path) for path in paths]
    prints = [take_print(image) for image in images]
    rng = np.random.default_rng(0)
    copies = [
        take_print(jpeg(np.uint8(np.rot90(moved(image, 4, -4), rng.integers(4)) * 0.9))) for image in images
    ]
    found = near_copies([*prints, *copies], [0] * len(prints) + [1] * len(copies))
    pairs = {(pair.first, pair.second - len(prints)) for pair in found}
    assert np.mean([(place, place) in pairs for place in range(len(paths))]) >= 0.99
    people = [path.name.split("_")[1].upper() for path in paths]
    group = subject_groups()
    strangers = [
        (one, other)
        for one, other in pairs
        if people[one] != people[other]
        and group.get(people[one], people[one]) != group.get(people[other], people[other])
    ]
    assert strangers == []
