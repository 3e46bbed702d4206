"""Images by their short way: quick, and yet no image without a right to it, from one moment to the next."""

from __future__ import annotations

import re
from contextlib import contextmanager

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from tests.review.conftest import PASSWORD
from tests.review.programs import ADDRESS, serving

from leukoscope.review.app import create_app
from leukoscope.review.auth.accounts import set_account
from leukoscope.review.auth.rights import Actor
from leukoscope.review.room import Room
from leukoscope.review.routes.headers import HEADERS
from leukoscope.review.services.jobs import Worker
from leukoscope.review.settings import ServerSettings
from leukoscope.review.store.tables import Team, User


@pytest.fixture
def served(url, tmp_path, tiny_bundle):
    with serving(tmp_path / "room", tiny_bundle, url) as made:
        yield made


def browser(served, username: str) -> TestClient:
    client = TestClient(served.app, base_url=ADDRESS, follow_redirects=False)
    assert client.post("/sign-in", data={"username": username, "password": PASSWORD}).status_code == 303
    client.headers["X-CSRF-Token"] = re.search(r'data-csrf="([^"]+)"', client.get("/").text)[1]
    return client


@pytest.fixture
def sam(served) -> TestClient:
    return browser(served, "sam")


@pytest.fixture
def images(served, sam, cells) -> list[str]:
    """The addresses of the thumbnails of a case."""
    case = sam.post("/cases", data={"subject_id": "P-17", "team_id": "1"}).headers["location"]
    assert sam.post(f"{case}/files", files=[("files", cell) for cell in cells]).status_code == 200
    room = served.room
    assert Worker(room.database, room.bundles, room.images).work_once()
    page = "".join(sam.get(f"{case}?tab={tab}").text for tab in ("blast", "normal", "indeterminate"))
    return sorted(set(re.findall(r'src="(/cases/\d+/images/[^"]+\.webp)"', page)))


def change(served, username: str, **changes: object) -> None:
    """As an administrator would at this moment."""
    with served.room.database.write() as session:
        people = {user.username: user for user in session.scalars(select(User))}
        teams = {team.name: team.team_id for team in session.scalars(select(Team))}
        if "team" in changes:
            changes = {"team_ids": [teams[changes["team"]]]}
        set_account(session, Actor.of(people["ada"]), people[username].user_id, **changes)


def tag_of(address: str) -> str:
    return f'"{address.rpartition("/")[2]}"'


def test_an_image_is_its_bytes_and_is_kept_for_good(served, sam, images):
    assert len(images) > 5
    for small in images[:3]:
        whole = small.replace(".webp", ".png")
        sha256 = re.search(r"[0-9a-f]{64}", small)[0]
        answer = sam.get(whole)
        assert answer.content == served.room.images.data(sha256)
        assert answer.headers["content-type"] == "image/png"
        assert sam.get(small).content[8:12] == b"WEBP"
        for address in (small, whole):
            said = sam.get(address).headers
            assert said["etag"] == tag_of(address) and "immutable" in said["cache-control"]
            assert "private" in said["cache-control"]


def test_what_a_browser_has_is_not_sent_again_and_the_answer_has_all_headers(sam, images):
    for given in (tag_of(images[0]), f'"other", {tag_of(images[0])}', f"W/{tag_of(images[0])}"):
        answer = sam.get(images[0], headers={"If-None-Match": given})
        assert (answer.status_code, answer.content) == (304, b"")
        kept = {name: value for name, value in HEADERS.items() if name != "Cache-Control"}
        assert all(answer.headers[name] == value for name, value in kept.items())
        assert answer.headers["etag"] == tag_of(images[0]) and "private" in answer.headers["cache-control"]
    assert sam.get(images[0], headers={"If-None-Match": tag_of(images[1])}).status_code == 200


@contextmanager
def both(client: TestClient, address: str, status: int):
    """Before the block the image is there; after it neither the image nor that it has not changed is said."""
    known = {"If-None-Match": tag_of(address)}
    assert (client.get(address).status_code, client.get(address, headers=known).status_code) == (200, 304)
    yield
    for headers in ({}, known):
        answer = client.get(address, headers=headers)
        assert answer.status_code == status and not answer.headers.get("etag"), answer.status_code
        assert answer.headers["cache-control"] == "no-store"


def test_who_signs_out_sees_no_image_any_more(sam, images):
    word = sam.cookies["leukoscope"]
    with both(sam, images[0], 303):
        sam.post("/sign-out")
        sam.cookies.set("leukoscope", word)  # somebody has kept it


def test_who_was_signed_out_elsewhere_sees_no_image_any_more(served, sam, images):
    other = browser(served, "sam")
    with both(sam, images[0], 303):
        other.post("/account/sessions/end", data={"which": "others"})
    assert other.get(images[0]).status_code == 200


@pytest.mark.parametrize(
    ("changes", "status"),
    [({"team": "Elsewhere"}, 404), ({"role": "reader"}, 303), ({"disabled": True}, 303)],
    ids=["another team", "another role", "closed"],
)
def test_a_changed_account_sees_no_image_from_that_moment(served, sam, images, changes, status):
    with both(sam, images[0], status):
        change(served, "sam", **changes)


def test_who_comes_to_the_team_sees_its_images_from_that_moment(served, images):
    eve = browser(served, "eve")
    known = {"If-None-Match": tag_of(images[0])}
    assert [eve.get(images[0], headers=more).status_code for more in ({}, known)] == [404, 404]
    change(served, "eve", team="Laboratory")
    assert [eve.get(images[0], headers=more).status_code for more in ({}, known)] == [200, 304]


def test_a_session_that_grew_old_opens_no_image(served, sam, images, monkeypatch):
    from leukoscope.review.auth import sessions

    now = sessions.utc_now
    with both(sam, images[0], 303):
        monkeypatch.setattr(sessions, "utc_now", lambda: now() + sessions.timedelta(hours=3))


def test_what_is_no_image_of_a_case_is_not_there(sam, images):
    case, _, name = images[0].partition("/images/")
    sha256 = name.removesuffix(".webp")
    odd = [
        f"{case}/images/{sha256}.gif",
        f"{case}/images/{'0' * 64}.png",
        f"{case}/images/..%2f..%2fleukoscope.db.png",
        f"/cases/999999/images/{name}",
        f"/cases/{'9' * 30}/images/{name}",
        f"/cases/x/images/{name}",
        f"/cases/%C2%B2/images/{name}",
    ]
    for address in odd:
        answer = sam.get(address)
        assert answer.status_code == 404 and "image/" not in answer.headers["content-type"], address
    assert sam.post(images[0]).status_code == 405


def test_an_error_that_nobody_expected_has_the_headers_of_every_answer(tmp_path, tiny_bundle, monkeypatch):
    settings = ServerSettings(data_dir=tmp_path / "room", behind_proxy=True)
    room = Room(settings, tiny_bundle)

    def broken(*_given):
        raise RuntimeError("nobody thought of this")

    monkeypatch.setattr(type(room.database), "read", broken)
    client = TestClient(create_app(room), base_url="https://room.example", raise_server_exceptions=False)
    client.cookies.set("leukoscope", "x")
    for path in ("/sign-in", "/join/x", "/cases/1/images/a.png", "/api/v1/cases"):
        answer = client.get(path, headers={"Authorization": "Bearer x"})
        assert path == "/sign-in" or answer.status_code == 500, path
        assert all(answer.headers[name] == value for name, value in HEADERS.items()), path
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
        assert "nobody thought" not in answer.text
    room.close()
