"""The first pages in Chromium: empty worklist, the form for a case; no barrier, nothing from elsewhere."""

from __future__ import annotations

import pytest
from tests.review.live import CHROMIUM, barriers, join, open_browser, open_room

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")]


@pytest.fixture(scope="module")
def live(tmp_path_factory, tiny_bundle):
    with open_room(tmp_path_factory.mktemp("live") / "room", tiny_bundle) as opened:
        yield opened


@pytest.fixture(scope="module")
def page(live):
    with open_browser() as browser:
        page = browser.new_page(viewport={"width": 1024, "height": 768})
        page.asked_for = []
        page.on("request", lambda request: page.asked_for.append(request.url))
        page.on("pageerror", lambda error: pytest.fail(f"the page's own code failed: {error}"))
        join(page, live)
        yield page


def test_the_empty_worklist_says_what_to_do(page, live):
    page.goto(live.address)
    assert "There is no case yet" in page.inner_text("main")
    assert barriers(page) == []


def test_the_form_for_a_case_has_no_barrier(page, live):
    page.goto(f"{live.address}/cases/new")
    assert barriers(page) == []


def test_nothing_comes_from_elsewhere(page, live):
    assert [address for address in page.asked_for if not address.startswith(live.address)] == []
