"""From the first start to the signed report, as people do it: a real server, real browsers, keys alone."""

from __future__ import annotations

import hashlib
import json
import re
import signal
import subprocess
import sys
import time
from html import unescape

import pytest
from tests.review.conftest import PASSWORD
from tests.review.live import CHROMIUM, barriers, open_browser
from tests.review.pdf_text import pages_of
from tests.review.served import Served

from leukoscope.cohort.synth import synthesize

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")]

NUM_FIRST = 60
READING_SECONDS = 120


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    folder = synthesize(tmp_path_factory.mktemp("whole"), subjects=6, cells_per_subject=60, unlabelled=0)
    return [str(path) for path in sorted(folder.rglob("UID_*.bmp"))]


@pytest.fixture(scope="module")
def browser():
    with open_browser() as opened:
        yield opened


def new_page(browser):
    page = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True).new_page()
    page.set_default_timeout(20_000)
    page.on("pageerror", lambda error: pytest.fail(f"the page's own code failed: {error}"))
    return page


def join(page, link: str, username: str, full_name: str) -> None:
    page.goto(link)
    page.get_by_label("Your name").fill(full_name)
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password again").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Worklist").wait_for()


def wait_for(page, expression: str) -> None:
    """Playwright's own waiting for a script is what the content security policy forbids."""
    end = time.monotonic() + READING_SECONDS
    while True:
        try:
            if page.evaluate(expression):
                return
        except Exception as error:  # the page is loading itself anew
            assert "navigation" in str(error) or "destroyed" in str(error), error
        assert time.monotonic() < end, f"it never came true: {expression}"
        page.wait_for_timeout(100)


def wait_for_cells(page) -> None:
    """Until the gallery is there, and the page's own code with it."""
    wait_for(page, "document.readyState === 'complete' && document.querySelector('#grid') !== null")


def counts(page) -> dict[str, int]:
    """Of each tab how many cells it says that it holds."""
    said = {
        name: page.locator(f"#tab-{name} b").inner_text()
        for name in ("blast", "normal", "indeterminate", "rejected")
    }
    return {name: int(text.replace(",", "")) for name, text in said.items()}


def leukoscope(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "leukoscope", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def waiting(page) -> int:
    """How many cells nobody has looked at, over all tabs, as the tabs say."""
    said = " ".join(page.locator(".tab small").all_inner_texts())
    return sum(int(number.replace(",", "")) for number in re.findall(r"([\d,]+) to review", said))


def press(page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)
        page.wait_for_timeout(150)


def review_by_keys(page) -> None:
    """Two indeterminate cells one by one, then tab after tab with all cells chosen at once."""
    page.locator("#grid").focus()
    for tab, keys in (("3", "bnan"), ("1", "ab"), ("2", "an")):
        press(page, tab)
        wait_for(page, f"document.querySelector('#tab-{TABS[tab]}').hasAttribute('aria-current')")
        for key in keys:
            if counts(page)[TABS[tab]]:
                press(page, key)
        wait_for(page, f"!document.querySelector('#tab-{TABS[tab]} small').textContent.includes('to review')")


TABS = {"1": "blast", "2": "normal", "3": "indeterminate", "4": "rejected"}


def test_from_the_first_start_to_the_signed_report(tmp_path, browser, cells, tiny_bundle):
    folder = tmp_path / "room"
    with Served(folder, tiny_bundle) as server:
        address = server.address
        ada = new_page(browser)
        join(ada, server.link, "ada", "Ada Lovelace")
        assert "There is no case yet" in ada.inner_text("main")

        # an administrator signs nothing: a signer is invited
        ada.goto(f"{address}/administration/people")
        ada.get_by_label("Role").select_option("signer")
        ada.get_by_role("button", name="Make a link").click()
        link = ada.locator(".told").get_by_label("Link").input_value()
        sam = new_page(browser)
        join(sam, link, "sam", "Sam Signer")

        # a case from 60 cells and a broken one, made and sent in one go
        broken = tmp_path / "broken.bmp"
        broken.write_bytes(b"BM, and then nothing")
        sam.goto(f"{address}/cases/new")
        sam.get_by_label("Pseudonym").fill("P-17")
        sam.locator("#files").set_input_files([*cells[:NUM_FIRST], str(broken)])
        sam.get_by_role("button", name="Make the case").click()
        sam.wait_for_url(re.compile(r"/cases/\d+$"))
        wait_for_cells(sam)
        case = sam.url.split("?")[0]
        assert sum(counts(sam).values()) == NUM_FIRST
        assert "broken.bmp" in sam.content()
        assert barriers(sam) == []

        # more cells; the server is killed in mid-run, and another goes on
        sam.locator("#more").evaluate("one => { one.open = true; }")
        sam.locator("#files").set_input_files(cells)
        sam.wait_for_url(re.compile(r"/cases/\d+$"))
        wait_for(
            sam, "document.querySelector('progress') !== null || document.querySelector('#grid') !== null"
        )
        port = int(re.search(r":(\d+)", address)[1])
        server.end(signal.SIGKILL)
    with Served(folder, tiny_bundle, port=port) as server:
        sam.goto(case)
        wait_for_cells(sam)
        while sum(counts(sam).values()) < NUM_FIRST:
            sam.wait_for_timeout(200)
        sent = sum(counts(sam).values())
        if sent < len(cells):  # what had not arrived is dropped again, and only that is sent
            sam.locator("#more").evaluate("one => { one.open = true; }")
            sam.locator("#files").set_input_files(cells)
            wait_for(
                sam,
                "[...document.querySelectorAll('.tab b')].reduce((sum, one) => "
                f"sum + Number(one.textContent.replace(',', '')), 0) === {len(cells)}",
            )
        assert sum(counts(sam).values()) == len(cells)

        # not yet: nobody has looked
        sam.goto(f"{case}/sign")
        assert "It cannot be signed yet" in sam.inner_text("main")
        assert sam.get_by_role("button", name="Sign", exact=True).count() == 0

        sam.goto(case)
        wait_for(sam, "document.querySelector('[aria-activedescendant]') !== null")
        review_by_keys(sam)
        wait_for(sam, "document.querySelector('#signing a.button') !== null")
        assert waiting(sam) == 0
        read = counts(sam)

        sam.goto(f"{case}/sign")
        sam.get_by_label("Password of sam").fill("not the password")
        sam.keyboard.press("Enter")
        sam.get_by_role("alert").wait_for()
        sam.get_by_label("Password of sam").fill(PASSWORD)
        sam.keyboard.press("Enter")
        sam.wait_for_url(f"{case}/report")
        assert barriers(sam) == []

        report = check_reports(sam, case, read, tmp_path)
        sam.goto(case)
        assert "signed and read-only" in sam.inner_text("main")
        press(sam, "b", "i")
        assert counts(sam) == read

    # the trail holds, and the end of it that the report names is in it
    checked = leukoscope("audit", "verify", "--data-dir", folder, "--head", report)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def check_reports(page, case: str, read: dict[str, int], folder):
    """Fetch the three forms, read the numbers back, give the path of the JSON."""
    saved = {}
    for form in ("JSON", "PDF", "HTML"):
        with page.expect_download() as download:
            page.locator("p.forms").get_by_role("link", name=form, exact=True).click()
        saved[form] = folder / f"report.{form.lower()}"
        download.value.save_as(saved[form])
    document = json.loads(saved["JSON"].read_text())
    after = document["differential"]["after_review"]
    assert {name: after[f"num_{name}"] for name in read} == read
    assert after["fraction"] == pytest.approx(read["blast"] / (read["blast"] + read["normal"]))
    assert document["signature"]["username"] == "sam"
    digest = hashlib.sha256(saved["JSON"].read_bytes()).hexdigest()
    assert digest in page.content()
    percent = f"{100 * after['fraction']:.1f}"
    pages = pages_of(saved["PDF"].read_bytes())
    assert all("esearch use only" in text for text in pages)
    for text in (" ".join(pages), unescape(saved["HTML"].read_text())):
        assert percent in text
        assert "P-17" in text
        assert "not a blast count" in " ".join(text.split())
        assert document["model"]["bundle_id"] in text
    return saved["JSON"]
