"""What stands in the way of a signature, the password given again, and what a person contradicts."""

from __future__ import annotations

import re

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from tests.review.conftest import PASSWORD, new_case, upload
from tests.review.test_work import act, approve_all, cells_of, sign_it, state

from leukoscope.bundle.export import restate_bundle
from leukoscope.evaluation.people import PersonReading
from leukoscope.review.app import create_app
from leukoscope.review.auth.accounts import SignInError, accept, invite
from leukoscope.review.auth.rights import Actor, ForbiddenError
from leukoscope.review.room import Room
from leukoscope.review.services.decisions import decide, undo
from leukoscope.review.services.intake import ConflictError
from leukoscope.review.services.jobs import Worker
from leukoscope.review.services.reviewed import Sought, approved_in_bulk, disagreements
from leukoscope.review.services.signing import blocking, confirm, reopen, sign
from leukoscope.review.settings import ServerSettings
from leukoscope.review.store.tables import AuditEntry, Case, Cell, User

# Services


def test_what_blocks_says_in_which_tabs_and_how_many(room, read_case):
    waiting = {}
    for cell in cells_of(room, read_case):
        waiting[cell.decision] = waiting.get(cell.decision, 0) + 1
    with room.database.read() as session:
        blocks = blocking(session, session.get_one(Case, read_case))
    found = {name: num for block in blocks for name, num in block.tabs.items()}
    assert found == waiting
    open_ones = [block.words for block in blocks if "indeterminate" in block.tabs]
    assert ("not settled" in open_ones[0]) if "indeterminate" in waiting else not open_ones
    approve_all(room, read_case)
    with room.database.read() as session:
        assert blocking(session, session.get_one(Case, read_case)) == []


def test_a_wrong_password_counts_and_locks_as_at_the_door(room, read_case):
    approve_all(room, read_case)

    def is_locked() -> bool:
        with room.database.read() as session:
            return session.get_one(User, room.signer.user_id).locked_until is not None

    failures = 0
    while not is_locked() and failures < 30:
        failures += 1
        with pytest.raises(SignInError, match="wrong, or the account is locked"):
            confirm(room.database, room.signer, "not my password")
    assert 1 < failures < 30
    with pytest.raises(SignInError):
        confirm(room.database, room.signer, PASSWORD)
    with room.database.read() as session:
        entries = session.scalars(select(AuditEntry).where(AuditEntry.action == "sign-in refused"))
        assert len(list(entries)) == failures + 1
    assert state(room, read_case) == "to sign"


def test_who_may_not_sign_is_told_so_before_a_password_is_looked_at(room):
    with pytest.raises(ForbiddenError, match="may not sign"):
        confirm(room.database, room.administrator, "wrong")
    with room.database.read() as session:
        assert session.get_one(User, room.administrator.user_id).num_failures == 0


def test_what_is_signed_is_what_was_seen(room, read_case):
    approve_all(room, read_case)
    with room.database.read() as session:
        seen = session.get_one(Case, read_case).version
    act(room, decide, read_case, [cells_of(room, read_case)[0].cell_id], "rejected")
    user = confirm(room.database, room.signer, PASSWORD)
    bundle = room.bundles.open(room.bundle.bundle_id)
    with pytest.raises(ConflictError, match="since you looked at it"), room.database.write() as session:
        sign(session, room.signer, read_case, bundle, confirmed=user, seen=seen)
    with room.database.write() as session:
        now = session.get_one(Case, read_case).version
        sign(session, room.signer, read_case, bundle, confirmed=user, seen=now)
    assert state(room, read_case) == "signed"


def judge(room, case_id) -> None:
    """Let the model have said something of each cell: blast, normal and indeterminate in turn."""
    with room.database.write() as session:
        for place, cell in enumerate(session.scalars(select(Cell).where(Cell.case_id == case_id))):
            said = ("blast", "normal", "indeterminate")[place % 3]
            cell.model_decision = cell.decision = said
            cell.reason = "between thresholds" if said == "indeterminate" else None
            cell.blast_probability = {"blast": 0.7, "normal": 0.1}.get(said, 0.5) + place / 100


def test_disagreements_are_the_words_that_contradict_the_model(room, read_case):
    judge(room, read_case)
    cells = cells_of(room, read_case)
    words = ["blast", "normal", "rejected", "indeterminate"]
    for place, cell in enumerate(cells):
        act(room, decide, read_case, [cell.cell_id], words[place % 4])
    expected = {
        cell.cell_id: (cell.model_decision, words[place % 4])
        for place, cell in enumerate(cells)
        if cell.model_decision not in ("indeterminate", words[place % 4])
    }
    settled = sum(
        cell.model_decision == "indeterminate" and words[place % 4] != "indeterminate"
        for place, cell in enumerate(cells)
    )

    def found(actor=None, **sought):
        with room.database.read() as session:
            return disagreements(session, actor or room.signer, Sought(**sought))

    assert expected and settled
    everything = found(case_id=read_case)
    assert {one.cell_id: (one.model_decision, one.decision) for one in everything.cells} == expected
    assert {one.username for one in everything.cells} == {"sam"}
    sure = [
        one.blast_probability if one.model_decision == "blast" else 1 - one.blast_probability
        for one in everything.cells
    ]
    assert sure == sorted(sure, reverse=True)
    assert found(model="indeterminate").num_all == settled
    rejected = sum(decision == "rejected" for _, decision in expected.values())
    assert found(decision="rejected").num_all == rejected
    assert found(signed=True).num_all == 0 and found(case_id=read_case + 1).num_all == 0
    assert found(text="p-17").num_all == len(expected) and found(text="%").num_all == 0
    pages = [found(page=page, per_page=2) for page in (1, 2)]
    assert [one.cell_id for page in pages for one in page.cells] == [
        one.cell_id for one in everything.cells[:4]
    ]
    stranger = Actor(room.signer.user_id, "sam", "signer", frozenset(), room.signer.rights)
    assert found(actor=stranger).num_all == 0


def test_a_bulk_approval_counts_as_one_until_somebody_looks_at_the_cell(room, read_case):
    def in_bulk() -> set[int]:
        with room.database.read() as session:
            return set(session.scalars(approved_in_bulk()))

    ids = [cell.cell_id for cell in cells_of(room, read_case)]
    act(room, decide, read_case, ids[:2], "blast")
    approve_all(room, read_case)
    assert in_bulk() == set(ids[2:])
    act(room, decide, read_case, [ids[5]], "normal")
    assert in_bulk() == set(ids[2:]) - {ids[5]}
    act(room, undo, read_case)
    assert in_bulk() == set(ids[2:])


# Pages


@pytest.fixture
def server(tmp_path, tiny_bundle):
    """A room of the starter's kind, with the accounts ada (administrator) and sam (signer)."""
    point = "sensitivity-0.95"
    people = [("normal", share) for share in (0.0, 0.02, 0.3)] + [("blast", 0.8), ("blast", 1.0)]
    readings = [
        PersonReading(label=kind, num_cells=50, num_judged=40, blast_fraction=f) for kind, f in people
    ]
    facts = {"demonstration": True, "reference_readings": {point: tuple(readings)}}
    bundle = restate_bundle(tiny_bundle, tmp_path / "known.leuko", **facts)
    room = Room(ServerSettings(data_dir=tmp_path / "room"), bundle)
    with room.database.write() as session:
        ada = accept(session, room.first_link(), username="ada", full_name="Ada L.", password=PASSWORD)
        administrator = Actor.of(ada)
    with room.database.write() as session:
        token = invite(session, administrator, "signer", list(administrator.team_ids)).token
    with room.database.write() as session:
        signer = Actor.of(accept(session, token, username="sam", full_name="Sam S.", password=PASSWORD))
    room.signer, room.bundle, room.point = signer, room.bundle_row(), room.operating_point
    with TestClient(create_app(room), base_url="http://127.0.0.1", follow_redirects=False) as client:
        room.worker.stop()
        client.room = room
        yield client
    room.close()


def enter(client, username) -> dict[str, str]:
    """Sign in; gives the header that changes need."""
    client.cookies.clear()
    assert client.post("/sign-in", data={"username": username, "password": PASSWORD}).status_code == 303
    return {"X-CSRF-Token": re.search(r'data-csrf="([^"]+)"', client.get("/").text)[1]}


@pytest.fixture
def case(server, cells) -> int:
    case_id = new_case(server.room)
    upload(server.room, case_id, [*cells, ("broken.bmp", b"BM")])
    assert Worker(server.room.database, server.room.bundles, server.room.images).work_once()
    return case_id


def test_a_case_is_signed_by_its_pages(server, case):
    word, address = enter(server, "sam"), f"/cases/{case}/sign"
    page = server.get(address).text
    assert "It cannot be signed yet" in page and 'name="password"' not in page
    tabs = re.findall(rf'href="/cases/{case}\?tab=(\w+)', page)
    assert set(tabs) == {cell.decision for cell in cells_of(server.room, case)}
    assert server.post(address, data={"password": PASSWORD}, headers=word).status_code == 409
    approve_all(server.room, case)
    page = server.get(address).text
    version = re.search(r'name="version" value="(\d+)"', page)[1]
    refused = server.post(address, data={"password": "wrong", "version": version}, headers=word)
    assert refused.status_code == 401 and "The password is wrong" in refused.text
    assert state(server.room, case) == "to sign"
    stale = server.post(address, data={"password": PASSWORD, "version": int(version) - 1}, headers=word)
    assert stale.status_code == 409 and "since you looked at it" in stale.text
    done = server.post(address, data={"password": PASSWORD, "version": version}, headers=word)
    assert (done.status_code, done.headers["location"]) == (303, f"/cases/{case}/report")
    assert server.get(address).headers["location"] == f"/cases/{case}/report"


def test_the_page_says_what_the_model_is_and_what_people_read(server, case):
    enter(server, "sam")
    page = server.get(f"/cases/{case}/sign").text
    assert "demonstration model" in page
    assert "not a blast count" in page
    assert re.search(r"healthy</th><td>3</td>\s*<td>2.0 %</td><td>0.0 % to 30.0 %</td>", page)
    assert re.search(r"leukaemic</th><td>2</td>\s*<td>90.0 %</td><td>80.0 % to 100.0 %</td>", page)


def test_who_may_not_sign_sees_why(server, case):
    approve_all(server.room, case)
    word = enter(server, "ada")
    page = server.get(f"/cases/{case}/sign").text
    assert "only a signer signs" in page and 'name="password"' not in page
    assert server.post(f"/cases/{case}/sign", data={"password": PASSWORD}, headers=word).status_code == 403
    assert state(server.room, case) == "to sign"


def test_reopening_asks_for_a_reason_and_keeps_what_was_typed(server, case):
    approve_all(server.room, case)
    sign_it(server.room, case)
    word = enter(server, "sam")
    short = server.post(f"/cases/{case}/reopen", data={"why": "oh"}, headers=word)
    assert (
        short.status_code == 422
        and "a reason of 5 to 2,000 characters" in short.text
        and ">oh<" in short.text
    )
    assert state(server.room, case) == "signed"
    long = {"why": "a blast was missed"}
    assert server.post(f"/cases/{case}/reopen", data=long, headers=word).status_code == 303
    assert state(server.room, case) == "to sign"
    assert "a blast was missed" in server.get(f"/cases/{case}/report").text


def test_a_signature_without_the_word_of_the_page_is_none(server, case):
    approve_all(server.room, case)
    enter(server, "sam")
    for path, form in (("sign", {"password": PASSWORD}), ("reopen", {"why": "a good reason"})):
        assert server.post(f"/cases/{case}/{path}", data=form).status_code == 403
    assert state(server.room, case) == "to sign"


def test_a_signed_case_stays_with_the_bundle_that_it_was_read_with(server, case, tiny_bundle):
    approve_all(server.room, case)
    signature = sign_it(server.room, case)
    with server.room.database.write() as session:
        other = server.room.bundles.add(session, tiny_bundle)
    assert signature.report["model"]["bundle_id"] == server.room.bundle.bundle_id != other.bundle_id
    assert signature.report["model"]["stamps"] == ["demonstration model: for trying the software"]
    act(server.room, reopen, case, "another model is there")
    second = sign_it(server.room, case)
    assert second.report["model"] == signature.report["model"]
    assert [cell["blast_probability"] for cell in second.report["cells"]] == [
        cell["blast_probability"] for cell in signature.report["cells"]
    ]
