"""Photographs are read at any size, and cells are cut out of them as C-NMC shows them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from leukoscope.cells import photograph
from leukoscope.cells.limits import Limits
from leukoscope.cells.measure import measure
from leukoscope.cells.photograph import SIDE, Drawn, cut_out, draw_overlay, read_photograph, with_outline
from leukoscope.cells.segmentation.found import FoundCell
from leukoscope.errors import ImageError, ImageFormatError, ImageTooLargeError, TruncatedImageError


def disc_cell(radius: int, x: int, y: int) -> FoundCell:
    line = np.arange(-radius, radius + 1)
    mask = line[:, None] ** 2 + line[None, :] ** 2 <= radius**2
    return FoundCell(x - radius, y - radius, mask, mask)


def test_a_cell_lies_in_the_middle_of_black(picture):
    image = np.full((300, 400, 3), 210, np.uint8)
    cell = disc_cell(50, 120, 90)
    image[40:141, 70:171][cell.mask] = (90, 0, 120)
    image[90, 120] = 0  # a black pixel inside stays part of the cell
    cut = cut_out(image, cell)
    facts = measure(cut)
    assert cut.shape == (SIDE, SIDE, 3)
    assert facts.segmented
    assert (facts.cell_width, facts.cell_height, facts.cell_area) == (101, 101, np.count_nonzero(cell.mask))
    assert abs(facts.cell_x + 50 - SIDE // 2) <= 1
    assert set(np.unique(cut[~(cut.any(axis=2))])) <= {0}
    assert not (cut == 210).any()


@pytest.mark.parametrize("factor", [0.5, 1.5, 2.0])
def test_a_cell_is_brought_to_scale(factor):
    image = np.full((300, 400, 3), 100, np.uint8)
    facts = measure(cut_out(image, disc_cell(60, 200, 150), factor))
    assert facts.cell_width == pytest.approx(121 * factor, abs=2)
    assert facts.cell_area == pytest.approx(np.pi * 60.5**2 * factor**2, rel=0.04)


def test_a_cell_too_wide_gets_a_wider_picture():
    image = np.full((700, 700, 3), 100, np.uint8)
    cut = cut_out(image, disc_cell(300, 350, 350))
    assert cut.shape == (601, 601, 3)
    assert measure(cut).cell_width == 601


@pytest.fixture
def as_if_large(monkeypatch):
    monkeypatch.setattr(
        photograph, "decode", lambda path: photograph_decode(path, limits=Limits(max_pixels=1000))
    )


photograph_decode = photograph.decode


@pytest.mark.parametrize("ending", [".png", ".tif", ".jpg", ".bmp"])
def test_large_photographs_are_read_as_small_ones(tmp_path, as_if_large, ending):
    noise = cv2.GaussianBlur(
        np.random.default_rng(1).integers(0, 255, (90, 120, 3), dtype=np.uint8), (0, 0), 3
    )
    path = tmp_path / f"field{ending}"
    cv2.imwrite(str(path), noise)
    image = read_photograph(path)
    plain = photograph_decode(path)
    assert image.shape == plain.shape == (90, 120, 3)
    assert np.abs(image.astype(int) - plain).max() <= (4 if ending == ".jpg" else 0)


def test_large_photographs_have_their_limit(tmp_path, as_if_large, monkeypatch):
    monkeypatch.setattr(photograph, "LARGEST", Limits(max_pixels=5000))
    path = tmp_path / "field.png"
    cv2.imwrite(str(path), np.zeros((90, 120, 3), np.uint8))
    with pytest.raises(ImageTooLargeError, match="120 x 90"):
        read_photograph(path)


@pytest.mark.parametrize("share", [0.1, 0.6])
@pytest.mark.parametrize("large", [False, True])
def test_a_truncated_tiff_is_an_error(tmp_path, request, share, large):
    if large:
        request.getfixturevalue("as_if_large")
    noise = np.random.default_rng(1).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    path = tmp_path / "field.tif"
    data = cv2.imencode(".tif", noise)[1].tobytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ImageError):
        read_photograph(path)


def test_text_is_an_error(tmp_path):
    path = tmp_path / "field.tif"
    path.write_text("not a photograph at all")
    with pytest.raises(ImageFormatError, match="text beginning"):
        read_photograph(path)


def test_a_damaged_header_is_an_error(tmp_path, as_if_large):
    path = tmp_path / "field.bmp"
    path.write_bytes(b"BM" + bytes(40))
    with pytest.raises(TruncatedImageError):
        read_photograph(path)


def test_an_overlay_shows_outlines_and_leaves_the_photograph_alone():
    image = np.full((300, 400, 3), 200, np.uint8)
    single, edge = disc_cell(40, 100, 100), disc_cell(40, 250, 200)
    before = image.copy()
    shown = draw_overlay(image, [Drawn(single.outline, ()), Drawn(edge.outline, ("edge",))], longest=200)
    assert shown.shape == (150, 200, 3)
    assert np.array_equal(image, before)
    red, green, _ = shown[:, :, 0].astype(int), shown[:, :, 1].astype(int), shown[:, :, 2]
    assert (green - red > 60)[20:80, 20:80].any()
    assert (red - green > 60)[70:130, 100:150].any()
    assert (shown[50, 50] == 200).all()


def test_the_outermost_pixels_are_mixed_with_black_as_those_of_cnmc_are():
    cell = np.zeros((60, 70, 3), np.uint8)
    cell[10:40, 20:60] = (120, 60, 101)
    cell[20:22, 30:32] = (1, 0, 1)  # a dark place is no black around
    before = cell.copy()
    lined = with_outline(cell)
    assert np.array_equal(cell, before)
    assert (lined[10, 20:60] == (60, 30, 50)).all()
    assert (lined[10:40, 59] == (60, 30, 50)).all()
    assert np.array_equal(lined[11:39, 21:59], cell[11:39, 21:59])
    assert np.array_equal(lined.any(axis=2), cell.any(axis=2))


def test_an_outline_stays_a_part_of_the_cell():
    speck = np.zeros((9, 9, 3), np.uint8)
    speck[4, 3:6] = (0, 1, 0)
    assert np.array_equal(with_outline(speck).any(axis=2), speck.any(axis=2))
