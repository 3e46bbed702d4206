"""Pages of account and administration: what they keep, show once, and say when something cannot be."""

from __future__ import annotations

import json
import re

import pytest
from fastapi.testclient import TestClient
from tests.review.conftest import PASSWORD

from leukoscope.review.app import create_app
from leukoscope.review.audit import head, read_head
from leukoscope.review.room import Room
from leukoscope.review.settings import ServerSettings


@pytest.fixture
def pages(tmp_path, tiny_bundle):
    """A browser that has made the first account, and what it sends."""
    room = Room(ServerSettings(data_dir=tmp_path / "room"), tiny_bundle)
    server = TestClient(create_app(room), base_url="http://127.0.0.1", follow_redirects=False)
    server.room = room
    form = {"username": "ada", "full_name": "Ada L.", "password": PASSWORD, "repeated": PASSWORD}
    server.post(f"/join/{server.room.first_link()}", data=form)

    def fill(path: str, **fields):
        word = re.search(r'data-csrf="([^"]+)"', server.get("/").text)[1]
        return server.post(path, data=fields | {"csrf_token": word})

    server.fill = fill
    yield server
    room.close()


def test_what_was_typed_stays_where_a_form_is_refused(pages):
    refused = {
        "/administration/people/invite": {
            "for_whom": "Bob & Co",
            "role": "signer",
            "days": "99",
            "team_ids": 1,
        },
        "/administration/teams": {"name": "Laboratory"},
        "/administration/settings": {"laboratory": "Haematology", "pseudonym_pattern": "(a"},
        "/account/tokens": {"name": "robot", "days": "9999", "scopes": "read"},
        "/account/keys": {"blast": "n", "normal": "n"},
    }
    for path, fields in refused.items():
        answer = pages.fill(path, **fields)
        assert answer.status_code == 422 and 'role="alert"' in answer.text, path
        for value in fields.values():
            assert str(value).replace("&", "&amp;") in answer.text, (path, value)


def test_a_secret_is_shown_once(pages):
    made = pages.fill("/account/tokens", name="robot", days="9", scopes="read")
    key = re.search(r"leuko_[\w-]+", made.text)[0]
    assert key not in pages.get("/account").text and "robot" in pages.get("/account").text
    link = re.search(
        r"/join/[\w-]+", pages.fill("/administration/people/invite", role="reader", team_ids=1).text
    )[0]
    assert link not in pages.get("/administration/people").text
    assert made.headers["cache-control"] == "no-store"


def test_the_last_administrator_is_told_why_they_cannot_leave(pages):
    for path, fields in (
        ("/administration/people/1", {"role": "reader"}),
        ("/administration/people/1/close", {}),
    ):
        answer = pages.fill(path, **fields)
        assert answer.status_code == 422 and "Nobody would be left to administer" in answer.text


def test_a_password_is_set_by_its_link_and_by_nothing_else(pages):
    page = pages.fill("/administration/people/1/reset").text
    link = re.search(r"/reset/[\w-]+", page)[0]
    assert 'type="password"' not in page
    differing = pages.post(link, data={"password": "other words in a row", "repeated": "other words"})
    assert differing.status_code == 422 and "two passwords differ" in differing.text
    done = pages.post(link, data={"password": "other words in a row", "repeated": "other words in a row"})
    assert done.headers["location"] == "/sign-in?done=reset"
    assert pages.get("/").status_code == 303 and pages.get(link).status_code == 404
    form = {"username": "ada", "password": "other words in a row"}
    assert pages.post("/sign-in", data=form).headers["location"] == "/"


def test_the_head_that_was_downloaded_is_found_again(pages, tmp_path):
    kept = pages.get("/administration/trail/head.json")
    assert "attachment" in kept.headers["content-disposition"]
    (tmp_path / "head.json").write_bytes(kept.content)
    with pages.room.database.read() as session:
        assert read_head(tmp_path / "head.json") == head(session)
    assert "The trail holds" in pages.fill("/administration/trail/verify", kept=kept.text).text
    other = json.dumps(kept.json() | {"entry_hash": "f" * 64})
    answer = pages.fill("/administration/trail/verify", kept=other)
    assert "The trail does not hold" in answer.text and "whose hash was exported" in answer.text
    assert pages.fill("/administration/trail/verify", kept="nonsense").status_code == 422


def test_the_trail_by_its_address(pages):
    pages.fill("/administration/teams", name="Night <b>shift</b>")
    assert "Night &lt;b&gt;" in pages.get("/administration/trail?action=team+made").text
    assert "No entry is like that" in pages.get("/administration/trail?case_id=7").text
    for wrong in ("case_id=x", "since=yesterday", "case_id=99999999999999999999"):
        assert pages.get(f"/administration/trail?{wrong}").status_code == 422
    with pages.room.database.read() as session:
        assert head(session).number > 3


def test_the_model_for_new_cases_is_chosen(pages, make_bundle, tmp_path):
    with pages.room.database.write() as session:
        other = pages.room.bundles.add(session, make_bundle(tmp_path / "other.leuko", name="other")).bundle_id
    first = pages.room.bundle_id
    assert other != first and pages.room.bundle_row().bundle_id == first
    assert pages.fill("/administration/models", bundle_id=other).status_code == 303
    assert pages.room.bundle_row().bundle_id == other
    assert "other" in pages.get("/cases/new").text
    assert pages.fill("/administration/models", bundle_id="unknown").status_code == 422
    pages.fill("/administration/models", bundle_id="")
    assert pages.room.bundle_row().bundle_id == first


def test_a_pattern_is_tried_while_one_types(pages):
    answer = pages.get("/administration/settings/try", params={"pseudonym_pattern": "H.*", "sample": "H 77"})
    found = dict(re.findall(r"<code>(.*?)</code> <span class=\"mark \w+\">(\w+)", answer.text))
    assert found["H 77"] == "taken" == found["H 10"] and found["PT-0042"] == "refused"
    wrong = pages.get("/administration/settings/try", params={"pseudonym_pattern": "(a"})
    assert "no regular expression" in wrong.text
