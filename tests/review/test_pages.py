"""What the server answers: doors that stay shut, headers, forms of other sites, a case by its pages."""

from __future__ import annotations

import re

import pytest
from fastapi.testclient import TestClient
from tests.review.conftest import PASSWORD

from leukoscope.errors import UsageError
from leukoscope.review.app import create_app
from leukoscope.review.room import Room
from leukoscope.review.services.jobs import Worker
from leukoscope.review.settings import ServerSettings


@pytest.fixture
def server(tmp_path, tiny_bundle):
    room = Room(ServerSettings(data_dir=tmp_path / "room"), tiny_bundle)
    with TestClient(create_app(room), base_url="http://127.0.0.1", follow_redirects=False) as client:
        client.room = room
        yield client
    room.close()


@pytest.fixture
def inside(server):
    """A browser that has made the first account."""
    form = {"username": "ada", "full_name": "Ada L.", "password": PASSWORD, "repeated": PASSWORD}
    answer = server.post(f"/join/{server.room.first_link()}", data=form)
    assert answer.status_code == 303
    return server


def csrf(client) -> str:
    return re.search(r'data-csrf="([^"]+)"', client.get("/").text)[1]


def make(client, **fields) -> str:
    form = {"subject_id": "P-17", "team_id": 1, "csrf_token": csrf(client), **fields}
    answer = client.post("/cases", data=form)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def read(client, cells) -> str:
    """The address of a case whose cells have been read."""
    client.room.worker.stop()
    address = make(client)
    files = [("files", cell) for cell in cells]
    answer = client.post(f"{address}/files", files=files, headers={"X-CSRF-Token": csrf(client)})
    assert answer.status_code == 200
    room = client.room
    assert Worker(room.database, room.bundles, room.images).work_once()
    return address


def test_files_of_the_package_are_kept_by_browsers_and_asked_for_by_their_tag(server):
    first = server.get("/static/room.css")
    assert first.headers["cache-control"] == "no-cache"
    again = server.get("/static/room.css", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert server.get("/sign-in").headers["cache-control"] == "no-store"


SHUT = [
    "/",
    "/cases/new",
    "/cases/1",
    "/cases/1/tiles?cells=1",
    "/cases/1/order?tab=blast",
    "/cases/1/images/a.png",
    "/cases/1/cells/1",
    "/cases/1/cells/1/map.png",
]


@pytest.mark.parametrize("path", SHUT)
def test_nobody_sees_anything_before_they_sign_in(server, path):
    answer = server.get(path)
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")


def test_every_answer_forbids_what_comes_from_elsewhere(server):
    for path in ("/sign-in", "/static/room.css", "/nowhere", "/"):
        headers = server.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "unsafe" not in headers["content-security-policy"]


def test_the_pages_name_no_other_address(inside, cells):
    for path in ("/", "/cases/new", read(inside, cells), "/static/room.css", "/static/gallery.js"):
        text = inside.get(path).text
        assert not re.findall(r"(?:src|href|url\()\W*(?:https?:)?//", text)


def test_a_wrong_password_is_said_in_the_words_of_a_wrong_name(inside):
    answers = {
        inside.post("/sign-in", data={"username": name, "password": "wrong words in a row"}).text.replace(
            name, ""
        )
        for name in ("ada", "nobody")
    }
    assert len(answers) == 1 and "the account is locked" in answers.pop()


def test_signing_out_ends_the_session_itself(inside):
    cookie = inside.cookies["leukoscope"]
    assert inside.post("/sign-out", data={"csrf_token": csrf(inside)}).status_code == 303
    inside.cookies.set("leukoscope", cookie)
    assert inside.get("/").status_code == 303


def test_the_cookie_is_for_this_site_alone_and_out_of_reach_of_scripts(server):
    form = {"username": "ada", "full_name": "Ada L.", "password": PASSWORD, "repeated": PASSWORD}
    cookie = server.post(f"/join/{server.room.first_link()}", data=form).headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie


def test_a_form_without_our_word_or_from_another_site_changes_nothing(inside):
    form = {"subject_id": "P-1", "team_id": 1}
    assert inside.post("/cases", data=form).status_code == 403
    assert inside.post("/cases", data=form | {"csrf_token": "guessed"}).status_code == 403
    right = form | {"csrf_token": csrf(inside)}
    assert inside.post("/cases", data=right, headers={"Origin": "https://evil.example"}).status_code == 403
    assert "There is no case yet" in inside.get("/").text
    assert inside.post("/cases", data=right, headers={"Origin": "http://127.0.0.1"}).status_code == 303


def test_what_was_typed_is_still_there_when_a_form_is_refused(inside):
    form = {"subject_id": "Anna Meier", "specimen": "day 0", "team_id": 1, "csrf_token": csrf(inside)}
    answer = inside.post("/cases", data=form)
    assert answer.status_code == 422 and "no pseudonym here" in answer.text
    assert 'value="day 0"' in answer.text


def test_what_a_person_types_is_never_code(inside):
    word = csrf(inside)
    make(inside, specimen="<script>alert(1)</script>", csrf_token=word)
    assert "<script>alert" not in inside.get("/").text


def test_a_case_by_its_pages(inside, cells):
    address = read(inside, [*cells, ("broken.bmp", b"BM")])
    page = inside.get(address).text
    assert "1 of 13 files were not taken" in page and "broken.bmp" in page
    tab = re.search(r'data-tab="(\w+)"', page)[1]
    shown = re.findall(r'data-cell="(\d+)"', page)
    word = {"X-CSRF-Token": csrf(inside)}
    after = inside.post(
        f"{address}/decisions", data={"decision": "rejected", "cell_ids": shown[:2]}, headers=word
    ).json()
    assert after["counts"]["rejected"] == [2, 0]
    for name in ("blast", "normal", "indeterminate"):
        after = inside.post(f"{address}/approvals", data={"tab": name}, headers=word).json()
    assert after["blocks"] == [] and after["state"] == "to sign"
    back = inside.post(f"{address}/undo", headers=word).json()
    assert back["state"] in ("to review", "to sign") and back["action_id"]
    wanted = inside.get(f"{address}/order?tab={tab}").json()["cells"]
    drawn = inside.get(f"{address}/tiles?cells={','.join(map(str, wanted))}").text
    assert re.findall(r'data-cell="(\d+)"', drawn) == [str(cell) for cell in wanted]
    for nonsense in ("order?tab=nonsense", "order?tab=blast&order=x", "tiles?cells=1,x"):
        assert inside.get(f"{address}/{nonsense}").status_code == 422


def test_images_are_those_of_the_case_and_kept_by_the_browser(inside, cells):
    address = read(inside, cells)
    source = re.search(r'src="(/cases/\d+/images/[^"]+)"', inside.get(address).text)[1]
    thumbnail = inside.get(source)
    assert (
        thumbnail.headers["content-type"] == "image/webp"
        and "immutable" in thumbnail.headers["cache-control"]
    )
    whole = inside.get(source.replace(".webp", ".png"))
    assert whole.content.startswith(b"\x89PNG")
    other = make(inside)
    assert inside.get(source.replace(address, other)).status_code == 404


def test_the_progress_loads_the_page_anew_when_the_reading_has_ended(inside, cells):
    address = read(inside, cells)
    assert inside.get(f"{address}/progress").headers["hx-refresh"] == "true"


def test_the_worklist_by_its_address(inside):
    for number in range(3):
        make(inside, subject_id=f"P-{number}", priority="urgent" if number == 1 else "routine")
    assert re.findall(r">(P-\d)<", inside.get("/?order=-subject").text) == ["P-2", "P-1", "P-0"]
    assert re.findall(r">(P-\d)<", inside.get("/?priority=urgent").text) == ["P-1"]
    assert "No case is like that" in inside.get("/?text=nothing").text
    assert inside.get("/?order=password").status_code == 422
    assert inside.get("/?page=0").status_code == 422


def test_an_open_door_is_refused(tmp_path, tiny_bundle):
    with pytest.raises(UsageError, match="nothing is encrypted"):
        Room(ServerSettings(data_dir=tmp_path / "room", host="0.0.0.0"), tiny_bundle)
    assert not (tmp_path / "room").exists()
