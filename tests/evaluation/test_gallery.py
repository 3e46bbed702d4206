"""The page of the most and the least suspicious cells."""

from __future__ import annotations

import re

import cv2
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leukoscope.errors import UsageError
from leukoscope.evaluation.gallery import Extremes, check_gallery, probability, write_gallery

probabilities = st.lists(st.sampled_from([0.0, 0.1, 0.5, 0.50001, 0.9, 1.0]), max_size=60)


def rows(values, **columns):
    names = [f"cell_{place}" for place in range(len(values))]
    return pl.DataFrame(
        {"cell_id": names, "blast_probability": values, **columns},
        schema_overrides={"cell_id": pl.Utf8, "blast_probability": pl.Float64},
    )


def extremes_of(frame, num=20, chunk=7):
    extremes = Extremes(num)
    for start in range(0, max(frame.height, 1), chunk):
        extremes.add(frame[start : start + chunk])
    return extremes


def ids(cells):
    return [cell.cell_id for cell in cells]


@given(probabilities, st.integers(1, 8), st.integers(1, 9))
def test_in_parts_they_are_the_ends_of_the_whole_order(values, num, chunk):
    extremes = extremes_of(rows(values), num, chunk)
    order = sorted(range(len(values)), key=lambda place: (-values[place], place))
    half = min(num, -(-len(values) // 2))
    assert ids(extremes.most) == [f"cell_{place}" for place in order[:half]]
    rest = min(num, len(values) - half)
    assert ids(extremes.least) == [f"cell_{place}" for place in order[::-1][:rest]]


@given(probabilities, st.integers(1, 8))
def test_no_cell_is_shown_twice(values, num):
    extremes = extremes_of(rows(values), num)
    shown = ids(extremes.most) + ids(extremes.least)
    assert len(set(shown)) == len(shown) == min(2 * num, len(values))


def test_what_cannot_be_judged_is_counted_and_not_shown():
    frame = rows(
        [0.9, None, float("nan"), 0.2, 0.8, 0.7, 0.6],
        error=[None, "damaged", None, None, "odd", None, None],
        quality=[None, None, None, "blank", None, "border,none", "border,not-segmented"],
    )
    extremes = extremes_of(frame, chunk=2)
    assert (extremes.num_rows, extremes.num_unreadable, extremes.num_empty) == (7, 3, 2)
    assert extremes.num_cells == 2
    assert ids(extremes.most) == ["cell_0"] and ids(extremes.least) == ["cell_6"]


def test_memory_does_not_grow():
    extremes = Extremes(3)
    for part in range(50):
        extremes.add(rows(np.random.default_rng(part).random(100).tolist()))
        assert extremes._kept is not None and extremes._kept.height <= 6
    assert extremes.num_cells == 5000


@pytest.fixture
def table(tmp_path):
    """Forty-five cells, three of them with pictures."""
    for name, side in (("a", 60), ("b", 90), ("c", 120)):
        image = np.zeros((450, 450, 3), np.uint8)
        cv2.circle(image, (225, 225), side, (160, 60, 120), -1)
        cv2.imwrite(str(tmp_path / f"{name}.bmp"), image)
    frame = rows(np.linspace(0, 1, 45).tolist()).with_columns(
        path=pl.Series(["a.bmp", *["gone.bmp"] * 42, "b.bmp", "c.bmp"]),
        decision=pl.lit("indeterminate"),
        reason=pl.lit("between <thresholds>"),
        quality=pl.lit("border,dark"),
    )
    return frame


def test_the_page_shows_what_it_says(table, tmp_path):
    metadata = {"root": str(tmp_path), "bundle_id": "abc123", "synthetic": "true", "leaky": "false"}
    path = write_gallery(extremes_of(table), tmp_path / "new" / "g.html", metadata, bundle_name="a & b")
    page = path.read_text()
    assert "not for diagnosis" in page and "not a diagnosis" in page
    assert "<b>a &amp; b</b>" in page and "abc123" in page
    assert "SYNTHETIC" in page and "LEAKY" not in page
    assert "Of 45 cells" in page and "Left out" not in page
    assert page.count("<figure>") == 40 and page.count("<img ") == 3
    shown = re.findall(r"cell_\d+(?=</span>)", page)
    assert shown == [f"cell_{n}" for n in [*range(44, 24, -1), *range(20)]]
    assert page.count("between &lt;thresholds&gt;") == 40 and page.count("border, dark") == 40
    assert "&gt; 0.9999" in page and "&lt; 0.0001" in page


def test_it_opens_offline(table, tmp_path):
    page = write_gallery(extremes_of(table), tmp_path / "g.html", {"root": str(tmp_path)}).read_text()
    links = re.findall(r"(?:src|href)=\"([^\"]*)\"", page) + re.findall(r"url\(([^)]*)\)", page)
    assert links and all(link.startswith("data:image/") for link in links)
    assert "http" not in page and "<script" not in page


def test_the_page_counts_what_was_left_out(tmp_path):
    frame = rows([None, 0.3, 0.4], error=["damaged", None, None], quality=[None, "blank", None])
    page = write_gallery(extremes_of(frame), tmp_path / "g.html", {}).read_text()
    assert re.search(r"Left out of 3 images:\s+1 that could not be read,\s+1 without a cell\.", page)
    assert page.count("<figure>") == 1 and "There is no other cell to show" in page


def test_nothing_to_show_is_said(tmp_path):
    page = write_gallery(extremes_of(rows([None])), tmp_path / "g.html", {}).read_text()
    assert page.count("There is no cell to show") == 2 and "<figure>" not in page


@pytest.mark.parametrize("name", ["g.png", "g", "folder.html"])
def test_other_names_are_refused(tmp_path, name):
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(UsageError):
        check_gallery(tmp_path / name)


@given(st.floats(0, 1))
def test_a_probability_is_never_shown_as_sure(value):
    text = probability(value)
    assert text not in ("1.0000", "0.0000")
    assert abs(float(text.lstrip("<> ")) - value) <= 1.01e-4
