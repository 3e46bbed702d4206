"""``explain`` as one function: what lies in the folder, and that it agrees with predict."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest

from leukoscope.bundle.read import open_bundle
from leukoscope.core.files import sha256_file
from leukoscope.errors import UsageError
from leukoscope.explain import explain as room
from leukoscope.explain.explain import explain
from leukoscope.inference.predictor import Predictor


@pytest.fixture
def folder(tmp_path):
    """Two cells of one name in two folders, a broken one, a black one."""
    source = tmp_path / "cells"
    for number, name in enumerate(("a/cell 1.png", "b/cell 1.png")):
        image = np.zeros((450, 450, 3), np.uint8)
        cv2.circle(image, (225, 225), 80 + 30 * number, (160, 60, 120), -1)
        (source / name).parent.mkdir(parents=True)
        cv2.imwrite(str(source / name), image)
    (source / "broken.bmp").write_bytes(b"BM nothing")
    cv2.imwrite(str(source / "black.png"), np.zeros((450, 450, 3), np.uint8))
    return source


def test_every_image_has_a_row_and_every_cell_a_picture(spot_bundle, folder, tmp_path):
    done = explain(spot_bundle, folder, tmp_path / "out")
    document = json.loads((tmp_path / "out" / "explain.json").read_text())
    rows = Predictor(spot_bundle).predict(folder).frame
    assert [cell["cell_id"] for cell in document["cells"]] == rows["cell_id"].to_list()
    for cell, row in zip(document["cells"], rows.fill_nan(None).iter_rows(named=True), strict=True):
        assert {name: cell[name] for name in ("blast_probability", "decision", "error")} == {
            name: row[name] for name in ("blast_probability", "decision", "error")
        }
        assert (cell["picture"] is None) == (row["error"] is not None)
        if row["error"] is None:
            assert cell["log_odds"] == pytest.approx(row["logit_blast"] - row["logit_normal"])
    pictures = sorted(path.name for path in (tmp_path / "out").glob("*.png"))
    assert pictures == sorted(cell["picture"] for cell in document["cells"] if cell["picture"])
    assert len(pictures) == 3 and all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in pictures)
    assert cv2.imread(str(tmp_path / "out" / pictures[0])).shape == (326, 720, 3)
    assert (done.num_cells, done.num_unreadable, done.num_checked) == (4, 1, 2)
    assert document["method"] == "cam" and document["chosen"] == "the bundle has a class map"
    assert "no cause" in document["note"] and "not for diagnosis" in document["research_use_only"]


def test_the_page_says_what_must_be_said_and_opens_offline(spot_bundle, folder, tmp_path):
    page = explain(spot_bundle, folder, tmp_path / "out").page.read_text()
    assert "A map is no cause" in page and "not for diagnosis" in page
    assert "class map (CAM)" in page and "the bundle has a class map" in page
    assert page.count("<figure>") == 3 and page.count("a/cell 1.png") and "broken.bmp" in page
    assert "does not name its reference cells" in page
    for check in (
        "what the network has learned?",
        "blurred first?",
        "blackened first?",
        "put back first?",
        "lie on the cell?",
    ):
        assert check in page
    links = re.findall(r"(?:src|href)=\"([^\"]*)\"", page) + re.findall(r"url\(([^)]*)\)", page)
    assert links and all(link.startswith("data:image/") for link in links)
    assert "http" not in page and "<script" not in page


def test_a_page_of_many_cells_shows_some_and_says_so(spot_bundle, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(room, "NUM_SHOWN", 2)
    page = explain(spot_bundle, folder, tmp_path / "out").page.read_text()
    assert page.count("<figure>") == 2 and "The first 2 of 3" in page


def test_nothing_of_a_former_explanation_is_left(spot_bundle, folder, tmp_path):
    out = tmp_path / "out"
    explain(spot_bundle, folder, out)
    (out / "notes.png").write_bytes(b"mine")
    explain(spot_bundle, folder / "b", out)
    assert sorted(path.name for path in out.glob("*.png")) == ["00001-cell_1.png.png", "notes.png"]


def test_pictures_that_were_there_before_are_left_alone(spot_bundle, folder, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "00007-holiday.png").write_bytes(b"mine")
    explain(spot_bundle, folder, out)
    assert (out / "00007-holiday.png").read_bytes() == b"mine"


def test_only_broken_images_make_a_page_without_maps(spot_bundle, folder, tmp_path):
    done = explain(spot_bundle, folder / "broken.bmp", tmp_path / "out")
    assert (done.num_unreadable, done.checks, done.num_checked) == (1, (), 0)
    assert "no image shows a cell" in done.page.read_text()


def test_a_file_in_the_way_is_refused_first(spot_bundle, folder, tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(UsageError, match="is a file"):
        explain(spot_bundle, folder, tmp_path / "out")


def test_stamps_are_passed_on(tiny_bundle, tiny_cohort, tmp_path):
    done = explain(tiny_bundle, tiny_cohort / "C-NMC_Leukemia" / "testing_data", tmp_path / "out")
    assert done.stamps == ("SYNTHETIC",)
    assert "SYNTHETIC" in done.page.read_text() and done.method == "occlusion"


@pytest.mark.parametrize("private", [False, True])
def test_neighbours_are_on_the_page_and_private_ones_have_no_name(
    with_graph, graph_of, tiny_split, tmp_path, private
):
    cells = pl.read_parquet(tiny_split).filter(pl.col("split") == "train").head(3)
    cells = cells.select("sha256", pl.lit("SECRET7").alias("subject_id"), "label")
    path = with_graph(tmp_path / "b.leuko", graph_of(), references=cells, private=private)
    root = Path(pl.read_parquet_metadata(tiny_split)["root"])
    image = next(root.rglob("*_hem.bmp"))
    done = explain(path, image, tmp_path / "out", data=tiny_split)
    page, numbers = done.page.read_text(), (tmp_path / "out" / "explain.json").read_text()
    assert page.count('alt="training cell"') == 3
    assert ("SECRET7" in page + numbers) is not private
    known = {cell["sha256"] for cell in json.loads(numbers)["cells"][0]["neighbours"]}
    assert known == set(open_bundle(path).references["sha256"])
    assert (known == set(cells["sha256"])) is not private
    assert sha256_file(image) in numbers  # of the user's own cell


def test_eight_views_explain_what_eight_views_say(with_graph, graph_of, folder, tmp_path):
    path = with_graph(tmp_path / "b.leuko", graph_of(), views=8)
    done = explain(path, folder / "a", tmp_path / "out")
    row = Predictor(path).predict(folder / "a").frame.row(0, named=True)
    assert done.views == 8 and "eight ways" in done.page.read_text()
    assert done.cells[0].log_odds == pytest.approx(row["logit_blast"] - row["logit_normal"])
    total = {check.name: check for check in done.checks}["sum of the map"]
    assert total.holds and total.figures["mean_gap"] < 1e-3
