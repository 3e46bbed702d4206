"""A laboratory gets its people, in Chromium: invited, at home, let in again; no barrier on the way."""

from __future__ import annotations

import pytest
from tests.review.conftest import PASSWORD
from tests.review.live import CHROMIUM, barriers, join, open_browser, open_room

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")]

NEW = "four loud purple plums"


@pytest.fixture(scope="module")
def live(tmp_path_factory, tiny_bundle):
    with open_room(tmp_path_factory.mktemp("live") / "room", tiny_bundle) as opened:
        yield opened


@pytest.fixture(scope="module")
def browser():
    with open_browser() as opened:
        yield opened


def look(page, address: str = "") -> None:
    """Go there, and find no barrier and nothing that one would have to scroll sideways for."""
    if address:
        page.goto(address)
    assert barriers(page) == []
    assert not page.evaluate("document.documentElement.scrollWidth > innerWidth"), page.url


def test_a_reader_is_invited_and_at_home(live, browser):
    ada = browser.new_page(viewport={"width": 1024, "height": 768})
    join(ada, live)
    link = invite(ada, live)

    bob = browser.new_context(viewport={"width": 820, "height": 1180}).new_page()
    for page in (ada, bob):
        page.on("pageerror", lambda error: pytest.fail(f"the page's own code failed: {error}"))
    join_by(bob, link)
    bob.goto(link)
    assert "used or too old" in bob.inner_text("main")

    bob.goto(live.address)
    bob.get_by_role("button", name="Sign out").click()
    bob.get_by_label("Username").fill("bob")
    bob.get_by_label("Password").fill(PASSWORD)
    bob.get_by_role("button", name="Sign in").click()
    bob.wait_for_url(f"{live.address}/")

    change_keys(bob, live)
    key_is_made_and_revoked(bob, live)
    password_is_changed(bob, live)
    by_link_again(ada, bob, live)


def invite(ada, live) -> str:
    look(ada, f"{live.address}/administration")
    ada.get_by_label("For whom").fill("Bob Brown")
    ada.get_by_role("button", name="Make a link").click()
    look(ada)
    link = ada.get_by_label("Link", exact=True).input_value()
    assert link.startswith(f"{live.address}/join/")
    chosen = "field => field.value.slice(field.selectionStart, field.selectionEnd)"
    assert ada.get_by_label("Link", exact=True).evaluate(chosen) == link
    return link


def join_by(bob, link) -> None:
    look(bob, link)
    bob.get_by_label("Your name").fill("Bob Brown")
    bob.get_by_label("Username").fill("bob")
    bob.get_by_label("Password", exact=True).fill(PASSWORD)
    bob.get_by_label("Password again").fill(PASSWORD)
    bob.get_by_role("button", name="Make the account").click()
    bob.get_by_role("link", name="bob").wait_for()
    assert bob.get_by_role("link", name="Administration").count() == 0


def change_keys(bob, live) -> None:
    bob.goto(f"{live.address}/account")
    bob.locator("summary", has_text="Which key does what").click()
    bob.get_by_label("Call it blast").fill("n")
    bob.get_by_role("button", name="Change the keys").click()
    assert "cannot mean two things" in bob.get_by_role("alert").inner_text()
    assert bob.get_by_label("Call it blast").input_value() == "n"
    look(bob)
    bob.get_by_label("Call it blast").fill("j")
    bob.get_by_role("button", name="Change the keys").click()
    assert bob.get_by_role("status").inner_text() == "The keys are changed."
    assert bob.locator("#key-blast").input_value() == "j"


def key_is_made_and_revoked(bob, live) -> None:
    bob.locator("summary", has_text="New key").click()
    bob.get_by_label("Name", exact=True).fill("robot")
    bob.get_by_role("button", name="Make the key").click()
    look(bob)
    assert bob.get_by_label("Key", exact=True).input_value().startswith("leuko_")
    bob.get_by_role("button", name="Revoke robot").click()
    assert "is revoked" in bob.get_by_role("status").inner_text()
    assert bob.get_by_role("button", name="Revoke").count() == 0
    look(bob)


def password_is_changed(bob, live) -> None:
    bob.get_by_label("Old password").fill(PASSWORD)
    bob.get_by_label("New password", exact=True).fill(NEW)
    bob.get_by_label("New password again").fill(NEW)
    bob.get_by_role("button", name="Change the password").click()
    assert "The password is changed" in bob.get_by_role("status").inner_text()


def by_link_again(ada, bob, live) -> None:
    """The administrator never types a password: a link does, and the account is signed out."""
    ada.goto(f"{live.address}/administration/people")
    ada.get_by_role("link", name="Bob Brown").click()
    look(ada)
    ada.get_by_role("button", name="Make a link for a new password").click()
    look(bob, ada.get_by_label("Link", exact=True).input_value())
    bob.get_by_label("Password", exact=True).fill(PASSWORD)
    bob.get_by_label("Password again").fill(PASSWORD)
    bob.get_by_role("button", name="Set the password").click()
    assert "The password is set" in bob.get_by_role("status").inner_text()
    look(bob)


def test_the_other_pages_of_the_administration(live, browser):
    page = browser.new_page(viewport={"width": 820, "height": 1180})
    page.goto(f"{live.address}/sign-in")
    page.get_by_label("Username").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{live.address}/")
    for part in ("teams", "models", "settings", "trail"):
        look(page, f"{live.address}/administration/{part}")
    page.get_by_role("button", name="Verify the whole trail").click()
    assert "The trail holds" in page.get_by_role("status").inner_text()
    look(page)

    page.goto(f"{live.address}/administration/settings")
    page.get_by_label("Pattern of a pseudonym").fill("H[0-9]+")
    page.locator("#tried li", has_text="A17").get_by_text("refused").wait_for()
    page.get_by_label("Try it on").fill("H77")
    page.locator("#tried li", has_text="H77").get_by_text("taken").wait_for()
    page.get_by_role("button", name="Change the settings").click()
    assert "are changed" in page.get_by_role("status").inner_text()
    page.goto(f"{live.address}/administration/trail")
    assert "pseudonym pattern: [A-Za-z0-9-]{1,64} → H[0-9]+" in page.inner_text("main")
