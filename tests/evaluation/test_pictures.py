"""Pictures of cells in a report."""

from __future__ import annotations

import base64
import zipfile

import cv2
import numpy as np
import pytest

from leukoscope.core.files import sha256_file
from leukoscope.evaluation.pictures import read_pictures
from leukoscope.evaluation.worst_cells import WorstCell


def cell(path, **more):
    return WorstCell(cell_id="a", subject_id="1", label="blast", blast_probability=0.1, path=path, **more)


@pytest.fixture
def folder(tmp_path):
    image = np.zeros((450, 450, 3), np.uint8)
    cv2.circle(image, (225, 225), 96, (160, 60, 120), -1)
    cv2.imwrite(str(tmp_path / "round.bmp"), image)
    (tmp_path / "broken.bmp").write_bytes(b"BM nothing")
    return tmp_path


def pixels(picture):
    kind, data = picture.uri.split(",", 1)
    assert kind == "data:image/jpeg;base64"
    return cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)


def test_a_picture_shows_the_cell_at_its_true_size_and_colour(folder):
    shown = pixels(read_pictures(folder, [cell("round.bmp")])[0])
    assert shown.shape == (160, 160, 3)
    inside = (shown > 30).any(axis=2)
    assert inside.sum(axis=1).max() == pytest.approx(193 * 160 / 384, abs=2)
    np.testing.assert_allclose(shown[80, 80], (160, 60, 120), atol=6)


def test_a_zip_will_do(folder, tmp_path):
    packed = tmp_path / "cells.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(folder / "round.bmp", "deep/round.bmp")
    assert pixels(read_pictures(packed, [cell("deep/round.bmp")])[0]).any()


def test_what_cannot_be_shown_has_its_reason(folder):
    sha256 = sha256_file(folder / "round.bmp")
    cells = [
        cell("round.bmp", sha256=sha256),
        cell("round.bmp", sha256="0" * 64),
        cell("gone.bmp"),
        cell("broken.bmp"),
        cell(None),
    ]
    found = read_pictures(folder, cells)
    assert found[0].uri
    assert [picture.uri for picture in found[1:]] == [None] * 4
    assert found[1].reason == "the file is no longer the one that was judged"
    assert found[2].reason == "no such file"
    assert all(picture.reason for picture in found[1:])


def test_no_folder(tmp_path):
    assert "not known" in read_pictures(None, [cell("a.bmp")])[0].reason
    assert "expected a folder" in read_pictures(tmp_path / "gone", [cell("a.bmp")])[0].reason
