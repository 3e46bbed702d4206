"""Folders and zip files give the same files, without clutter, without reading anything twice."""

import os
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from leukoscope.cohort.source import FolderSource, ZipSource, natural_key, open_source
from leukoscope.errors import (
    ImageFormatError,
    ImageNotFoundError,
    ImageTooLargeError,
    LayoutError,
    TruncatedImageError,
)

FILES = {
    "a/2.bmp": b"two",
    "a/10.PNG": b"ten",
    "b/labels.csv": b"x",
    "b/1.tif": b"one",
    "top.webp": b"top",
    "a/.hidden.bmp": b"no",
    "__MACOSX/a/._2.bmp": b"no",
    ".cache/3.bmp": b"no",
}
SEEN = ["a/2.bmp", "a/10.PNG", "b/1.tif", "b/labels.csv", "top.webp"]


@pytest.fixture(params=["folder", "zip", "zip written on Windows"])
def source(request, tmp_path):
    if request.param == "folder":
        for name, data in FILES.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(data)
        return open_source(tmp_path)
    with zipfile.ZipFile(tmp_path / "cells.zip", "w") as archive:
        for name, data in FILES.items():
            info = zipfile.ZipInfo()
            info.filename = name.replace("/", "\\") if "Windows" in request.param else name
            archive.writestr(info, data)
    return open_source(tmp_path / "cells.zip")


def test_lists_in_natural_order_without_clutter(source):
    assert source.files() == SEEN
    assert source.names() == ["a/2.bmp", "a/10.PNG", "b/1.tif", "top.webp"]


def test_reads_what_was_written(source):
    assert {name: source.read(name) for name in SEEN} == {name: FILES[name] for name in SEEN}


def test_a_file_that_is_not_there(source):
    with pytest.raises(ImageNotFoundError, match=r"a.3\.bmp: no such file"):
        source.read("a/3.bmp")


def test_kinds(tmp_path):
    (tmp_path / "notes.txt").write_text("no zip")
    with pytest.raises(LayoutError, match="found a file that is no zip"):
        open_source(tmp_path / "notes.txt")
    with pytest.raises(LayoutError, match="found nothing"):
        open_source(tmp_path / "gone")
    assert isinstance(open_source(tmp_path), FolderSource)


def test_zip_is_read_by_many_threads_at_once(tmp_path):
    contents = {f"{number}.bmp": os.urandom(20_000 + number) for number in range(200)}
    with zipfile.ZipFile(tmp_path / "cells.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    images = ZipSource(tmp_path / "cells.zip")
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(images.read, contents)) == list(contents.values())


def test_a_damaged_member_is_that_member_s_error(tmp_path):
    path = tmp_path / "cells.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("good.bmp", b"good")
        archive.writestr("bad.bmp", b"to be damaged")
    path.write_bytes(path.read_bytes().replace(b"to be damaged", b"to be dAmaged"))
    images = open_source(path)
    assert images.read("good.bmp") == b"good"
    with pytest.raises(TruncatedImageError, match=r"bad\.bmp"):
        images.read("bad.bmp")


def test_larger_than_an_image_may_be(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["leukoscope.cohort.source"], "_MAX_BYTES", 10)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.bmp", bytes(1_000_000))
    (tmp_path / "large.bmp").write_bytes(bytes(11))
    for images, name in (
        (open_source(tmp_path / "bomb.zip"), "bomb.bmp"),
        (open_source(tmp_path), "large.bmp"),
    ):
        with pytest.raises(ImageTooLargeError, match="the limit is 10"):
            images.read(name)


def test_a_folder_in_place_of_a_file(tmp_path):
    (tmp_path / "strange.bmp").mkdir()
    with pytest.raises(ImageFormatError, match="cannot be read"):
        open_source(tmp_path).read("strange.bmp")


def test_links_are_followed_and_nothing_is_counted_twice(tmp_path):
    (tmp_path / "data/all").mkdir(parents=True)
    (tmp_path / "data/all/1.bmp").write_bytes(b"1")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/2.bmp").write_bytes(b"2")
    try:
        (tmp_path / "data/ALL").symlink_to(tmp_path / "data/all", target_is_directory=True)
        (tmp_path / "data/loop").symlink_to(tmp_path / "data", target_is_directory=True)
        (tmp_path / "data/more").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    except OSError:
        pytest.skip("no links here")
    assert open_source(tmp_path / "data").names() == ["all/1.bmp", "more/2.bmp"]


def test_natural_key_orders_numbers_by_value():
    names = ["x/10.bmp", "y10.bmp", "y9.bmp", "x/9.bmp", "x/1/1.bmp"]
    assert sorted(names, key=natural_key) == ["x/1/1.bmp", "x/9.bmp", "x/10.bmp", "y9.bmp", "y10.bmp"]
