"""A photograph of a smear in Chromium: from the drop to a signed report that names it."""

from __future__ import annotations

import re
import time

import pytest
from tests.review.conftest import PASSWORD
from tests.review.live import CHROMIUM, barriers, join, open_browser, open_room
from tests.review.test_photographs import field

from leukoscope.review.auth.accounts import accept, invite
from leukoscope.review.auth.rights import Actor
from leukoscope.review.store.tables import User

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")]


@pytest.fixture(scope="module")
def live(tmp_path_factory, tiny_bundle):
    with open_room(tmp_path_factory.mktemp("photographs") / "room", tiny_bundle) as opened:
        yield opened


@pytest.fixture(scope="module")
def page(live):
    with open_browser() as browser:
        page = browser.new_page(viewport={"width": 1024, "height": 768})
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: pytest.fail(f"the page's own code failed: {error}"))
        join(page, live)
        with live.room.database.write() as session:
            ada = Actor.of(session.query(User).one())
            token = invite(session, ada, "signer", list(ada.team_ids)).token
        with live.room.database.write() as session:
            accept(session, token, username="sam", full_name="Sam Signer", password=PASSWORD)
        page.goto(f"{live.address}/administration/settings")
        assert "Photographs of smears" in page.inner_text("main") and barriers(page) == []
        page.get_by_role("button", name="Sign out").click()
        page.get_by_label("Username").fill("sam")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{live.address}/")
        yield page


def wait_for(page, expression: str) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            if page.evaluate(expression):
                return
        except Exception as error:  # the page is loading itself anew
            assert "navigation" in str(error) or "destroyed" in str(error), error
        assert time.monotonic() < end, f"it never came true: {expression}"
        page.wait_for_timeout(100)


def test_from_a_photograph_to_a_signed_report_that_names_it(page, live, tmp_path):
    smear = tmp_path / "field-7.png"
    # many cells that the edge cuts, so that some are set aside
    smear.write_bytes(field(5, width=700, height=520, white_cells=14, touching_pairs=0))
    page.goto(f"{live.address}/cases/new")
    page.get_by_label("Pseudonym").fill("P-17")
    assert not page.locator("#pixel_size").is_visible()
    page.get_by_label("photographs of a smear").check()
    assert "Drop photographs anywhere" in page.inner_text("#drop")
    page.get_by_label("Micrometres per pixel").fill("0.1")
    assert barriers(page) == []
    page.locator("#files").set_input_files([str(smear)])
    page.get_by_role("button", name="Make the case").click()
    page.wait_for_url(re.compile(r"/cases/\d+$"))
    wait_for(page, "document.readyState === 'complete' && document.querySelector('#grid') !== null")
    case = page.url.split("?")[0]
    smears = page.locator("#smears")
    assert "1 photograph of the smear" in smears.inner_text()
    assert page.locator("#kinds [value=photographs]").is_checked()  # what comes next is most likely another
    assert barriers(page) == []

    page.locator("#smears summary").click()
    page.get_by_role("link", name="field-7.png").click()
    wait_for(page, "document.querySelector('.whole img').naturalWidth === 700")
    assert "0.1000, given at upload" in page.inner_text("main") and barriers(page) == []
    flags = page.locator("table td:nth-child(2)").all_inner_texts()
    num_edge = sum("edge" in text for text in flags)
    assert num_edge, "the field was drawn so that the edge cuts some"

    page.get_by_role("link", name="#1", exact=True).click()
    wait_for(page, "document.querySelector('.place img')?.naturalWidth > 0")
    assert "Cell 1 of field-7.png" in page.inner_text("#place") and barriers(page) == []

    # what was set aside is settled by itself, in one step, and nothing else with it
    page.goto(f"{case}?tab=indeterminate")
    page.locator("#part-not-single").click()
    wait_for(page, f"document.querySelectorAll('.tile').length === {num_edge}")
    assert barriers(page) == []
    page.get_by_role("button", name="Approve the rest").click()
    wait_for(page, "document.querySelector('#said').textContent.includes('approved in bulk as not single')")
    assert f"{num_edge} not single" in page.inner_text("#differential")
    for tab in ("blast", "normal", "indeterminate"):
        page.locator(f"#tab-{tab}").click()
        wait_for(page, f"document.querySelector('#tab-{tab}').hasAttribute('aria-current')")
        if "to review" in page.inner_text(f"#tab-{tab}"):
            wait_for(page, "!document.querySelector('#approve').disabled")
            page.get_by_role("button", name="Approve the rest").click()
            wait_for(page, f"!document.querySelector('#tab-{tab}').textContent.includes('to review')")

    page.goto(f"{case}/sign")
    assert "Not single" in page.inner_text("main") and barriers(page) == []
    page.get_by_label("Password of sam").fill(PASSWORD)
    page.get_by_role("button", name="Sign", exact=True).click()
    page.wait_for_url(f"{case}/report")
    text = page.inner_text("main")
    assert "field-7.png" in text and "Given at upload" in text and barriers(page) == []
