"""The REST API: the whole way of a case, keys, uploads that come twice, limits, odd inputs, its documents."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from datetime import timedelta
from pathlib import Path
from threading import Barrier, Thread
from typing import NamedTuple

import pytest
from sqlalchemy import func, select
from tests.review.conftest import PASSWORD
from tests.review.live import open_room
from tests.review.programs import API, asking, make, read, send, serving, wait
from tests.review.test_work import failing_behind

from leukoscope.review.audit import verify
from leukoscope.review.auth import tokens
from leukoscope.review.auth.accounts import accept, invite_first
from leukoscope.review.auth.rights import RIGHTS, Actor
from leukoscope.review.room import Room
from leukoscope.review.routes.api.room import SettingsChange, SettingsTold
from leukoscope.review.services import idempotency
from leukoscope.review.services.idempotency import once
from leukoscope.review.services.intake import TWICE
from leukoscope.review.services.reference import reference_readings
from leukoscope.review.services.uploads import UploadLimits
from leukoscope.review.settings import RoomSettings
from leukoscope.review.store.tables import Answer, Image, Job, utc_now

TABS = ("blast", "normal", "indeterminate", "rejected")


@pytest.fixture
def served(url, tmp_path, tiny_bundle):
    with serving(tmp_path / "room", tiny_bundle, url) as opened:
        yield opened


@pytest.fixture
def alone(tmp_path, tiny_bundle):
    """The same where no database matters."""
    with serving(tmp_path / "room", tiny_bundle) as opened:
        yield opened


@pytest.fixture
def sam(served):
    """A program of a signer, for all that a signer may."""
    with asking(served.app, served.key()) as client:
        client.room = served.room
        yield client


def refused(answer, status: int, said: str = "") -> None:
    """That an answer is an error of the one shape."""
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"status", "message", "hint"} and error["status"] == status
    assert said in error["message"]


# The whole way


def test_what_a_job_that_failed_has_left_is_read_again(sam, cells, monkeypatch):
    with monkeypatch.context() as patch:
        failing_behind(1, patch)
        address = make(sam)
        send(sam, address, cells)
        assert wait(sam, address)["state"] == "failed"
    assert "7 files were taken, but not read" in sam.get(address).json()["blocks"]
    again = sam.post(f"{address}/jobs")
    assert again.status_code == 201 and again.json()["state"] == "queued"
    job = wait(sam, address)
    assert (job["state"], job["num_done"]) == ("done", 7)
    refused(sam.post(f"{address}/jobs"), 409, "no file waits")


def test_the_whole_way_of_a_case_by_the_api_alone(sam, cells):
    address = make(sam, specimen="day 0", taken_on="2026-01-31", priority="urgent")
    first = send(sam, address, cells, **{"Idempotency-Key": "upload-1"})
    again = send(sam, address, cells, **{"Idempotency-Key": "upload-1"})
    assert first.status_code == again.status_code == 200 and first.json() == again.json()
    assert again.headers["idempotency-replayed"] == "true" and first.json()["num_taken"] == 12
    assert wait(sam, address)["num_done"] == 12
    assert len(sam.get(f"{address}/jobs").json()["items"]) == 1
    ids = [cell["cell_id"] for cell in pages(sam, f"{address}/cells?per_page=5")]
    assert len(ids) == 12 == len(set(ids))
    refused(sam.post(f"{address}/signature", json={"password": PASSWORD}), 409, "cannot be signed")
    called = sam.post(f"{address}/decisions", json={"cell_ids": ids[:3], "decision": "rejected"}).json()
    assert called["case"]["tabs"]["rejected"] == {"num_cells": 3, "num_waiting": 0}
    assert called["differential"]["after_review"]["num_rejected"] == 3
    for tab in TABS:
        after = sam.post(f"{address}/approvals", json={"tab": tab}).json()
    assert after["case"]["blocks"] == [] and after["case"]["state"] == "to sign"
    back = sam.post(f"{address}/undo").json()
    assert back["action_id"] and back["case"]["state"] in ("to review", "to sign")
    for tab in TABS:
        sam.post(f"{address}/approvals", json={"tab": tab})
    refused(sam.post(f"{address}/signature", json={"password": "not the password"}), 403, "password")
    signed = sam.post(f"{address}/signature", json={"password": PASSWORD})
    assert signed.status_code == 201
    refused(sam.post(f"{address}/decisions", json={"cell_ids": ids, "decision": "blast"}), 409, "signed")
    report = sam.get(f"{address}/reports/1").json()
    text = json.dumps(report["content"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert hashlib.sha256(text.encode()).hexdigest() == report["sha256"] == signed.json()["report_sha256"]
    assert report["problems"] == []
    assert sam.get(f"{address}/report").json()["content"] == report["content"]
    assert sam.get(f"{address}/reports/1/pdf").content.startswith(b"%PDF")
    assert report["sha256"] in sam.get(f"{address}/reports/1/html").text
    assert [cell["decision"] for cell in report["content"]["cells"]].count("rejected") == 3
    reopened = sam.post(f"{address}/reopening", json={"why": "a cell was called wrongly"}).json()
    assert reopened["state"] == "to sign"
    assert sam.get(f"{address}/reports").json()["items"][0]["reopened_why"] == "a cell was called wrongly"
    with sam.room.database.read() as session:
        assert verify(session) == []


def pages(client, address: str) -> list[dict]:
    """All entries of a list, by the addresses that its pages name."""
    found = []
    while True:
        answer = client.get(address)
        assert answer.status_code == 200, answer.text
        found += answer.json()["items"]
        if "next" not in answer.links:
            assert len(found) == answer.json()["num_all"]
            return found
        address = answer.links["next"]["url"]


def test_pages_stay_as_they_are_while_cells_are_decided_on(sam, cells):
    address = read(sam, cells)
    seen, page = [], f"{address}/cells?per_page=5"
    while page:
        answer = sam.get(page)
        shown = [cell["cell_id"] for cell in answer.json()["items"]]
        seen += shown
        sam.post(f"{address}/decisions", json={"cell_ids": shown, "decision": "rejected"})
        page = answer.links.get("next", {}).get("url")
    assert len(seen) == 12 == len(set(seen))


def test_cells_by_tab_photograph_and_review_are_those_of_the_whole_list(sam, cells):
    address = read(sam, cells)
    every = sam.get(f"{address}/cells").json()["items"]
    sam.post(f"{address}/decisions", json={"cell_ids": [every[0]["cell_id"]], "decision": "indeterminate"})
    every = sam.get(f"{address}/cells").json()["items"]

    def listed(**wanted) -> set[int]:
        return {cell["cell_id"] for cell in sam.get(f"{address}/cells", params=wanted).json()["items"]}

    def of(name, value) -> set[int]:
        return {cell["cell_id"] for cell in every if cell[name] == value}

    for tab in TABS:
        assert listed(tab=tab) == of("decision", tab)
    for photograph in {cell["photograph"] for cell in every}:
        assert listed(photograph=photograph) == of("photograph", photograph) != set()
    assert listed(reviewed=False) == of("reviewed_by", None) and listed(reviewed=True) == of(
        "reviewed_by", "sam"
    )
    falling = [
        cell["blast_probability"] for cell in sam.get(f"{address}/cells?order=suspicion").json()["items"]
    ]
    assert falling == sorted(falling, key=lambda value: -1 if value is None else value, reverse=True)


def test_a_cell_has_its_row_its_history_and_its_picture(sam, cells):
    address = read(sam, cells)
    row = sam.get(f"{address}/cells").json()["items"][0]
    sam.post(f"{address}/decisions", json={"cell_ids": [row["cell_id"]], "decision": "rejected"})
    sam.post(f"{address}/undo")
    cell = sam.get(f"{address}/cells/{row['cell_id']}").json()
    assert [(step["username"], step["is_undone"]) for step in cell["history"]] == [
        ("sam", True),
        ("sam", False),
    ]
    assert "rejected" in cell["history"][0]["words"]
    assert cell["row"]["blast_probability"] == row["blast_probability"] and cell["row"]["decision"]
    picture = sam.get(f"{address}/cells/{row['cell_id']}/image")
    assert hashlib.sha256(picture.content).hexdigest() == row["stored_sha256"]
    assert sam.get(f"{address}/cells/{row['cell_id']}/thumbnail").content[8:12] == b"WEBP"
    differential = sam.get(f"{address}/differential").json()
    assert sum(value for name, value in differential["by_model"].items() if name.startswith("num_")) == 12
    info = sam.room.bundles.open(sam.room.bundle_id).info
    beside = reference_readings(info, sam.room.operating_point)
    assert differential["reference"]["words"] == beside.words
    assert [kind["median"] for kind in differential["reference"]["kinds"]] == [
        kind.median for kind in beside.kinds
    ]


def test_the_worklist_is_the_one_of_the_pages(sam):
    for number in range(5):
        make(sam, subject_id=f"P-{number}", priority="urgent" if number == 3 else "routine")
    assert [case["subject_id"] for case in pages(sam, f"{API}/cases?order=subject&per_page=2")] == [
        f"P-{number}" for number in range(5)
    ]
    assert [case["subject_id"] for case in pages(sam, f"{API}/cases?priority=urgent")] == ["P-3"]
    assert pages(sam, f"{API}/cases?state=signed&state=running") == []
    assert sam.get(f"{API}/cases/counts").json()["states"]["new"] == 5
    refused(sam.get(f"{API}/cases?order=password_hash"), 422, "order")


def test_a_change_of_what_somebody_else_changed_since_is_refused(sam, cells):
    address = read(sam, cells)
    seen = sam.get(address).headers["etag"]
    wanted = {"cell_ids": [sam.get(f"{address}/cells").json()["items"][0]["cell_id"]], "decision": "blast"}
    done = sam.post(f"{address}/decisions", json=wanted, headers={"If-Match": seen})
    assert done.status_code == 200 and done.headers["etag"] != seen == f'"{int(seen[1:-1])}"'
    refused(sam.post(f"{address}/decisions", json=wanted, headers={"If-Match": seen}), 412, "version")
    latest = {"If-Match": done.headers["etag"]}
    assert sam.post(f"{address}/undo", headers=latest).status_code == 200


# Uploads that come twice


def test_a_key_is_for_one_request(sam, cells):
    address, other = make(sam), make(sam)
    key = {"Idempotency-Key": "k"}
    assert send(sam, address, cells[:2], **key).status_code == 200
    for where, what in (
        (address, cells[:3]),
        (address, [("x.bmp", cells[0][1]), cells[1]]),
        (other, cells[:2]),
    ):
        refused(send(sam, where, what, **key), 422, "another request")
    with sam.room.database.read() as session:
        assert session.scalar(select(func.count()).select_from(Image)) == 2


def test_keys_of_two_people_are_two_keys(served, cells):
    with asking(served.app, served.key("sam")) as client:
        address = make(client)
        assert send(client, address, cells[:1], **{"Idempotency-Key": "k"}).json()["num_taken"] == 1
        answer = send(client, address, cells[:2], **served.key("ada"), **{"Idempotency-Key": "k"})
        assert [file["reason"] for file in answer.json()["files"]] == [TWICE, None]


def test_a_key_ends_after_a_day_and_work_that_failed_leaves_it_free(sam, cells, monkeypatch):
    address = make(sam)
    key = {"Idempotency-Key": "k"}
    refused(sam.post(f"{address}/files", data={"files": "no file"}, headers=key), 415)
    assert send(sam, address, cells[:1], **key).json()["num_taken"] == 1
    moment = utc_now() + timedelta(days=1, seconds=1)
    monkeypatch.setattr(idempotency, "utc_now", lambda: moment)
    assert send(sam, address, cells[:1], **key).json()["files"][0]["reason"] == TWICE


def test_the_same_request_twice_at_once_is_done_once(served, sam, cells):
    """One of the two is in the middle of its work while the other comes."""
    address, actor = make(sam), actor_of(served, sam)
    barrier, seen = Barrier(2, timeout=20), []

    def other() -> None:
        barrier.wait()
        seen.append(send(sam, address, cells[:2], **{"Idempotency-Key": "k"}))
        barrier.wait()

    thread = Thread(target=other)
    asked = idempotency.fingerprint("files of case 1", [(name, io.BytesIO(data)) for name, data in cells[:2]])
    thread.start()
    with once(served.room.database, actor, "k", asked) as work:
        barrier.wait()
        barrier.wait()
        with served.room.database.write() as session:
            work.keep(session, {"files": [], "num_taken": 0, "num_refused": 0, "job": None})
    thread.join()
    refused(seen[0], 409, "being worked on")
    assert send(sam, address, cells[:2], **{"Idempotency-Key": "k"}).json()["num_taken"] == 0


def actor_of(served, client):
    with served.room.database.read() as session:
        return tokens.actor_of(session, client.headers["authorization"].removeprefix("Bearer "))


def test_a_claim_whose_server_died_is_free_again_and_the_dead_keep_nothing(served, sam, monkeypatch):
    actor = actor_of(served, sam)
    with once(served.room.database, actor, "k", "request") as slow:
        moment = utc_now() + idempotency.CLAIM_LASTS + timedelta(seconds=1)
        monkeypatch.setattr(idempotency, "utc_now", lambda: moment)
        with (
            once(served.room.database, actor, "k", "request") as second,
            served.room.database.write() as session,
        ):
            second.keep(session, {"by": "second"})
        with (
            pytest.raises(idempotency.ConflictError),
            served.room.database.write() as session,
        ):
            slow.keep(session, {"by": "slow"})
    with served.room.database.read() as session:
        assert session.scalars(select(Answer)).one().body == {"by": "second"}


def test_a_key_of_a_server_that_was_killed_is_free_when_the_next_one_begins(alone, cells):
    settings, bundle = alone.room.settings, alone.room.bundles.open(alone.room.bundle_id).path
    with alone.room.database.write() as session:
        session.add(Answer(user_id=2, key="k", request_sha256="0" * 64, status=0, body=None))
        session.add(Answer(user_id=2, key="done", request_sha256="0" * 64, status=200, body={}))
    alone.room.close()
    room = Room(settings, bundle)
    with room.database.read() as session:
        assert session.scalars(select(Answer.key)).all() == ["done"]
    room.close()


def test_what_was_answered_is_answered_so_when_the_case_was_signed_since(sam, cells):
    address = make(sam)
    first = send(sam, address, cells[:1], **{"Idempotency-Key": "k"})
    wait(sam, address)
    for tab in TABS:
        sam.post(f"{address}/approvals", json={"tab": tab})
    assert sam.post(f"{address}/signature", json={"password": PASSWORD}).status_code == 201
    assert send(sam, address, cells[:1], **{"Idempotency-Key": "k"}).json() == first.json()
    refused(send(sam, address, cells[:1], **{"Idempotency-Key": "other"}), 409, "signed")


def test_a_broken_file_stops_no_other_and_a_zip_is_its_images(sam, cells):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in cells[2:5]:
            archive.writestr(f"smear/{name}", data)
    address = make(sam)
    files = [cells[0], ("broken.bmp", b"BMnothing"), ("more.zip", stream.getvalue()), cells[0]]
    taken = send(sam, address, files).json()
    assert (taken["num_taken"], taken["num_refused"]) == (4, 2)
    assert [file["name"] for file in pages(sam, f"{address}/files?per_page=2")] == [
        file["name"] for file in taken["files"]
    ]


# Who may


BODIES = {
    "makeCase": {"subject_id": "P-1"},
    "decide": {"cell_ids": [1], "decision": "blast"},
    "approve": {"tab": "blast"},
    "signCase": {"password": PASSWORD},
    "reopenCase": {"why": "because it is wrong"},
    "exportReviewed": {"scope": "reviewed"},
    "makeTeam": {"name": "Paediatrics"},
    "renameTeam": {"name": "Paediatrics"},
    "invite": {"role": "reader", "team_ids": [1]},
    "changePerson": {"role": "reader"},
    "changeSettings": {"laboratory": "Clinic"},
    "checkAudit": {"number": 1, "entry_hash": "0" * 64},
}
PLACES = {"link_id": "0" * 64}


class Operation(NamedTuple):
    name: str
    method: str
    path: str
    needs: list[str] | None
    takes: str

    def ask(self, client, headers):
        path = re.sub(r"\{(\w+)\}", lambda found: PLACES.get(found[1], "1"), self.path)
        body = {"json": BODIES[self.name]} if self.takes == "application/json" else {}
        if self.takes == "multipart/form-data":
            body = {"files": [("files", ("x.bmp", b"x"))]}
        return client.request(self.method, path, headers=headers, **body)


def operations(served) -> list[Operation]:
    """All that the API says of itself."""
    return [
        Operation(
            about["operationId"],
            method,
            path,
            about["security"][0]["key"] if "security" in about else None,
            next(iter(about.get("requestBody", {}).get("content", {"": 0}))),
        )
        for path, methods in served.app.openapi()["paths"].items()
        for method, about in methods.items()
    ]


def owner(needs: list[str]) -> str:
    return "ada" if {"administer", "audit"} & set(needs) else "sam"


def test_every_operation_is_refused_without_a_key_and_without_its_scope(served, sam, cells):
    read(sam, cells)
    for operation in operations(served):
        if operation.needs is None:
            assert operation.name == "getHealth"
            continue
        for headers in ({"Authorization": ""}, {"Authorization": "Bearer leuko_guessed"}):
            answer = operation.ask(sam, headers)
            refused(answer, 401)
            assert answer.headers["www-authenticate"] == "Bearer"
        who = owner(operation.needs)
        for left_out in operation.needs:
            role = "administrator" if who == "ada" else "signer"
            headers = served.key(who, sorted(RIGHTS[role] - {left_out}))
            refused(operation.ask(sam, headers), 403, left_out)


def test_a_role_bounds_a_key(served, sam):
    """A signer's key administers nothing, an administrator's signs nothing."""
    for operation in operations(served):
        if operation.needs and {"administer", "audit", "sign"} & set(operation.needs):
            other = served.key("sam" if owner(operation.needs) == "ada" else "ada")
            refused(operation.ask(sam, other), 403)


def test_a_case_of_another_team_is_not_there(served, sam, cells):
    read(sam, cells)
    eve = served.key("eve")
    assert sam.get(f"{API}/cases", headers=eve).json()["num_all"] == 0
    assert sum(sam.get(f"{API}/cases/counts", headers=eve).json()["states"].values()) == 0
    for operation in operations(served):
        if "{case_id}" in operation.path:
            refused(operation.ask(sam, eve), 404)
    refused(sam.get(f"{API}/cases/9999"), 404)


def test_a_key_says_whose_it_is_and_a_revoked_one_nothing(served):
    key = served.key("sam", ["read"])
    with asking(served.app, key) as client:
        me = client.get(f"{API}/me").json()
        assert (me["username"], me["scopes"], [team["name"] for team in me["teams"]]) == (
            "sam",
            ["read"],
            ["Laboratory"],
        )
        with served.room.database.write() as session:
            tokens.revoke(session, actor_of(served, client), 1)
        refused(client.get(f"{API}/me"), 401)


def test_the_cookie_of_a_browser_opens_no_api(served, sam):
    form = {"username": "sam", "password": PASSWORD}
    sam.headers.pop("authorization")
    assert sam.post("/sign-in", data=form, follow_redirects=False).status_code == 303
    refused(sam.get(f"{API}/cases"), 401)


# Limits


@pytest.fixture
def narrow(tmp_path, tiny_bundle):
    limits = UploadLimits(max_upload_bytes=2_000_000, max_loose=3)
    with serving(tmp_path / "room", tiny_bundle, limits=limits) as opened:
        yield opened


class Endless:
    """A body that says how much of it was asked for."""

    def __init__(self, start: bytes, num: int) -> None:
        self.start, self.num, self.sent = start, num, 0

    def __iter__(self):
        yield self.start
        for _ in range(self.num):
            self.sent += 1
            yield bytes(2**20)


PART = b'--b\r\nContent-Disposition: form-data; name="files"; filename="x.bmp"\r\n\r\n'
MULTIPART = {"Content-Type": "multipart/form-data; boundary=b"}


def test_a_body_beyond_the_limit_is_refused_before_it_is_kept(narrow, cells):
    with asking(narrow.app, narrow.key()) as client:
        address = make(client)
        said = MULTIPART | {"Content-Length": str(10**12)}
        refused(client.post(f"{address}/files", content=PART, headers=said), 413, "at most")
        refused(client.post(f"{address}/files", content=Endless(PART, 64), headers=MULTIPART), 413, "at most")
        refused(client.post(f"{API}/cases", content=b" " * 5_000_000), 413, "at most 4,194,304 bytes")
        refused(send(client, address, cells[:4]), 400, "Too many files")
        assert send(client, address, cells[:3]).json()["num_taken"] == 3


def test_pages_have_the_same_limit_and_strangers_a_small_one(narrow):
    with asking(narrow.app, {}) as client:
        refused(client.post(f"{API}/cases/1/files", content=Endless(PART, 64), headers=MULTIPART), 401)
        assert client.post("/cases/1/files", content=Endless(PART, 5), headers=MULTIPART).status_code == 413
        assert client.post("/sign-in", content=Endless(PART, 5), headers=MULTIPART).status_code == 413


# Odd inputs


ODD = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'{"subject_id": "P-1", "subject": "x"}',
    b'{"subject_id": "P-\\u0000"}',
    b'{"subject_id": "P-1", "specimen": "\\u0000"}',
    b'{"subject_id": "P-1", "specimen": "\\ud800"}',
    b'{"\\ud800": 1}',
    b'{"subject_id": "P-1", "team_id": 9223372036854775808}',
    b'{"subject_id": "P-1", "team_id": ' + b"9" * 5000 + b"}",
    b'{"subject_id": "P-1", "team_id": true}',
    b'{"subject_id": "P-1", "taken_on": 7}',
    b'{"subject_id": "P-1", "taken_on": "2026-02-30"}',
    b'{"subject_id": "P-1", "taken_on": "1738281600"}',
    b'{"subject_id": "Anna Meier"}',
    b'{"subject_id": ' + b"[" * 100_000,
    b'{"subject_id": "\xff"}',
    b'{"subject_id": NaN}',
]


def test_odd_bodies_are_refused_in_the_one_shape(sam):
    for body in ODD:
        answer = sam.post(f"{API}/cases", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 422), body[:60]
        refused(answer, answer.status_code)


ODD_ADDRESSES = [
    "/cases?text=%00",
    "/cases?text=" + "x" * 60_000,
    "/cases?page=99999999999999999999999",
    "/cases?page=" + "9" * 5000,
    "/cases?state=%ed%a0%80",
    "/cases/99999999999999999999",
    "/cases/-1",
    "/cases/1%00",
    "/cases/1/cells/9223372036854775808",
    "/cases/1/cells?photograph=%00",
    "/cases/1/reports/0",
    "/cases?stat=signed",
    "/me?x=1",
]


def test_odd_addresses_are_refused_in_the_one_shape(sam):
    for path in ODD_ADDRESSES:
        answer = sam.get(API + path)
        assert answer.status_code in (404, 422), path[:60]
        refused(answer, answer.status_code)


ODD_MULTIPART = [
    ({"Content-Type": "multipart/form-data"}, PART),
    ({"Content-Type": "multipart/form-data; boundary="}, PART),
    (MULTIPART, b"no part at all"),
    (MULTIPART, b"--b\r\n\r\nno header\r\n--b--\r\n"),
    (MULTIPART, PART + b"cut"),
    (MULTIPART, b"--b--\r\n"),
    ({"Content-Type": "application/x-www-form-urlencoded"}, b"files=x"),
    ({"Content-Type": "text/plain"}, b"files"),
    ({}, b""),
]


def test_broken_uploads_are_refused_in_the_one_shape(sam):
    address = make(sam)
    for headers, body in ODD_MULTIPART:
        answer = sam.post(f"{address}/files", content=body, headers=headers)
        assert answer.status_code in (400, 415, 422), body
        refused(answer, answer.status_code)
    with sam.room.database.read() as session:
        assert session.scalars(select(Job)).all() == []


def test_a_name_with_odd_characters_is_shown_without_them(sam, cells):
    name = "a\u0000/../b\u202e.bmp"
    taken = send(sam, make(sam), [(name, cells[0][1])]).json()
    assert taken["num_taken"] == 1 and taken["files"][0]["name"].isprintable()


def test_what_a_program_says_ends_no_header(sam):
    answer = sam.get(f"{API}/cases", params={"text": "a\r\nSet-Cookie: x=1", "per_page": 1})
    assert "set-cookie" not in answer.headers and "\n" not in answer.headers["link"]


def test_an_unknown_method_names_all_that_are_known(sam):
    answer = sam.request("DELETE", f"{API}/cases")
    refused(answer, 405)
    assert answer.headers["allow"] == "GET, POST"
    refused(sam.get(f"{API}/nowhere"), 404)


# Health and documents


def test_health_needs_no_key_and_says_what_is_missing(served):
    with asking(served.app, {}) as client:
        assert client.get(f"{API}/health").json()["status"] == "ready"
        served.room.worker.stop()
        refused(client.get(f"{API}/health"), 503, "nobody reads cells")


def test_a_database_that_is_away_is_503_everywhere(served, sam, monkeypatch):
    from sqlalchemy.exc import OperationalError

    def away():
        raise OperationalError("SELECT secret", {}, Exception("gone"))

    monkeypatch.setattr(served.room.database, "read", away)
    for path in ("/health", "/cases"):
        answer = sam.get(API + path)
        refused(answer, 503, "the database does not answer")
        assert "secret" not in answer.text


def test_all_that_there_is_is_described(alone):
    """Each operation with summary, description, tag, and what it answers."""
    schema = alone.app.openapi()
    names = [operation.name for operation in operations(alone)]
    assert len(names) == len(set(names))
    tags = {tag["name"] for tag in schema["tags"]}
    for path, methods in schema["paths"].items():
        for method, about in methods.items():
            where = f"{method} {path}"
            assert about["summary"] and about["description"] and set(about["tags"]) <= tags, where
            good = [status for status in about["responses"] if status.startswith("2")]
            assert len(good) == 1, where
            for media, told in about["responses"][good[0]].get("content", {}).items():
                assert media != "application/json" or "$ref" in told["schema"], where
            for status, answer in about["responses"].items():
                if status >= "4":
                    shape = answer["content"]["application/json"]["schema"]
                    assert shape == {"$ref": "#/components/schemas/Failure"}, where
            assert ("401" in about["responses"]) == ("security" in about), where
            for one in about.get("parameters", []):
                assert one.get("description"), f"{where} {one['name']}"


def test_the_documents_are_a_page_without_a_script(alone):
    with asking(alone.app, {}) as client:
        answer = client.get(f"{API}/docs")
        assert answer.status_code == 200 and "default-src 'none'" in answer.headers["content-security-policy"]
        main = answer.text.partition("<main")[2]
        assert "<script" not in main and "style=" not in main
        for operation in operations(alone):
            assert f'id="{operation.name}"' in main
        for name in re.findall(r'href="#([^"]+)"', main):
            assert f'id="{name}"' in main
        assert not re.findall(r"(?:src|href)=.https?:", answer.text)


# Looking after the room


@pytest.fixture
def ada(served):
    """A program of an administrator."""
    with asking(served.app, served.key("ada")) as client:
        yield client


def test_people_teams_and_invitations_by_programs(served, ada):
    team = ada.post(f"{API}/teams", json={"name": "Paediatrics"}).json()
    made = ada.post(f"{API}/invitations", json={"role": "reader", "team_ids": [team["team_id"]]})
    assert made.status_code == 201 and ada.get(made.json()["path"]).status_code == 200
    links = ada.get(f"{API}/invitations").json()["items"]
    assert links[0]["link_id"] == made.json()["link_id"]
    assert "path" not in links[0]
    assert ada.delete(f"{API}/invitations/{links[0]['link_id']}").status_code == 204
    assert ada.get(made.json()["path"]).status_code == 404
    sam = next(one for one in ada.get(f"{API}/people").json()["items"] if one["username"] == "sam")
    changed = ada.patch(
        f"{API}/people/{sam['user_id']}", json={"team_ids": [team["team_id"]], "disabled": True}
    )
    assert [one["name"] for one in changed.json()["teams"]] == ["Paediatrics"] and changed.json()[
        "disabled_at"
    ]
    refused(ada.patch(f"{API}/people/1", json={"role": "reader"}), 422, "nobody would be left")
    refused(ada.get(f"{API}/people/99"), 404)
    renamed = ada.patch(f"{API}/teams/{team['team_id']}", json={"name": "Children"}).json()
    assert renamed["name"] in [one["name"] for one in ada.get(f"{API}/teams").json()["items"]]


def test_settings_models_and_the_trail_by_programs(served, ada):
    assert (
        set(SettingsTold.model_fields) == set(SettingsChange.model_fields) == set(RoomSettings.model_fields)
    )
    assert ada.patch(f"{API}/settings", json={"pseudonym_pattern": "X[0-9]+"}).status_code == 200
    assert ada.get(f"{API}/settings").json()["pseudonym_pattern"] == "X[0-9]+"
    refused(ada.patch(f"{API}/settings", json={"pseudonym_pattern": "("}), 422, "no regular expression")
    refused(ada.post(f"{API}/cases", json={"subject_id": "P-1"}), 422, "no pseudonym")
    assert ada.get(f"{API}/models").json()["items"][0]["bundle_id"] == served.room.bundle_id
    head = ada.get(f"{API}/audit/head").json()
    seen, before = [], {}
    while before is not None:
        found = ada.get(f"{API}/audit", params={"per_page": 3, **before}).json()
        seen += [entry["number"] for entry in found["items"]]
        before = {"before": found["before"]} if found["before"] else None
    assert seen == list(range(head["number"], 0, -1))
    assert ada.post(f"{API}/audit/check", json=head).json()["breaks"] == []
    wrong = head | {"entry_hash": "0" * 64}
    assert ada.post(f"{API}/audit/check", json=wrong).json()["breaks"][0]["number"] == head["number"]


def test_ones_own_keys_are_listed_and_ended(served):
    key = served.key("sam", ["read"])
    with asking(served.app, key) as client:
        served.key("ada")
        mine = client.get(f"{API}/tokens").json()["items"]
        assert [one["scopes"] for one in mine] == [["read"]] and "token_hash" not in mine[0]
        refused(client.delete(f"{API}/tokens/{mine[0]['token_id'] + 1}"), 404)
        assert client.delete(f"{API}/tokens/{mine[0]['token_id']}").status_code == 204
        refused(client.get(f"{API}/me"), 401)


def test_what_was_reviewed_is_listed_and_taken_out_as_a_cohort(sam, cells):
    address = read(sam, cells)
    ids = [cell["cell_id"] for cell in sam.get(f"{address}/cells").json()["items"]]
    refused(sam.post(f"{API}/learning/exports", json={"scope": "reviewed"}), 422, "no cell")
    sam.post(f"{address}/decisions", json={"cell_ids": ids[:4], "decision": "blast"})
    assert sam.get(f"{API}/learning/counts?scope=reviewed").json()["decisions"]["blast"] == 4
    assert {
        cell["cell_id"] for cell in pages(sam, f"{API}/learning/disagreements?model=indeterminate&per_page=3")
    } <= {*ids[:4]}
    answer = sam.post(f"{API}/learning/exports", json={"scope": "reviewed"})
    assert answer.headers["content-type"] == "application/zip"
    assert "manifest.parquet" in zipfile.ZipFile(io.BytesIO(answer.content)).namelist()


# What is written about it


ROOT = Path(__file__).parents[2]


def test_the_page_about_the_api_names_every_operation_and_its_scopes(alone):
    text = (ROOT / "docs" / "review-api.md").read_text(encoding="utf-8")
    written = dict(re.findall(r"^\| `([A-Z]+ /[^`]*)` \| (.*) \|$", text, re.MULTILINE))
    told = {
        f"{one.method.upper()} {one.path.removeprefix(API)}": "no key"
        if one.needs is None
        else ", ".join(f"`{scope}`" for scope in one.needs) or "any key"
        for one in operations(alone)
    }
    assert written == told


def test_the_example_brings_a_folder_through_the_room(tmp_path, tiny_bundle, cells):
    (tmp_path / "cells").mkdir()
    for name, data in [*cells, ("notes.txt", b"no cell")]:
        (tmp_path / "cells" / name).write_bytes(data)
    with open_room(tmp_path / "room", tiny_bundle) as live:
        with live.room.database.write() as session:
            word = invite_first(session).token
        with live.room.database.write() as session:
            ada = Actor.of(accept(session, word, username="ada", full_name="Ada", password=PASSWORD))
            key = tokens.issue(session, ada, "example", ["read", "review"]).text
        words = [
            sys.executable,
            str(ROOT / "examples" / "review_api.py"),
            live.address,
            "P-17",
            str(tmp_path / "cells"),
        ]
        more = {"capture_output": True, "text": True, "timeout": 120}
        ran = subprocess.run(words, check=False, env=os.environ | {"LEUKOSCOPE_KEY": key}, **more)
        wrong = subprocess.run(words, check=False, env=os.environ | {"LEUKOSCOPE_KEY": "leuko_x"}, **more)
    assert ran.returncode == 0, ran.stderr
    assert "not taken: notes.txt" in ran.stdout
    waiting = [int(num) for num in re.findall(r"cells, (\d+) wait for review", ran.stdout)]
    assert len(waiting) == 4 and sum(waiting) == 12
    assert wrong.returncode != 0 and "401" in wrong.stderr
