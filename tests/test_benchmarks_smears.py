"""What the measurements of smears stand on: boxes, masks, cells laid into photographs, intervals."""

from pathlib import Path

import cv2
import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def test_boxes_and_cells_are_paired_once_and_best_first():
    from smear.fields import overlap, pair_up

    boxes = [(0.0, 0.0, 10.0, 10.0), (8.0, 0.0, 18.0, 10.0), (50.0, 50.0, 60.0, 60.0)]
    cells = [(1.0, 0.0, 11.0, 10.0), (30.0, 30.0, 40.0, 40.0), (8.0, 0.0, 18.0, 10.0)]
    field = pair_up("field", boxes, cells)
    assert overlap(boxes[0], cells[0]) == pytest.approx(90 / 110)
    assert field.hits == 2
    assert field.missed == [boxes[2]]
    assert field.extra == [cells[1]]
    assert field.overlaps == [1.0, pytest.approx(90 / 110)]


def test_boxes_are_read_from_pascal_voc(tmp_path):
    from smear.fields import boxes_of

    box = "<bndbox><xmin>3</xmin><ymin>4</ymin><xmax>30</xmax><ymax>40</ymax></bndbox>"
    things = "".join(f"<object><name>{name}</name>{box}</object>" for name in ("WBC", "RBC"))
    (tmp_path / "one.xml").write_text(f"<annotation>{things}</annotation>")
    assert boxes_of(tmp_path / "one.xml") == [(3.0, 4.0, 30.0, 40.0)]


def test_dice_is_that_of_the_whole_masks():
    from leukoscope.cells.segmentation.found import FoundCell
    from smear.masks import dice

    square = np.ones((10, 10), bool)
    one, other, far = (FoundCell(x, 0, square, square) for x in (0, 5, 40))
    assert dice(one, one) == 1
    assert dice(one, other) == 0.5
    assert dice(one, far) == 0


def cell_on_black(radius: int = 60) -> np.ndarray:
    """A purple disc whose outermost pixels are mixed with black, as C-NMC's are."""
    picture = np.zeros((450, 450, 3), np.uint8)
    cv2.circle(picture, (220, 230), radius, (50, 20, 50), -1)
    cv2.circle(picture, (220, 230), radius - 1, (110, 60, 120), -1)
    return picture


def test_a_cell_is_lifted_off_its_black_ground():
    from smear.pasting import lifted

    picture = cell_on_black()
    picture[230, 220] = 0  # a black pixel inside belongs to the cell
    sprite = lifted(picture, margin=5)
    whole = cell_on_black().any(axis=2)
    assert sprite.mask.shape == (121 + 10, 121 + 10)
    assert np.array_equal(sprite.mask[5:-5, 5:-5], whole[170:291, 160:281])
    assert not sprite.mask[:5].any()
    assert (sprite.pixels[~sprite.mask] == (110, 60, 120)).all()  # beyond the edge neither black nor its mix


def test_a_pasted_cell_has_its_own_colours_and_a_soft_edge():
    from smear.pasting import lifted, pasted

    field = np.full((300, 400, 3), 220, np.uint8)
    sprite = lifted(cell_on_black())
    image = pasted(field, sprite, 100, 40, softness=1.5)
    height, width = sprite.mask.shape
    window = image[40 : 40 + height, 100 : 100 + width].astype(int)
    depth = cv2.distanceTransform(sprite.mask.astype(np.uint8), cv2.DIST_L2, 5)
    away = cv2.distanceTransform(1 - sprite.mask.astype(np.uint8), cv2.DIST_L2, 5)
    assert np.array_equal(window[depth > 0], sprite.pixels[depth > 0])
    assert (window[away > 7] == 220).all()
    outside = np.ones(field.shape[:2], bool)
    outside[40 : 40 + height, 100 : 100 + width] = False
    assert (image[outside] == 220).all()
    assert (field == 220).all()
    across = window[height // 2, :, 1]  # from the field through the edge into the cell, without a jump
    assert np.abs(np.diff(across)).max() < 80  # of 160


def test_a_free_place_holds_nothing_that_is_taken():
    from smear.pasting import free_place, taken_by

    taken = taken_by((100, 200), [(40.0, 20.0, 60.0, 50.0), (-10.0, 90.0, 5.0, 140.0)], gap=3)
    assert taken[17:53, 37:63].all()
    assert taken.sum() == 36 * 26 + 13 * 8
    rng = np.random.default_rng(0)
    places = [free_place(taken, (30, 40), rng) for _ in range(60)]
    assert len(set(places)) > 30
    for x, y in places:
        assert 0 <= x <= 160 and 0 <= y <= 70
        assert not taken[y : y + 30, x : x + 40].any()
    assert free_place(taken, (101, 10), rng) is None
    assert free_place(np.ones((50, 50), bool), (5, 5), rng) is None
    only = np.ones((50, 60), bool)
    only[30:, 40:] = False
    assert free_place(only, (20, 20), rng) == (40, 30)


def test_a_mask_is_boxed_and_reduced_with_its_photograph():
    from smear.masks import boxed
    from smear.pasting import reduced

    mask = np.zeros((30, 40), bool)
    mask[10:20, 8:28] = True
    cell = boxed(mask, 100, 50)
    assert cell.box == (108, 60, 20, 10)
    small = reduced(cell, (200, 300), (150, 100))
    assert small.box == (54, 30, 10, 5)
    assert small.mask.all()


def test_cells_are_dealt_evenly_over_the_people_of_one_half(tmp_path):
    import polars as pl

    from leukoscope.cohort.manifest import COLUMNS, Manifest
    from smear.people import chosen

    people = {"1": 40, "2": 3, "3": 40, "4": 40, "H1": 40, "H2": 2, "H3": 40, "H4": 40}
    rows = [
        {"cell_id": f"{name}_{place}", "subject_id": name, "label": "normal" if "H" in name else "blast"}
        for name, num in people.items()
        for place in range(num)
    ]
    same = {"path": "a.bmp", "source": "training", "sha256": "0" * 64, "quality": ""}
    frame = pl.DataFrame([{key: (same | row).get(key) for key in COLUMNS} for row in rows], schema=COLUMNS)
    cells = Manifest(frame, tmp_path, {})
    first = chosen(cells, "first", 20).frame["subject_id"].value_counts()
    assert dict(first.iter_rows()) == {"1": 17, "2": 3, "H1": 18, "H2": 2}
    second = chosen(cells, "second", 20).frame["subject_id"].value_counts()
    assert dict(second.iter_rows()) == {"3": 10, "4": 10, "H3": 10, "H4": 10}


def test_shares_have_the_interval_of_people_and_not_of_cells():
    from smear.people import People

    names = np.repeat([f"{kind}{place}" for kind in "bn" for place in range(10)], 30)
    blast = np.char.startswith(names, "b")
    people = People(names.tolist(), blast.tolist())
    of_person = np.isin(names, ["b0", "b1", "n0"])  # all cells of three people, none of the others
    found = people.share(of_person)
    assert found["estimate"] == pytest.approx(0.15)
    assert found["ci_low"] <= 0.05 and found["ci_high"] >= 0.3
    spread = people.share(np.arange(len(names)) % 20 < 3)  # the same share of each person's cells, about
    assert spread["ci_high"] - spread["ci_low"] < 0.06
    values = np.random.default_rng(0).normal(size=len(names))
    middle = people.median(values)
    assert middle["estimate"] == pytest.approx(np.median(values), abs=0.02)
    assert middle["ci_low"] <= middle["estimate"] <= middle["ci_high"]
    assert people.quantile(values, 0.9)["estimate"] == pytest.approx(np.quantile(values, 0.9), abs=0.02)


def share(estimate: float) -> dict:
    return {"estimate": estimate, "ci_low": estimate - 0.05, "ci_high": None}


def test_the_page_shows_what_was_found_in_photographs(tmp_path):
    from page import render, targets
    from record import keep, kept

    moved = {"num": 300, "kept": share(0.85), "decisions_changed": share(0.04)}
    moved |= {"median": share(0.02), "p90": share(0.125)}
    pasted = {"half": "second", "micrometres_per_pixel": 0.05, "num_cells": 310, "num_subjects": 23}
    pasted |= {"dice": share(0.95), "found": share(0.99), "set_aside": share(0.1)} | moved
    keep("smears", "paste-second-half-0.05", pasted, folder=tmp_path)
    keep("smears", "paste-first-half-0.05", pasted | {"half": "first"}, folder=tmp_path)
    keep("smears", "scaling", {"collections": {"C-NMC": {"0.9": moved}}}, folder=tmp_path)
    strange = {"num_judged": 190, "above_threshold": share(0.7), "beyond_limit": share(0.5)}
    strange |= {"called": {"blast": share(0.3), "normal": share(0.1)}}
    ways = {"flat field, none": strange | {"novelty_auroc": share(0.987)}}
    keep("smears", "strangers", {"collections": {"lymphocytes": ways}}, folder=tmp_path)
    page = render(kept(tmp_path), tmp_path)
    who = "C-NMC in BCCD, second halves, 0.05 µm a pixel: 310 cells of 23 people"
    assert f"| {who} | median Dice | 0.950 | at least 0.93 |" in page
    assert f"| {who} | probability moved by less than 0.1 | 85.0 % | at least 0.9 |" in page
    assert "| C-NMC, scale -10 %: 300 cells | probability moved by, median | 0.020 |  |" in page
    assert (
        "| lymphocytes, flat field, none: 190 cells judged | above the blast threshold | 70.0 % |  |" in page
    )
    assert [target.met for target in targets(kept(tmp_path))] == [True, False]  # the first half is no test
