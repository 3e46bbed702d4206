"""One cell: what its numbers mean, its history, its map; the order of a view; and whose eyes see it."""

from __future__ import annotations

import re

import cv2
import numpy as np
import polars as pl
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from tests.review.conftest import PASSWORD, new_case, upload
from tests.review.test_pages import csrf, read

from leukoscope.bundle.read import open_bundle
from leukoscope.cells.decode import decode
from leukoscope.cells.quality import FLAGS, examine
from leukoscope.errors import UsageError
from leukoscope.evaluation.sizes import MedianSize
from leukoscope.explain.class_map import class_map
from leukoscope.inference.predictor import load
from leukoscope.review.app import create_app
from leukoscope.review.auth.accounts import accept, invite
from leukoscope.review.auth.rights import Actor, NotFoundError
from leukoscope.review.room import Room
from leukoscope.review.services import decisions, gallery, meaning
from leukoscope.review.services.decisions import approve, decide, undo
from leukoscope.review.services.differential import by_photograph
from leukoscope.review.services.gallery import View
from leukoscope.review.services.heat_maps import map_over
from leukoscope.review.services.intake import known_files
from leukoscope.review.services.one_cell import look
from leukoscope.review.settings import ServerSettings
from leukoscope.review.store.tables import Cell, Image, Team, User

# The order of a view


def ids(room, case_id, *view) -> list[int]:
    with room.database.read() as session:
        return gallery.cell_ids(session, case_id, View(*view))


def call(room, case_id, cell_ids, decision, actor=None) -> str:
    with room.database.write() as session:
        return decide(session, actor or room.signer, case_id, cell_ids, decision)


def test_a_view_is_in_the_order_that_its_name_says(room, read_case):
    with room.database.write() as session:
        cells = list(session.scalars(select(Cell).where(Cell.case_id == read_case).order_by(Cell.position)))
        for number, cell in enumerate(cells):
            cell.decision, cell.blast_probability = "blast", (None if number == 5 else (number * 7 % 12) / 11)
    known = [cell for cell in cells if cell.blast_probability is not None]
    suspicion = sorted(known, key=lambda cell: -cell.blast_probability)
    assert ids(room, read_case, "blast", "suspicion") == [cell.cell_id for cell in [*suspicion, cells[5]]]
    assert ids(room, read_case, "blast", "position") == [cell.cell_id for cell in cells]
    uncertain = ids(room, read_case, "blast", "uncertainty")
    far = {cell.cell_id: abs((cell.blast_probability or 0.5) - 0.5) for cell in cells}
    assert [far[cell_id] for cell_id in uncertain if cell_id != cells[0].cell_id] == sorted(
        value for cell_id, value in far.items() if cell_id != cells[0].cell_id
    )
    with pytest.raises(UsageError, match="expected a tab"):
        ids(room, read_case, "blood")
    with pytest.raises(UsageError, match="an order"):
        ids(room, read_case, "blast", "password")


def test_who_stands_beside_a_cell_and_tiles_come_in_the_order_asked_for(room, read_case):
    with room.database.read() as session:
        call(room, read_case, list(session.scalars(select(Cell.cell_id))), "normal")
    every = ids(room, read_case, "normal", "position")
    view = View("normal", "position")
    with room.database.read() as session:
        assert gallery.around(session, read_case, view, every[0]) == (1, len(every), None, every[1])
        assert gallery.around(session, read_case, view, every[-1])[2:] == (every[-2], None)
        assert gallery.around(session, read_case, View("rejected"), every[0]) is None
        asked = [every[2], every[0], 10**9]
        assert [tile.cell_id for tile in gallery.tiles(session, read_case, asked)] == asked[:2]
        with pytest.raises(UsageError, match="at most"):
            gallery.tiles(session, read_case, range(gallery.MOST_TILES + 1))


def test_a_photograph_is_seen_counted_and_approved_by_itself(room, read_case):
    with room.database.write() as session:
        for number, cell in enumerate(session.scalars(select(Cell).where(Cell.case_id == read_case))):
            cell.photograph, cell.decision = f"7_{number % 3}", "blast"
    mine = ids(room, read_case, "blast", "position", "7_1")
    assert len(mine) == 4
    with room.database.write() as session:
        approve(session, room.signer, read_case, "blast", "7_1")
    with room.database.read() as session:
        seen = select(Cell.cell_id).where(Cell.reviewed_at.is_not(None)).order_by(Cell.position)
        assert list(session.scalars(seen)) == mine
        assert gallery.counts(session, read_case, "7_1")["blast"] == (4, 0)
        assert gallery.counts(session, read_case)["blast"] == (12, 8)
        assert {
            name: both.after_review.num_blast for name, both in by_photograph(session, read_case).items()
        } == {
            "7_0": 4,
            "7_1": 4,
            "7_2": 4,
        }


def test_more_cells_than_a_query_holds_are_decided_and_taken_back(room, read_case, monkeypatch):
    monkeypatch.setattr(decisions, "MOST_AT_ONCE", 5)
    with room.database.read() as session:
        before = dict(session.execute(select(Cell.cell_id, Cell.decision)).all())
    call(room, read_case, list(before), "rejected")
    assert len(ids(room, read_case, "rejected")) == 12
    with room.database.write() as session:
        undo(session, room.signer, read_case)
    with room.database.read() as session:
        assert dict(session.execute(select(Cell.cell_id, Cell.decision)).all()) == before


# One cell


def test_the_history_says_who_did_what_to_how_many_and_what_was_taken_back(room, read_case):
    with room.database.read() as session:
        cells = list(session.scalars(select(Cell).where(Cell.case_id == read_case).order_by(Cell.position)))
    cell, said = cells[0].cell_id, cells[0].decision
    call(room, read_case, [cell, cells[1].cell_id, cells[2].cell_id], "rejected")
    with room.database.write() as session:
        undo(session, room.signer, read_case)
    with room.database.write() as session:
        approve(session, room.administrator, read_case, said)
    call(room, read_case, [cell], said)
    with room.database.read() as session:
        steps = look(session, room.signer, read_case, cell).steps
    assert [(step.username, step.words) for step in steps] == [
        ("sam", f"called it rejected; it was {said}"),
        ("sam", f"took a step back: {said} again"),
        ("ada", f"approved it with the rest of its tab, as {said}"),
        ("sam", f"confirmed it as {said}"),
    ]
    assert [step.is_undone for step in steps] == [True, False, False, False]
    assert [step.num_cells for step in steps[:2]] == [3, 3] and steps[3].num_cells == 1


def test_a_cell_is_seen_only_through_its_own_case_and_by_its_team(room, read_case):
    other = new_case(room)
    cell = (
        ids(room, read_case, "blast") + ids(room, read_case, "normal") + ids(room, read_case, "indeterminate")
    )
    with room.database.write() as session:
        team = Team(name="Elsewhere")
        session.add(team)
        session.flush()
        token = invite(session, room.administrator, "signer", [team.team_id]).token
    with room.database.write() as session:
        stranger = Actor.of(accept(session, token, username="eve", full_name="Eve E.", password=PASSWORD))
    with room.database.read() as session:
        with pytest.raises(NotFoundError, match="no cell"):
            look(session, room.signer, other, cell[0])
        for what in (look, lambda *a: known_files(*a[:3], [])):
            with pytest.raises(NotFoundError, match="no case"):
                what(session, stranger, read_case, cell[0])


def test_files_are_known_by_their_hash_whatever_became_of_them(room, cells):
    case_id = new_case(room)
    added = upload(room, case_id, [*cells[:2], ("broken.bmp", b"BM")])
    hashes, other = [image.received_sha256 for image in added], new_case(room)
    with room.database.read() as session:
        assert sorted(known_files(session, room.signer, case_id, [*hashes, "0" * 64])) == sorted(hashes)
        assert known_files(session, room.signer, other, hashes) == []


# What numbers mean


ROW = {
    "blast_probability": 0.832,
    "raw_probability": 0.7,
    "novelty": 2.0,
    "quality": "border,blank",
    "cell_width": 200,
    "cell_height": 180,
    "cell_area": 30_000,
}

MIDDLE = {
    "blast": MedianSize(num_cells=9, width=220, height=217, area=36_000),
    "normal": MedianSize(num_cells=8, width=181, height=180, area=25_000),
}


def test_numbers_are_said_in_words_as_the_bundle_has_them(make_bundle, tmp_path):
    from leukoscope.cells.preprocess import Preprocess

    scaled = Preprocess(field=384, size=32, micrometres_per_pixel=0.05)
    info = open_bundle(make_bundle(tmp_path / "scaled.leuko", preprocess=scaled, median_sizes=MIDDLE)).info
    assert "Of 100 cells with this value, about 83 were blasts in the calibration data (nobody)." in (
        meaning.probability(ROW, info)
    )
    assert meaning.probability(ROW, info)[-1] == "Before calibration the model said 0.70."
    point = info.operating_points[0]
    words = meaning.thresholds(point)
    assert f"{point.blast_from:.3f}" in words and f"{point.normal_below:.3f}" in words and point.name in words
    assert (
        meaning.novelty(ROW, info).startswith("Unlike")
        and meaning.novelty({"novelty": 1.0}, info)[:4] == "Like"
    )
    assert [(flag.name, flag.forbids) for flag in meaning.flags(ROW, info)] == [
        ("border", False),
        ("blank", True),
    ]
    assert meaning.size(ROW, info) == [
        ("width", 200, pytest.approx(10.0), {"blast": 220, "normal": 181}),
        ("height", 180, pytest.approx(9.0), {"blast": 217, "normal": 180}),
        ("area", 30_000, pytest.approx(75.0), {"blast": 36_000, "normal": 25_000}),
    ]
    alone = info.ruler.predict(pl.DataFrame({"cell_width": [200], "cell_height": [180]}))[0]
    ratio = 200 * 180 / np.exp(10.5)
    box, size = meaning.compared_size(ROW, info)
    assert f"{ratio:.2f} times" in box and "below" in box and f"{alone:.2f}" in size


def test_what_a_bundle_or_a_cell_lacks_is_said_and_not_made_up(make_bundle, tmp_path):
    info = open_bundle(make_bundle(tmp_path / "bare.leuko", novelty=None, ruler=None)).info
    nothing = dict.fromkeys(ROW)
    assert "no probability" in meaning.probability(nothing, info)[0]
    assert "no reference cells" in meaning.novelty(nothing, info)
    assert meaning.flags(nothing, info) == meaning.size(nothing, info) == []
    assert meaning.compared_size(ROW, info) == []
    assert meaning.size(ROW, info)[0][2:] == (None, {})


def test_what_was_set_aside_in_a_photograph_is_said_in_words_and_its_value_means_nothing(tiny_bundle):
    info = open_bundle(tiny_bundle).info
    lobed = meaning.why_open("not a lymphoid cell: lobed")
    assert "not lymphoid" in lobed and "several lobes" in lobed
    edge = meaning.why_open("not a single cell: edge,doublet")
    assert "no single whole cell" in edge and "cut off by the edge" in edge and "told apart" in edge
    (words,) = meaning.probability(ROW, info, is_apart=True)
    assert "says nothing about this one" in words
    plain, scaled = meaning.size(ROW, info), meaning.size(ROW, info, 0.1)
    assert [one.pixels for one in plain] == [one.pixels for one in scaled]
    assert [round(one.micrometres / one.pixels, 6) for one in scaled] == [0.1, 0.1, 0.01]


def test_every_reason_has_its_words():
    said = {meaning.why_open(reason) for reason in ("novel", "between thresholds", "unreadable: cut off")}
    said |= {meaning.why_open(f"quality: {flag}") for flag in FLAGS}
    assert len(said) == 3 + len(FLAGS) and all(said) and meaning.why_open(None) is None


# The map


@pytest.fixture(scope="module")
def starter():
    return load("starter")


def test_the_map_lies_where_the_cell_lies_and_moves_with_it(starter, tiny_cohort):
    image = decode(next(iter(sorted(tiny_cohort.rglob("UID_*.bmp")))).read_bytes())
    method = class_map(starter.bundle, starter.backend)
    found = map_over(starter, method, image)
    assert found.shape == image.shape[:2] and found.dtype == np.float32
    measures, _ = examine(image, starter.bundle.info.limits)
    window = starter.bundle.info.preprocess.apply(image, measures)[None]
    model = method.mapper(window)[0]
    left, top = starter.bundle.info.preprocess.origin(measures)
    field = starter.bundle.info.preprocess.field
    part = found[max(top, 0) : top + field, max(left, 0) : left + field]
    whole = cv2.resize(model, (field, field))[max(-top, 0) :, max(-left, 0) :]
    np.testing.assert_allclose(part, whole[: part.shape[0], : part.shape[1]], atol=1e-6)
    moved = np.roll(image, (9, -14), axis=(0, 1))
    np.testing.assert_allclose(
        map_over(starter, method, moved), np.roll(found, (9, -14), axis=(0, 1)), atol=1e-5
    )


# Pages


@pytest.fixture
def server(tmp_path, request, tiny_bundle):
    room = Room(ServerSettings(data_dir=tmp_path / "room"), getattr(request, "param", tiny_bundle))
    with TestClient(create_app(room), base_url="http://127.0.0.1", follow_redirects=False) as client:
        client.room = room
        form = {"username": "ada", "full_name": "Ada L.", "password": PASSWORD, "repeated": PASSWORD}
        client.post(f"/join/{room.first_link()}", data=form)
        yield client
    room.close()


def first_cell(client, address) -> str:
    """The address of the first cell that the gallery shows."""
    canvas = client.get(address).text.split('id="canvas"')[1]
    return f"{address}/cells/" + re.search(r'data-cell="(\d+)"', canvas)[1]


@pytest.mark.parametrize("server", ["starter"], indirect=True)
def test_a_map_is_made_once_and_is_as_large_as_its_image(server, cells):
    address = first_cell(server, read(server, cells[:2]))
    answer = server.get(f"{address}/map.png")
    assert answer.status_code == 200 and "immutable" in answer.headers["cache-control"]
    drawn = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert drawn.shape == (450, 450, 4) and drawn[..., 3].max() > 200
    server.room.heat_maps._images = None  # asked for again, no image is read
    assert server.get(f"{address}/map.png").content == answer.content


def test_a_bundle_without_a_class_map_says_so(server, cells):
    address = first_cell(server, read(server, cells[:2]))
    assert "has no class map" in server.get(address).text and "/map.png" not in server.get(address).text
    assert server.get(f"{address}/map.png").status_code == 422


def test_a_cell_is_decided_on_its_page_and_the_next_one_comes(server, cells):
    case = read(server, cells)
    address = first_cell(server, case)
    tab = re.search(r'data-tab="(\w+)"', server.get(case).text)[1]
    order = server.get(f"{case}/order?tab={tab}").json()["cells"]
    form = {"decision": "rejected", "tab": tab, "csrf_token": csrf(server)}
    answer = server.post(address, data=form)
    assert answer.status_code == 303 and answer.headers["location"].startswith(f"{case}/cells/{order[1]}?")
    assert "is now called rejected" in server.get(answer.headers["location"]).text
    back = server.post(f"{case}/cells/{order[1]}/undo", data={"tab": tab, "csrf_token": csrf(server)})
    assert back.headers["location"].startswith(f"{case}/cells/{order[0]}?")
    assert "took a step back" in server.get(back.headers["location"]).text
    assert server.post(address, data=form | {"csrf_token": "x"}).status_code == 403


def test_nothing_of_a_case_is_seen_by_another_team(server, cells):
    case = read(server, cells[:3])
    cell = first_cell(server, case)
    image = re.search(r'src="(/cases/\d+/images/[^"]+)"', server.get(case).text)[1]
    with server.room.database.write() as session:
        team = Team(name="Elsewhere")
        session.add(team)
        session.flush()
        session.scalars(select(User)).one().teams = [team]
    numbers = cell.rpartition("/")[2]
    for path in (
        case,
        cell,
        f"{cell}/map.png",
        image,
        f"{case}/order?tab=blast",
        f"{case}/tiles?cells={numbers}",
        f"{case}/standing?version=0&tab=blast",
        f"{case}/progress",
    ):
        assert server.get(path).status_code == 404, path
    word = {"X-CSRF-Token": csrf(server)}
    for path, data in (
        (f"{case}/known", {"sha256s": "0" * 64}),
        (f"{case}/decisions", {"decision": "blast", "cells": numbers}),
        (cell, {"decision": "blast"}),
        (f"{cell}/undo", {}),
        (f"{case}/approvals", {"tab": "blast"}),
    ):
        assert server.post(path, data=data, headers=word).status_code == 404, path


def test_what_others_changed_is_told_once(server, cells):
    case = read(server, cells)
    version = int(re.search(r'data-version="(\d+)"', server.get(case).text)[1])
    assert server.get(f"{case}/standing?version={version}&tab=blast").status_code == 204
    word = {"X-CSRF-Token": csrf(server)}
    every = [
        c
        for tab in ("blast", "normal", "indeterminate")
        for c in server.get(f"{case}/order?tab={tab}").json()["cells"]
    ]
    data = {"decision": "normal", "cells": ",".join(map(str, every)), "tab": "normal"}
    after = server.post(f"{case}/decisions", data=data, headers=word).json()
    assert after["version"] == version + 1 and sorted(after["cells"]) == sorted(every)
    assert after["now"] == {"normal": 12} and "after review: 0 of 12" in after["standing"]
    told = server.get(f"{case}/standing?version={version}&tab=normal").json()
    assert told["version"] == after["version"] and 'id="tabs"' in told["standing"]
    assert server.get(f"{case}/standing?version={told['version']}&tab=normal").status_code == 204


def test_only_images_of_the_case_that_were_taken_are_known(server, cells):
    case = read(server, [*cells[:2], ("broken.bmp", b"BM")])
    with server.room.database.read() as session:
        hashes = list(session.scalars(select(Image.received_sha256)))
    word = {"X-CSRF-Token": csrf(server)}
    known = server.post(f"{case}/known", data={"sha256s": ",".join([*hashes, "f" * 64])}, headers=word).json()
    assert sorted(known["known"]) == sorted(hashes)
    too_many = ",".join(f"{number:064x}" for number in range(1001))
    assert server.post(f"{case}/known", data={"sha256s": too_many}, headers=word).status_code == 422
