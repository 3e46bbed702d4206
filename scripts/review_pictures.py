#!/usr/bin/env python3
"""Photograph the four main pages of the review room, for README.md and docs/review-room.md.

usage: review_pictures.py BUNDLE [OUT]

BUNDLE is a model of synthetic cells: what make demo leaves in demo/run/model.leuko. OUT is docs/images where
not given. A room is opened in a temporary folder and filled with cases of synthetic cells, by the pages
themselves; nothing in the pictures is of a patient.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.review.conftest import PASSWORD  # noqa: E402
from tests.review.live import join, open_browser, open_room  # noqa: E402

from leukoscope.cohort.synth import synthesize  # noqa: E402

SIZE = {"width": 1280, "height": 860}
CASES = (
    ("P-2024", "bone marrow, day 0", "urgent"),
    ("P-2025", "blood", "routine"),
    ("P-2026", "bone marrow, day 15", "routine"),
)


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("bundle", type=Path)
    ask.add_argument("out", type=Path, nargs="?", default=ROOT / "docs" / "images")
    given = ask.parse_args()
    with (
        tempfile.TemporaryDirectory() as name,
        open_room(Path(name) / "room", given.bundle) as live,
        open_browser() as browser,
    ):
        people = sorted(synthesize(Path(name) / "cells", subjects=6, cells_per_subject=70).rglob("UID_*.bmp"))
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        join(page, live)
        signer = invited(page, live.address)
        sign_in_as_invited(page, live.address, signer)
        for number, case in enumerate(CASES):
            fill(page, live.address, case, people[number * 70 : (number + 1) * 70])
        photograph(page, live.address, given.out)


def invited(page: Page, address: str) -> str:
    """The link for a signer."""
    page.goto(f"{address}/administration/people")
    page.get_by_label("Role").select_option("signer")
    page.get_by_role("button", name="Make a link").click()
    return page.locator(".told").get_by_label("Link").input_value()


def sign_in_as_invited(page: Page, address: str, link: str) -> None:
    page.get_by_role("button", name="Sign out").click()
    page.goto(link)
    for label, text in (("Your name", "Sam Signer"), ("Username", "sam")):
        page.get_by_label(label).fill(text)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password again").fill(PASSWORD)
    page.get_by_role("button", name="Make the account").click()
    page.wait_for_url(f"{address}/")


def fill(page: Page, address: str, case: tuple[str, str, str], files: list[Path]) -> None:
    """Make a case from files, and wait until they are read."""
    page.goto(f"{address}/cases/new")
    page.get_by_label("Pseudonym").fill(case[0])
    page.get_by_label("Specimen").fill(case[1])
    page.get_by_label("Priority").select_option(case[2])
    page.locator("#files").set_input_files([str(file) for file in files])
    page.get_by_role("button", name="Make the case").click()
    page.locator("#grid").wait_for(timeout=120_000)


def photograph(page: Page, address: str, out: Path) -> None:
    """Worklist, gallery, one cell, signing; the first case reviewed on the way."""
    page.goto(f"{address}/cases/1?tab=blast")
    page.locator(".tile img").first.wait_for()
    page.wait_for_timeout(1500)
    page.screenshot(path=out / "review-gallery.png")
    page.locator("#grid").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("n")
    page.wait_for_timeout(800)
    page.keyboard.press("Enter")
    page.wait_for_url("**/cells/**", wait_until="load")
    page.wait_for_timeout(800)
    page.locator("#opacity").fill("45")
    page.wait_for_timeout(1500)
    page.screenshot(path=out / "review-cell.png")
    for tab, key in (("indeterminate", "n"), ("blast", "b"), ("normal", "n")):
        page.goto(f"{address}/cases/1?tab={tab}")
        page.wait_for_timeout(1500)
        page.keyboard.press("a")
        page.keyboard.press(key)
        page.wait_for_timeout(1500)
    page.goto(f"{address}/cases/1/sign")
    page.screenshot(path=out / "review-sign.png")
    page.goto(address)
    page.screenshot(path=out / "review-worklist.png")


if __name__ == "__main__":
    main()
