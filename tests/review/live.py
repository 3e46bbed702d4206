"""A room at a real address, and Chromium that looks at it; for tests marked ``browser``.

Fixtures that import this must end with their module: while Playwright is open, asyncio.run works nowhere.
"""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import uvicorn
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright
from tests.review.conftest import PASSWORD

from leukoscope.review.app import create_app
from leukoscope.review.room import Room
from leukoscope.review.settings import ServerSettings

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
SCHEMES = ("light", "dark")


class Live(NamedTuple):
    """A room that answers, and where."""

    room: Room
    address: str


@contextmanager
def open_room(folder: Path, bundle: Path | str, **settings: object) -> Iterator[Live]:
    """Answer at a free port of this machine until the block ends."""
    room = Room(ServerSettings(data_dir=folder, **settings), bundle)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create_app(room), log_level="warning"))
        thread = Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive(), "the server ended before it answered"
            time.sleep(0.02)
        yield Live(room, f"http://127.0.0.1:{listening.getsockname()[1]}")
        server.should_exit = True
        thread.join()
    room.close()


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Chromium, without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def join(page: Page, live: Live, username: str = "ada") -> None:
    """Make the first account at the browser; it is signed in afterwards."""
    page.goto(f"{live.address}/join/{live.room.first_link()}")
    page.get_by_label("Your name").fill("Ada Lovelace")
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password again").fill(PASSWORD)
    page.get_by_role("button", name="Make the account").click()
    page.wait_for_url(f"{live.address}/")


def barriers(page: Page) -> list[str]:
    """What axe finds on the page as it stands against WCAG 2.2 AA, in light and in dark."""
    page.wait_for_load_state()  # without its style sheet every page has barriers
    found = []
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        answer = Axe().run(page, options={"runOnly": {"type": "tag", "values": WCAG}}).response
        found += [
            f"{scheme}: {rule['id']}: {node['html'][:160]}"
            for rule in answer["violations"]
            for node in rule["nodes"]
        ]
    return found
