"""Doors that stay shut: every route is tried by people who may not, also those that somebody adds later."""

from __future__ import annotations

import re

import pytest
from tests.review.conftest import PASSWORD
from tests.review.walls import DOORS, PUBLIC, SAFE, SECRET, Inline, Route, Walls

from leukoscope.review.audit import Head, head
from leukoscope.review.auth.rights import Actor, ForbiddenError
from leukoscope.review.services.signing import reopen
from leukoscope.review.store.tables import Case, User

NO_CASE = "999999"
OF_A_CASE = {
    "case_id",
    "cell_id",
    "image_id",
    "sha256",
    "job_id",
    "signature_id",
    "action_id",
    "photograph_id",
}


@pytest.fixture(scope="module")
def walls(tmp_path_factory, tiny_bundle, tiny_cohort):
    cells = [(path.name, path.read_bytes()) for path in sorted(tiny_cohort.rglob("UID_*.bmp"))[:6]]
    made = Walls(tmp_path_factory.mktemp("walls"), tiny_bundle, cells)
    yield made
    made.close()


def end(walls) -> Head:
    with walls.room.database.read() as session:
        return head(session)


def pages(walls) -> list[Route]:
    return [route for route in walls.routes if not route.is_of_a_program]


def said(answer) -> tuple[int, str]:
    """Status and text, without the numbers and hashes that were asked for."""
    return answer.status_code, re.sub(r"\b([0-9a-f]{16,}|\d+)\b", "ID", answer.text)


def test_all_routes_are_walked(walls):
    paths = {route.path for route in walls.routes}
    assert {"/", "/cases/{case_id}", "/cases/{case_id}/images/{sha256}.{form}"} <= paths
    assert {"/account/tokens/{token_id}/revoke", "/administration/people/{user_id}/reset", *DOORS} <= paths
    assert Route("POST", "/cases/{case_id}/decisions") in walls.routes


def test_who_may_is_let_in(walls):
    """Without this, walls around nothing would pass."""
    for path in ("/cases/{case_id}", "/cases/{case_id}/images/{sha256}.{form}"):
        route = Route("GET", path)
        assert 200 in {walls.ask("signer", route, address).status_code for address in walls.addresses(route)}
    assert SECRET in walls.clients["signer"].get("/").text


@pytest.mark.parametrize("who", ["stranger", "administrator"])
def test_what_belongs_to_a_case_is_not_there_for_another_team(walls, who):
    before, tried = end(walls), 0
    for route in walls.routes:
        if not OF_A_CASE & set(route.parameters):
            continue
        missing = dict.fromkeys(OF_A_CASE & set(route.parameters), NO_CASE)
        real, unreal = walls.addresses(route), walls.addresses(route, **missing)
        answers = [walls.ask(who, route, address) for address in real]
        nothing = [walls.ask(who, route, address) for address in unreal]
        assert {said(answer) for answer in answers} == {said(answer) for answer in nothing}, route
        statuses = {answer.status_code for answer in answers}
        if route.method == "GET":
            assert 404 in statuses and statuses <= {404, 422}, (route, statuses)
        elif who == "stranger":  # who may do all of it, in another team
            assert statuses == {404}, f"{route}: {statuses}; do walls.FIELDS lack a field of this form?"
        else:
            assert statuses <= {403, 404}, (route, statuses)
        assert not any(SECRET in answer.text or walls.image.name in answer.text for answer in answers), route
        tried += 1
    assert tried >= 7 and end(walls) == before


@pytest.mark.parametrize("who", ["stranger", "administrator"])
def test_no_page_tells_of_a_case_of_another_team(walls, who):
    for route in walls.routes:
        if route.method != "GET" or route.path in DOORS:
            continue
        for address in walls.addresses(route):
            text = walls.ask(who, route, address).text
            assert SECRET not in text, route
            assert walls.image.name not in text and walls.image.received_sha256 not in text, route


def test_nobody_is_sent_to_the_door(walls):
    for route in walls.routes:
        if route.path in PUBLIC:
            continue
        answer = walls.ask("nobody", route, walls.addresses(route)[0])
        if route.is_of_a_program or route.method not in SAFE:
            assert answer.status_code == 401, route
        else:
            assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in"), route


@pytest.mark.parametrize("who", ["signer", "administrator"])
def test_every_form_needs_the_word_of_its_session(walls, who):
    before = end(walls)
    for route in pages(walls):
        if route.method in SAFE or route.path in DOORS:
            continue
        for address in walls.addresses(route):
            answer = walls.ask(who, route, address, with_word=False)
            assert answer.status_code == 403 and "another session" in answer.text, route
    assert end(walls) == before


def test_a_cookie_opens_nothing_to_programs(walls):
    for route in walls.routes:
        if route.is_of_a_program and route.path not in PUBLIC:
            answer = walls.clients["signer"].request(route.method, walls.addresses(route)[0])
            assert answer.status_code == 401, route


def test_a_page_of_another_site_is_refused_at_every_form(walls):
    elsewhere = {"Origin": "https://evil.example", "X-CSRF-Token": walls.words["signer"]}
    for route in pages(walls):
        if route.method not in SAFE:
            address = walls.addresses(route)[0]
            assert walls.clients["signer"].post(address, headers=elsewhere).status_code == 403, route


def test_every_page_keeps_to_the_strict_policy(walls):
    seen = set()
    for who in ("signer", "administrator", "nobody"):
        for route in pages(walls):
            if route.method != "GET":
                continue
            for address in walls.addresses(route):
                answer = walls.ask(who, route, address)
                policy = answer.headers["content-security-policy"]
                assert "default-src 'none'" in policy and "unsafe" not in policy and "*" not in policy, route
                if answer.headers.get("content-type", "").startswith("text/html"):
                    is_file = answer.headers.get("content-disposition", "").startswith("attachment")
                    allowed = {"<style>"} if is_file else set()  # a file to be kept carries its own looks
                    assert set(Inline(answer.text).found) <= allowed, route
                    seen |= {route.path} if answer.status_code == 200 else set()
    assert {"/", "/account", "/administration/trail", "/cases/{case_id}", "/sign-in"} <= seen


def test_the_search_for_inline_code_finds_it():
    found = Inline(
        '<p style="x" onclick="y"><script>z()</script><style>p{}</style><a href="javascript:w">'
        '<script src="//evil.example/x.js"></script>'
    ).found
    assert len(found) == 8


def test_nobody_is_sent_elsewhere(walls):
    form = {"username": "signer", "password": PASSWORD, "next": "https://evil.example/"}
    client = walls._client()
    answers = [
        client.post("/sign-in?next=https://evil.example/", data=form),
        client.get("/?next=https://evil.example/"),
        walls.clients["nobody"].get("/cases/new?next=//evil.example"),
        walls.clients["nobody"].get("//evil.example/.."),
        walls.clients["nobody"].get("/sign-in/", headers={"Host": "evil.example"}),
    ]
    for answer in answers:
        place = answer.headers.get("location", "/")
        assert place.startswith("/") and not place.startswith(("//", "/\\")), place


def test_who_looks_after_the_room_is_known_by_role_alone(walls):
    before, tried = end(walls), 0
    for route in pages(walls):
        if route.path.startswith("/administration"):
            for address in walls.addresses(route):
                assert walls.ask("signer", route, address).status_code == 403, route
            tried += 1
    assert tried >= 15 and end(walls) == before


def test_a_reader_neither_signs_nor_reopens_nor_looks_after_the_room(walls):
    with walls.room.database.read() as session:
        team_ids = frozenset({session.get_one(Case, int(walls.ids["case_id"][0])).team_id})
    reader = Actor(9, "rea", "reader", team_ids, Actor.of(User(role="reader", teams=[])).rights)
    for right in ("sign", "administer", "audit"):
        with pytest.raises(ForbiddenError, match=f"may not {right}"):
            reader.need(right)
    with walls.room.database.write() as session, pytest.raises(ForbiddenError):
        reopen(session, reader, int(walls.ids["case_id"][0]), "a reason of some words")


def test_a_sign_in_gives_a_new_session_and_ends_the_one_before(walls):
    client = walls._client()
    form = {"username": "signer", "password": PASSWORD}
    words = []
    for _ in range(2):
        assert client.post("/sign-in", data=form).status_code == 303
        words.append(client.cookies["leukoscope"])
    assert words[0] != words[1] and client.get("/").status_code == 200
    old = walls._client()
    old.cookies.set("leukoscope", words[0])
    assert old.get("/").status_code == 303


def test_another_password_gives_a_new_session_and_ends_all_others(walls):
    client, other = walls._client(), walls._client()
    for one in (client, other):
        assert one.post("/sign-in", data={"username": "stranger", "password": PASSWORD}).status_code == 303
    before = client.cookies["leukoscope"]

    def change(old: str, new: str):
        word = re.search(r'data-csrf="([^"]+)"', client.get("/account").text)[1]
        form = {"old": old, "password": new, "repeated": new, "csrf_token": word}
        return client.post("/account/password", data=form)

    refused = change("wrong words in a row", "other words in a row")
    assert refused.status_code == 422 and "old password is wrong" in refused.text
    assert change(PASSWORD, "other words in a row").headers["location"] == "/account?done=password"
    assert client.cookies["leukoscope"] != before and client.get("/account").status_code == 200
    assert other.get("/").status_code == 303
    old = walls._client()
    old.cookies.set("leukoscope", before)
    assert old.get("/").status_code == 303
    assert change("other words in a row", PASSWORD).status_code == 303
