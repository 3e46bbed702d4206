"""measure: what counting by hand gives, on anything, at full resolution."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from leukoscope.cells.decode import decode
from leukoscope.cells.measure import NOISE, Measures, find_body, measure
from leukoscope.errors import UsageError


def counted(image: np.ndarray) -> tuple[int, ...]:
    """Box and area of all that is not 0, by brute force."""
    rows, columns = np.nonzero(image.any(axis=2))
    x, y = columns.min(), rows.min()
    return x, y, columns.max() - x + 1, rows.max() - y + 1, len(rows)


def box_of(measures: Measures) -> tuple[int | None, ...]:
    return measures[3:8]


@settings(deadline=None)
@given(mask=arrays(bool, st.tuples(st.integers(1, 30), st.integers(1, 30))), channel=st.integers(0, 2))
def test_box_and_area_are_counted(mask: np.ndarray, channel: int):
    image = np.zeros((*mask.shape, 3), np.uint8)
    image[mask, channel] = 200  # one channel is enough
    body = find_body(image)
    assert (body is not None) == mask.any()
    if body is not None:
        assert (*body.box, body.area) == counted(image)
        assert np.array_equal(body.solid > 0, body.pixels.any(axis=2))


LAYOUTS: list[Callable[[np.ndarray], np.ndarray]] = [
    lambda image: image,
    np.asfortranarray,
    lambda image: np.repeat(image, 2, axis=1)[:, ::2],
    lambda image: image[::-1].copy()[::-1],
    lambda image: image[:, :, ::-1].copy()[:, :, ::-1],
]


@settings(deadline=None)
@given(
    data=st.data(), height=st.integers(60, 150), width=st.integers(60, 150), layout=st.sampled_from(LAYOUTS)
)
def test_one_sample_of_any_value_widens_the_box(
    data: st.DataObject, height: int, width: int, layout: Callable[[np.ndarray], np.ndarray]
):
    image = np.zeros((height, width, 3), np.uint8)
    image[20:40, 20:40] = 200
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    image[y, x, data.draw(st.integers(0, 2))] = data.draw(st.integers(1, 255))
    body = find_body(layout(image))
    assert body is not None
    assert (*body.box, body.area) == counted(image)


@pytest.mark.parametrize("side", [2, 31, 64, 128, 215])  # 64 and 128 align all planes alike
def test_the_mask_holds_the_largest_value(side: int):
    image = np.random.default_rng(side).integers(NOISE, 256, (side, side, 3), dtype=np.uint8)
    body = find_body(image)
    assert body is not None
    assert body.box == (0, 0, side, side)
    assert np.array_equal(body.solid, image.max(axis=2))
    assert np.array_equal(body.pixels, image)


@settings(deadline=None)
@given(x=st.integers(30, 90), y=st.integers(30, 90), radius=st.integers(8, 25))
def test_where_the_cell_lies_changes_nothing_but_its_place(
    x: int, y: int, radius: int, cell: Callable[..., np.ndarray]
):
    here = measure(cell(side=120, centre=(x, y), radius=radius, colour=(90, 40, 100)))
    assert (here.cell_x, here.cell_y) == (x - radius, y - radius)
    assert (here.cell_width, here.cell_height) == (2 * radius + 1, 2 * radius + 1)
    assert here.segmented


def test_turns_and_mirrors(cell: Callable[..., np.ndarray]):
    image = cell()
    image[:, 250:] = 0
    first = measure(image)
    for turns in range(4):
        for turned in (np.rot90(image, turns), np.rot90(image, turns)[:, ::-1]):
            other = measure(turned)
            sides = (other.cell_width, other.cell_height)
            assert sides == (first.cell_width, first.cell_height)[:: -1 if turns % 2 else 1]
            assert other.cell_area == first.cell_area
            assert (other.brightness, other.stain) == (first.brightness, first.stain)


def test_faint_pixels_of_an_original_belong_to_the_cell(cell: Callable[..., np.ndarray]):
    image = cell()
    image[225, 325:335] = (0, 0, 1)
    assert measure(image).cell_width == 210


@pytest.mark.parametrize("quality", [50, 60, 70, 80, 90, 95, 98])
@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_a_lossy_copy_keeps_its_size(cell: Callable[..., np.ndarray], suffix: str, quality: int):
    image = cell()
    option = cv2.IMWRITE_JPEG_QUALITY if suffix == ".jpg" else cv2.IMWRITE_WEBP_QUALITY
    copy = decode(cv2.imencode(suffix, image[:, :, ::-1], [option, quality])[1].tobytes())
    assert counted(copy)[2] > 206  # what is not 0 is far more than the cell
    first, second = measure(image), measure(copy)
    assert np.abs(np.subtract(box_of(second)[:4], box_of(first)[:4])).max() <= 4
    assert second.cell_area == pytest.approx(first.cell_area, rel=0.02)
    assert second.brightness == pytest.approx(first.brightness, rel=0.03)
    assert second.stain == pytest.approx(first.stain, abs=0.01)


def test_brightness_is_the_mean_luma_of_the_cell(cell: Callable[..., np.ndarray]):
    image = cell()
    inside = image[image.any(axis=2)].astype(float)
    assert measure(image).brightness == pytest.approx((inside @ [0.299, 0.587, 0.114]).mean())


def disc(colour: tuple[float, ...]) -> np.ndarray:
    image = np.zeros((100, 100, 3), np.uint8)
    cv2.circle(image, (50, 50), 30, [round(value) for value in colour], -1)
    return image


def test_stain_of_grey_is_a_third():
    assert measure(disc((90, 90, 90))).stain == pytest.approx(1 / 3)


def test_stain_tells_blue_from_pink_and_not_thick_from_thin():
    light = np.array([0.5, 0.3, 0.6])
    thin, thick = (measure(disc(tuple(256 * light**power - 1))).stain for power in (0.7, 1.6))
    assert thin == pytest.approx(thick, abs=0.01)
    density = -np.log(light)
    assert thin == pytest.approx(density[0] / density.sum(), abs=0.01)
    assert measure(disc((40, 40, 120))).stain > 0.38
    assert measure(disc((160, 60, 90))).stain < 0.2


def test_a_black_image_has_no_cell():
    assert measure(np.zeros((7, 9, 3), np.uint8)) == (9, 7, False, *[None] * 7, False)


def test_noise_alone_is_no_cell():
    noise = np.random.default_rng(0).integers(0, 6, (100, 100, 3)).astype(np.uint8)
    assert find_body(noise) is None


def test_a_photograph_is_not_segmented():
    photograph = np.random.default_rng(0).integers(150, 255, (60, 80, 3)).astype(np.uint8)
    measures = measure(photograph)
    assert (measures.width, measures.height, measures.segmented) == (80, 60, False)
    assert box_of(measures) == (None,) * 5
    assert measures.brightness == pytest.approx((photograph @ [0.299, 0.587, 0.114]).mean())


def test_a_photograph_in_a_black_frame_is_not_segmented():
    framed = np.zeros((200, 200, 3), np.uint8)
    framed[50:150, 40:160] = np.random.default_rng(0).integers(150, 255, (100, 120, 3))
    assert not measure(framed).segmented


def test_a_cell_over_one_corner_is_segmented(cell: Callable[..., np.ndarray]):
    assert measure(cell(centre=(20, 20))).segmented


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (2, 2), (5000, 3)])
def test_strange_shapes(shape: tuple[int, int]):
    measures = measure(np.full((*shape, 3), 90, np.uint8))
    assert (measures.height, measures.width, measures.segmented) == (*shape, False)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
        [[1, 2, 3]],
        None,
    ],
)
def test_what_is_no_image_is_refused(image: object):
    with pytest.raises(UsageError, match="Received"):
        measure(image)


@pytest.mark.real
def test_real_cells_measure_one_more_than_the_published_boxes(real_data: Path):
    from leukoscope.cohort.official import official_index

    known = {row["file"].rsplit(".", 1)[0]: row for row in official_index().iter_rows(named=True)}
    paths = [
        path for path in real_data.rglob("*") if path.stem in known and path.parent.name in ("all", "hem")
    ]
    assert len(paths) >= 100
    for path in paths:
        measures, row = measure(decode(path)), known[path.stem]
        assert (measures.cell_width, measures.cell_height) == (row["cell_width"], row["cell_height"]), path
        assert not find_body(decode(path)).noisy
