"""Signing as a signer does it in Chromium: blocked, a wrong password, then signed; no barrier on any page."""

from __future__ import annotations

import hashlib

import pytest
from tests.review.conftest import PASSWORD, new_case, upload
from tests.review.live import CHROMIUM, barriers, join, open_browser, open_room
from tests.review.pdf_text import pages_of
from tests.review.test_signing import judge
from tests.review.test_work import act, approve_all, cells_of

from leukoscope.bundle.export import restate_bundle
from leukoscope.evaluation.people import PersonReading
from leukoscope.review.auth.accounts import accept, invite
from leukoscope.review.auth.rights import Actor
from leukoscope.review.services.decisions import decide
from leukoscope.review.services.jobs import Worker
from leukoscope.review.store.tables import User

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")]


@pytest.fixture(scope="module")
def live(tmp_path_factory, tiny_bundle):
    folder = tmp_path_factory.mktemp("signing")
    people = [("normal", share) for share in (0.0, 0.02, 0.3)] + [("blast", 0.8), ("blast", 1.0)]
    readings = tuple(
        PersonReading(label=kind, num_cells=50, num_judged=40, blast_fraction=share) for kind, share in people
    )
    facts = {"demonstration": True, "reference_readings": {"sensitivity-0.95": readings}}
    with open_room(folder / "room", restate_bundle(tiny_bundle, folder / "m.leuko", **facts)) as opened:
        opened.room.worker.stop()
        yield opened


@pytest.fixture(scope="module")
def page(live):
    with open_browser() as browser:
        page = browser.new_page(viewport={"width": 1024, "height": 768})
        page.on("pageerror", lambda error: pytest.fail(f"the page's own code failed: {error}"))
        join(page, live)
        yield page


@pytest.fixture(scope="module")
def case(live, page, tiny_cohort) -> int:
    """A case that the model has read and nobody has reviewed; at the browser sits a signer."""
    room = live.room
    with room.database.write() as session:
        ada = Actor.of(session.query(User).one())
        token = invite(session, ada, "signer", list(ada.team_ids)).token
    with room.database.write() as session:
        user = accept(session, token, username="sam", full_name="Sam Signer", password=PASSWORD)
        room.signer = Actor.of(user)
    room.bundle, room.point = room.bundle_row(), room.operating_point
    case_id = new_case(room, specimen="bone marrow, day 0")
    files = [(path.name, path.read_bytes()) for path in sorted(tiny_cohort.rglob("UID_*.bmp"))[:12]]
    upload(room, case_id, [*files, ("broken.bmp", b"BM")])
    assert Worker(room.database, room.bundles, room.images).work_once()
    judge(room, case_id)
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Username").fill("sam")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{live.address}/")
    return case_id


def test_from_a_blocked_case_to_a_signed_report(page, live, case):
    room, address = live.room, f"{live.address}/cases/{case}"
    page.goto(f"{address}/sign")
    assert "It cannot be signed yet" in page.inner_text("#what-blocks")
    assert page.get_by_label("Password").count() == 0 and barriers(page) == []
    page.get_by_role("link", name="4 in indeterminate").click()
    page.wait_for_url(f"{address}?tab=indeterminate**")
    act(room, decide, case, [cells_of(room, case)[0].cell_id], "normal")
    approve_all(room, case)

    page.goto(f"{address}/report")
    assert "This is a draft" in page.inner_text("main") and barriers(page) == []

    page.goto(f"{address}/sign")
    page.get_by_label("Password of sam").fill("not my password")
    page.get_by_role("button", name="Sign", exact=True).click()
    assert "The password is wrong" in page.get_by_role("alert").inner_text()
    assert "0.700" in page.get_by_role("region", name="Disagreements with the model").inner_text()
    assert barriers(page) == []

    page.get_by_label("Password of sam").fill(PASSWORD)
    page.get_by_role("button", name="Sign", exact=True).click()
    page.wait_for_url(f"{address}/report")
    assert "Demonstration model" in page.inner_text("main") and barriers(page) == []
    with page.expect_download() as pdf:
        page.get_by_role("link", name="report 1 as PDF").click()
    text = "\n".join(pages_of(pdf.value.path().read_bytes()))
    assert "Sam Signer (sam)" in text and "DRAFT" not in text
    with page.expect_download() as signed:
        page.get_by_role("link", name="report 1 as JSON").click()
    assert hashlib.sha256(signed.value.path().read_bytes()).hexdigest() in page.inner_text("main")


def test_a_signed_case_is_opened_again_with_a_reason(page, live, case):
    page.goto(f"{live.address}/cases/{case}/report")
    page.get_by_text("Open this case again").click()
    page.get_by_label("Reason").fill("a second reader found two blasts")
    assert barriers(page) == []
    page.get_by_role("button", name="Open it again").click()
    page.wait_for_url(f"{live.address}/cases/{case}")
    page.goto(f"{live.address}/cases/{case}/report")
    assert "a second reader found two blasts" in page.get_by_role("region", name="All reports").inner_text()


def test_what_was_reviewed_can_be_taken_along(page, live, case):
    page.goto(f"{live.address}/learning")
    assert barriers(page) == []
    page.get_by_role("link", name="all reviewed cells, signed or not").first.click()
    assert "12" in page.inner_text(".figures") and barriers(page) == []
    with page.expect_download() as download:
        page.get_by_role("button", name="Download as a cohort").click()
    assert download.value.path().read_bytes().startswith(b"PK")
