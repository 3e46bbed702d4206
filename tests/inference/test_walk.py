"""Natural order, without listing more than one folder at a time."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from leukoscope.cohort.source import natural_key, open_source
from leukoscope.errors import UsageError
from leukoscope.inference.walk import order, walk

FILES = ["10.bmp", "2.BMP", "a/1.png", "a/b/3.tif", "a/b/20.tif", "a10/1.png", "a2/1.webp", "z.jpeg"]


@pytest.fixture
def folder(tmp_path):
    for name in [*FILES, "notes.txt", ".hidden.bmp", ".git/1.bmp", "__MACOSX/1.bmp", "bmp", "a/labels.csv"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def test_images_come_in_natural_order_and_nothing_else_comes(folder):
    assert list(walk(folder)) == [
        "2.BMP",
        "10.bmp",
        "a2/1.webp",
        "a10/1.png",
        "a/1.png",
        "a/b/3.tif",
        "a/b/20.tif",
        "z.jpeg",
    ]


def test_the_order_is_that_of_the_index(folder):
    assert list(walk(folder)) == open_source(folder).names()


def test_the_order_of_a_real_layout_is_that_of_the_index(tiny_cohort):
    assert list(walk(tiny_cohort)) == open_source(tiny_cohort).names()


names = st.text(alphabet="ab019/-", min_size=1, max_size=8)


@given(st.lists(names, max_size=8))
@example(["00", "0a"])
def test_the_key_counts_as_the_one_of_the_index_does(some):
    assert sorted(some, key=order) == sorted(some, key=natural_key)


def test_links_are_followed_but_not_in_circles(folder):
    (folder / "a" / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "linked.bmp").symlink_to(folder / "2.BMP")
    (folder / "gone.bmp").symlink_to(folder / "nowhere.bmp")
    found = list(walk(folder))
    assert "linked.bmp" in found and "gone.bmp" in found, "a broken link is a row that says so"
    assert len(found) <= 2 * (len(FILES) + 2)


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(UsageError, match="cannot be listed"):
        list(walk(tmp_path / "nowhere"))
