"""What is asked of every segmenter: the truth is drawn, so every outline is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from leukoscope.cells.segmentation.found import FLAGS, FoundCell, outline_of
from leukoscope.cells.segmentation.segmenters import SEGMENTERS, create_segmenter
from leukoscope.cells.segmentation.tiles import segment_by_windows, windows
from leukoscope.cohort.synthetic_smear import synthesize_smear
from leukoscope.errors import UsageError

SCALE = 0.1


@pytest.fixture(scope="module", params=SEGMENTERS.names())
def segmenter(request):
    return create_segmenter(request.param)


@pytest.fixture(scope="module")
def field():
    return synthesize_smear(seed=2, width=900, height=700, white_cells=3, touching_pairs=1, red_cells=40)


def on_canvas(cell: FoundCell, shape: tuple[int, ...]) -> np.ndarray:
    canvas = np.zeros(shape[:2], bool)
    canvas[cell.y : cell.y + cell.mask.shape[0], cell.x : cell.x + cell.mask.shape[1]] = cell.mask
    return canvas


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


def white(cells: list[FoundCell]) -> list[FoundCell]:
    return [cell for cell in cells if cell.is_cell]


def best_dices(found: list[FoundCell], true: tuple[FoundCell, ...], shape: tuple[int, ...]) -> list[float]:
    masks = [on_canvas(cell, shape) for cell in found]
    return [max((dice(on_canvas(cell, shape), mask) for mask in masks), default=0.0) for cell in true]


def test_cells_are_found_where_they_are(segmenter, field):
    found = white(segmenter.segment(field.image, SCALE))
    assert len(found) == len(field.cells) == 5
    assert min(best_dices(found, field.cells, field.image.shape)) > 0.9


@pytest.mark.parametrize("scale", [0.06, 0.15, 0.25])
def test_scale_does_not_matter(segmenter, scale):
    field = synthesize_smear(
        seed=5, width=round(70 / scale), height=round(60 / scale), micrometres_per_pixel=scale,
        white_cells=2, touching_pairs=1, red_cells=20,
    )  # fmt: skip
    found = white(segmenter.segment(field.image, scale))
    assert len(found) == len(field.cells) > 2
    assert min(best_dices(found, field.cells, field.image.shape)) > 0.88


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_touching_cells_are_told_apart(segmenter, seed):
    field = synthesize_smear(seed=seed, width=600, height=600, white_cells=0, touching_pairs=2, red_cells=10)
    found = white(segmenter.segment(field.image, SCALE))
    assert len(found) == len(field.cells)
    assert min(best_dices(found, field.cells, field.image.shape)) > 0.85


def test_uneven_light_does_not_matter(segmenter):
    fields = [
        synthesize_smear(seed=8, width=800, height=600, unevenness=unevenness, red_cells=30)
        for unevenness in (0.0, 0.45)
    ]
    even, uneven = (white(segmenter.segment(field.image, SCALE)) for field in fields)
    assert len(even) == len(uneven) == len(fields[0].cells)
    assert min(best_dices(uneven, tuple(even), fields[0].image.shape)) > 0.9


@pytest.mark.parametrize("red_cells", [10, 60])
def test_drawn_lymphoid_cells_are_neither_lobed_nor_granular(segmenter, red_cells):
    field = synthesize_smear(seed=1, width=900, height=900, white_cells=6, red_cells=red_cells)
    flags = [set(cell.flags) for cell in white(segmenter.segment(field.image, SCALE))]
    assert len(flags) == len(field.cells)
    assert not any(one & {"lobed", "granular", "smudge", "doublet"} for one in flags)


def test_white_cells_without_red_ones_are_found(segmenter):
    field = synthesize_smear(seed=6, width=600, height=500, red_cells=0, platelets=0)
    found = white(segmenter.segment(field.image, SCALE))
    assert len(found) == len(field.cells) > 2
    assert min(best_dices(found, field.cells, field.image.shape)) > 0.9


def test_what_is_found_is_whole(segmenter, field):
    height, width = field.image.shape[:2]
    taken = np.zeros((height, width), int)
    found = segmenter.segment(field.image, SCALE)
    for cell in found:
        x, y, wide, high = cell.box
        assert 0 <= x <= x + wide <= width
        assert 0 <= y <= y + high <= height
        assert cell.mask.dtype == cell.nucleus.dtype == bool
        sides = (cell.mask[0], cell.mask[-1], cell.mask[:, 0], cell.mask[:, -1])
        assert all(side.any() for side in sides)
        assert not (cell.nucleus & ~cell.mask).any()
        assert [flag for flag in FLAGS if flag in cell.flags] == list(cell.flags)
        taken += on_canvas(cell, field.image.shape)
    assert taken.max() == 1
    assert found == sorted(found, key=lambda cell: (cell.y, cell.x))


def test_the_same_twice(segmenter, field):
    one, other = (segmenter.segment(field.image, SCALE) for _ in range(2))
    assert [cell.box for cell in one] == [cell.box for cell in other]
    assert all(np.array_equal(a.mask, b.mask) for a, b in zip(one, other, strict=True))


def test_the_picture_stays_as_it_was(segmenter, field):
    before = field.image.copy()
    segmenter.segment(field.image, SCALE)
    assert np.array_equal(before, field.image)


TURNS = {
    "quarter": np.rot90,
    "half": lambda a: np.rot90(a, 2),
    "left-right": lambda a: a[:, ::-1],
    "up-down": lambda a: a[::-1],
}


@pytest.mark.parametrize("turn", TURNS)
def test_turned_fields_have_turned_cells(segmenter, field, turn):
    turned = np.ascontiguousarray(TURNS[turn](field.image))
    plain = [on_canvas(cell, field.image.shape) for cell in white(segmenter.segment(field.image, SCALE))]
    found = [on_canvas(cell, turned.shape) for cell in white(segmenter.segment(turned, SCALE))]
    assert len(found) == len(plain)
    assert all(
        max(dice(np.ascontiguousarray(TURNS[turn](mask)), one) for one in found) > 0.97 for mask in plain
    )


def test_a_cell_at_the_edge_says_so(segmenter, field):
    whole = next(cell for cell in field.cells if not cell.flags)
    x, y, width, _ = whole.box
    cut = np.ascontiguousarray(field.image[:, x + width // 3 :])
    found = [cell for cell in segmenter.segment(cut, SCALE) if cell.x == 0 and abs(cell.y - y) < 10]
    assert found
    assert all("edge" in cell.flags and not cell.is_single for cell in found)
    inside = [cell for cell in white(segmenter.segment(field.image, SCALE)) if abs(cell.x - x) < 5]
    assert all("edge" not in cell.flags for cell in inside if abs(cell.y - y) < 5)


def strange_pictures() -> dict[str, np.ndarray]:
    chance = np.random.default_rng(0)
    smooth = cv2.GaussianBlur(chance.integers(0, 255, (300, 300, 3), dtype=np.uint8), (0, 0), 9)
    return {
        "one pixel": np.full((1, 1, 3), 90, np.uint8),
        "one row": np.full((1, 500, 3), 200, np.uint8),
        "white": np.full((200, 300, 3), 255, np.uint8),
        "black": np.zeros((200, 300, 3), np.uint8),
        "grey": np.full((200, 300, 3), 120, np.uint8),
        "noise": chance.integers(0, 256, (300, 400, 3), dtype=np.uint8),
        "clouds": cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX),
        "stripes": np.repeat(np.tile(np.uint8([[[0, 0, 0], [255, 255, 255]]]), (200, 100, 1)), 3, axis=1),
    }


@pytest.mark.parametrize("name", strange_pictures())
def test_strange_pictures_are_no_crash(segmenter, name):
    cells = segmenter.segment(strange_pictures()[name], SCALE)
    if name not in ("clouds", "noise"):
        assert not white(cells)


@pytest.mark.parametrize("ground", [(235, 235, 235), (90, 180, 90)])
@pytest.mark.parametrize(
    "colour", [(35, 160, 118), (35, 160, 160), (35, 118, 160), (160, 118, 35), (160, 35, 35)]
)
def test_discs_in_other_colours_than_blood_stains_are_no_cells(segmenter, colour, ground):
    image = np.full((480, 640, 3), ground, np.uint8)
    for x, y, radius in ((150, 150, 45), (400, 200, 60), (300, 380, 50)):
        cv2.circle(image, (x, y), radius, colour, -1)
    assert not white(segmenter.segment(image, SCALE))
    for x, y, radius in ((150, 150, 45), (400, 200, 60), (300, 380, 50)):
        cv2.circle(image, (x, y), radius, (110, 45, 150), -1)
    if ground == (235, 235, 235):
        assert len(white(segmenter.segment(image, SCALE))) == 3


def test_a_smear_without_white_cells_has_none(segmenter):
    field = synthesize_smear(seed=4, width=800, height=600, white_cells=0, touching_pairs=0, platelets=25)
    assert not white(segmenter.segment(field.image, SCALE))


@pytest.mark.parametrize(
    ("image", "scale"),
    [
        (np.zeros((5, 5), np.uint8), 0.1),
        (np.zeros((5, 5, 3), np.float32), 0.1),
        (np.zeros((0, 5, 3), np.uint8), 0.1),
        (np.zeros((5, 5, 3), np.uint8), 0.0),
        (np.zeros((5, 5, 3), np.uint8), float("nan")),
        ("photograph.jpg", 0.1),
    ],
)
def test_what_is_no_photograph_is_refused(segmenter, image, scale):
    with pytest.raises(UsageError):
        segmenter.segment(image, scale)


def test_windows_find_what_the_whole_shows(segmenter, field, monkeypatch):
    monkeypatch.setattr("leukoscope.cells.segmentation.tiles.WINDOW", 400)
    seen = []
    found = list(segment_by_windows(field.image, segmenter, SCALE, done=lambda: seen.append(1)))
    whole = white(segmenter.segment(field.image, SCALE))
    assert len(seen) == len(windows(field.image.shape, SCALE)) == 6
    assert len(white(found)) == len(whole)
    assert min(best_dices(white(found), tuple(whole), field.image.shape)) > 0.95


@given(st.integers(1, 9000), st.integers(1, 9000), st.sampled_from([0.05, 0.1, 0.3]))
def test_every_pixel_is_one_windows_own(height, width, scale):
    parts = windows((height, width), scale)
    own = [(w.own[0].stop - w.own[0].start) * (w.own[1].stop - w.own[1].start) for w in parts]
    assert sum(own) == height * width
    for seen, inside in parts:
        assert all(s.start <= o.start < o.stop <= s.stop for s, o in zip(seen, inside, strict=True))


@settings(max_examples=60)
@given(arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_an_outline_holds_its_largest_part(mask):
    num, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    if num < 2:
        return
    outline = outline_of(mask).astype(np.float64)
    x, y = outline.T
    area = abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))) / 2
    filled = []
    for label in range(1, num):
        contours, _ = cv2.findContours(
            (labels == label).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )
        filled.append(cv2.countNonZero(cv2.drawContours(np.zeros(mask.shape, np.uint8), contours, -1, 1, -1)))
    assert area in filled


def test_an_unknown_segmenter_names_the_nearest():
    with pytest.raises(UsageError, match="unknown segmenter 'stein'") as raised:
        create_segmenter("stein")
    assert "stain" in raised.value.hint


@pytest.mark.parametrize("seed", range(2))
def test_the_number_of_threads_changes_nothing(segmenter, seed):
    field = synthesize_smear(seed=seed, width=900, height=700, white_cells=2, touching_pairs=2, red_cells=90)
    found, before = [], cv2.getNumThreads()
    try:
        for threads in (1, 2):
            cv2.setNumThreads(threads)
            cells = segmenter.segment(field.image, SCALE)
            found.append([(cell.box, cell.flags, cell.mask.tobytes()) for cell in cells])
    finally:
        cv2.setNumThreads(before)
    assert found[0] == found[1]
