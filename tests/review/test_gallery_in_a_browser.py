"""The gallery, the page of a cell and sending files in Chromium, by keyboard, by mouse, and by two people."""

from __future__ import annotations

import base64
import io
import re
import time
import zipfile

import pytest
from playwright.sync_api import Error
from sqlalchemy import func, select
from tests.review.conftest import PASSWORD
from tests.review.live import CHROMIUM, barriers, join, open_browser, open_room

from leukoscope.review.auth.accounts import accept, invite
from leukoscope.review.auth.rights import Actor
from leukoscope.review.services.cases import make_case
from leukoscope.review.services.decisions import decide
from leukoscope.review.services.preferences import change_keys
from leukoscope.review.services.signing import sign
from leukoscope.review.services.uploads import UploadLimits, receive
from leukoscope.review.store.tables import Cell, Image, User

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")]

TABS = ("blast", "normal", "indeterminate", "rejected")
MANY = 800


@pytest.fixture(scope="module")
def live(tmp_path_factory, tiny_bundle):
    with open_room(tmp_path_factory.mktemp("gallery") / "room", tiny_bundle) as opened:
        yield opened


@pytest.fixture(scope="module")
def browser():
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def page(live, browser):
    page = new_page(browser)
    join(page, live)
    return page


def new_page(browser, **settings):
    page = browser.new_context(viewport={"width": 1024, "height": 768}, **settings).new_page()
    page.set_default_timeout(15_000)
    page.failures = []
    page.on("pageerror", lambda error: page.failures.append(str(error)))
    return page


@pytest.fixture(scope="module")
def signer(page, live):
    room = live.room
    with room.database.write() as session:
        ada = Actor.of(session.scalars(select(User).where(User.username == "ada")).one())
        token = invite(session, ada, "signer", list(ada.team_ids)).token
    with room.database.write() as session:
        return Actor.of(accept(session, token, username="sam", full_name="Sam S.", password=PASSWORD))


@pytest.fixture(scope="module")
def files(tiny_cohort):
    return sorted(tiny_cohort.rglob("UID_*.bmp"))[:4]


def drawn_case(live, actor, files, num: int, subject_id: str) -> int:
    """A case of as many cells, a fifth indeterminate and the rest half blasts; four pictures for all."""
    room = live.room
    kept = [receive(file.name, file.read_bytes(), room.images, UploadLimits()).image for file in files]
    with room.database.write() as session:
        team_id = next(iter(actor.team_ids))
        bundle, point = room.bundle_row(), room.operating_point
        case = make_case(
            session, actor, subject_id=subject_id, team_id=team_id, bundle=bundle, operating_point=point
        )
        images = [
            Image(
                case_id=case.case_id,
                name=f"UID_7_{number % 3}_{number}_all.bmp",
                num_bytes=1,
                received_sha256=f"{number:064x}",
                stored_sha256=kept[number % len(kept)].sha256,
                width=450,
                height=450,
                received_by=actor.user_id,
            )
            for number in range(num)
        ]
        session.add_all(images)
        session.flush()
        session.add_all(_cell(image, number, num) for number, image in enumerate(images))
        case.state = "to review"
        return case.case_id


def _cell(image: Image, number: int, num: int) -> Cell:
    said = "indeterminate" if number % 5 == 0 else ("blast", "normal")[number % 2]
    p = {"blast": 0.7, "normal": 0.1, "indeterminate": 0.5}[said] + number * 0.2 / num
    return Cell(
        case_id=image.case_id,
        image_id=image.image_id,
        position=number,
        photograph=f"7_{number % 3}",
        model_decision=said,
        decision=said,
        reason="between thresholds" if said == "indeterminate" else None,
        blast_probability=p,
        row={"blast_probability": p, "raw_probability": p, "novelty": 0.2, "quality": "blurred"},
    )


def called(live, case_id: int) -> dict[str, int]:
    with live.room.database.read() as session:
        found = select(Cell.decision, func.count()).where(Cell.case_id == case_id).group_by(Cell.decision)
        return dict(session.execute(found).all())


def open_gallery(page, live, case_id: int, **query) -> None:
    words = "&".join(f"{name}={value}" for name, value in query.items())
    page.goto(f"{live.address}/cases/{case_id}?{words}")
    until(page, "document.querySelector('[aria-activedescendant]') !== null")


def until(page, expression: str, arg: object = None) -> None:
    """Wait for what a script says; Playwright's own waiting is what our content security policy forbids."""
    end = time.monotonic() + 20
    while not _true(page, expression, arg):
        assert time.monotonic() < end, f"it never came true: {expression}"
        page.wait_for_timeout(30)


def _true(page, expression: str, arg: object) -> bool:
    try:
        return bool(page.evaluate(expression, arg))
    except Error as error:
        if "navigation" in str(error):  # the page is on its way to another one
            return False
        raise


def here(page) -> int:
    return int(page.get_attribute("#grid", "aria-activedescendant").removeprefix("cell-"))


def says(page, words: str) -> None:
    until(page, "words => document.getElementById('said').textContent.includes(words)", arg=words)


def test_a_case_is_reviewed_by_keyboard_alone(page, live, signer, files):
    case_id = drawn_case(live, signer, files, 20, "P-KEYS")
    assert called(live, case_id) == {"blast": 8, "normal": 8, "indeterminate": 4}
    open_gallery(page, live, case_id)
    press = page.keyboard.press
    first = here(page)
    press("ArrowRight")
    second = here(page)
    press("n")
    says(page, "1 cell called normal")
    assert here(page) not in (first, second)
    press("z")
    says(page, "Taken back for 1 cell")
    assert here(page) == second and called(live, case_id)["blast"] == 8
    press("ArrowLeft")
    press("Shift+ArrowRight")
    press("Shift+ArrowRight")
    assert page.inner_text("#what") == "Call 3 cells"
    press("r")
    says(page, "3 cells called rejected")
    assert called(live, case_id)["rejected"] == 3
    press("Space")
    press("ArrowRight")
    press("ArrowRight")
    press("Space")
    press("b")
    says(page, "2 cells confirmed as blast")
    until(page, "document.querySelectorAll('.tile .seen').length === 2")
    press("3")
    until(page, "document.querySelectorAll('#canvas .tile').length === 4")
    press("a")
    press("r")
    says(page, "4 cells called rejected")
    assert "No cell is called indeterminate" in page.inner_text("#nothing")
    for key, num in (("1", 5), ("2", 8), ("4", 7)):
        press(key)
        until(page, "num => document.querySelectorAll('#canvas .tile').length === num", arg=num)
        press("a")
        press({"1": "b", "2": "n", "4": "r"}[key])
        says(page, f"{num} cells confirmed")
    until(page, "document.getElementById('signing').textContent.includes('settled')")
    press("?")
    assert page.locator("#help").is_visible() and "call it blast" in page.inner_text("#help")
    assert barriers(page) == []
    press("Escape")
    assert barriers(page) == [] and page.failures == []


def test_cells_are_dragged_to_a_tab_and_called_by_buttons_and_touch(page, live, signer, files, browser):
    case_id = drawn_case(live, signer, files, 30, "P-DRAG")
    open_gallery(page, live, case_id)
    tiles = page.locator("#canvas .tile")
    tiles.nth(1).click()
    tiles.nth(3).click(modifiers=["Shift"])
    tiles.nth(2).drag_to(page.locator("#tab-normal"))
    says(page, "3 cells called normal")
    assert called(live, case_id)["normal"] == 15
    tiles.nth(0).click()
    tiles.nth(2).click(modifiers=["Control"])
    assert page.inner_text("#what") == "Call 2 cells"
    page.get_by_role("button", name="Indeterminate").click()
    says(page, "2 cells called indeterminate")
    page.get_by_role("button", name="Undo").click()
    says(page, "Taken back for 2 cells; now again: 2 blast")
    touch = new_page(browser, has_touch=True, storage_state=page.context.storage_state())
    touch.set_viewport_size({"width": 820, "height": 1180})
    open_gallery(touch, live, case_id)
    touch.locator("#canvas .tile").nth(0).tap()
    touch.locator("#canvas .tile").nth(4).tap()
    touch.get_by_role("button", name="Reject").tap()
    says(touch, "2 cells called rejected")
    assert called(live, case_id)["rejected"] == 2
    assert touch.evaluate("document.documentElement.scrollWidth <= innerWidth")
    touch.context.close()


def test_thousands_are_chosen_though_few_are_drawn(page, live, signer, files):
    case_id = drawn_case(live, signer, files, MANY, "P-MANY")
    before = called(live, case_id)
    open_gallery(page, live, case_id, tab="blast", order="position")
    assert page.locator("#canvas .tile").count() < 250
    page.evaluate("document.getElementById('grid').scrollTop = 1e6")
    last = "document.querySelector('#canvas .tile:last-child').ariaPosInSet"
    until(page, f"num => {last} === num", str(before["blast"]))
    until(page, "!document.querySelector('#canvas .waiting')")
    middle = page.evaluate("document.getElementById('grid').scrollTop / 2")
    page.evaluate("top => document.getElementById('grid').scrollTop = top", middle)
    until(page, "!document.querySelector('#canvas .waiting')")
    tile = page.locator("#canvas .tile").nth(page.locator("#canvas .tile").count() // 2)
    tile.click()
    top = page.evaluate("document.getElementById('grid').scrollTop")
    place = page.locator(".tile.here").bounding_box()
    page.keyboard.press("r")
    says(page, "1 cell called rejected")
    assert abs(page.evaluate("document.getElementById('grid').scrollTop") - top) < 2
    assert page.locator(".tile.here").bounding_box() == place
    page.get_by_role("button", name="Choose all").click()
    assert page.inner_text("#what") == f"Call {before['blast'] - 1} cells"
    page.keyboard.press("n")
    says(page, f"{before['blast'] - 1} cells called normal")
    assert called(live, case_id) == {
        "normal": before["normal"] + before["blast"] - 1,
        "indeterminate": before["indeterminate"],
        "rejected": 1,
    }
    page.keyboard.press("z")
    says(page, "Taken back")
    mine = (Cell.case_id == case_id) & (Cell.photograph == "7_1") & (Cell.decision == "blast")
    with live.room.database.read() as session:
        num_mine = session.scalar(select(func.count()).where(mine))
    page.select_option("#photograph", "7_1")
    until(page, "num => document.querySelector('#canvas .tile')?.ariaSetSize === num", str(num_mine))
    page.get_by_role("button", name="Approve the rest").click()
    says(page, "approved in bulk as blast")
    with live.room.database.read() as session:
        seen = select(Cell.photograph).where(
            Cell.case_id == case_id, Cell.reviewed_at.is_not(None), Cell.decision == "blast"
        )
        assert set(session.scalars(seen)) == {"7_1"}
    page.locator("#by-photograph summary").click()
    until(page, "document.querySelectorAll('#by-photograph tbody tr').length === 3")
    assert barriers(page) == []


def test_each_person_has_their_own_keys(page, live, signer, files):
    case_id = drawn_case(live, signer, files, 10, "P-OWN")
    with live.room.database.write() as session:
        ada = Actor.of(session.scalars(select(User).where(User.username == "ada")).one())
        change_keys(session, ada, {"normal": "j"})
    try:
        open_gallery(page, live, case_id)
        page.keyboard.press("n")
        page.keyboard.press("j")
        says(page, "1 cell called normal")
        assert called(live, case_id)["normal"] == 5
        assert "J" in page.inner_text("[data-call=normal]")
    finally:
        with live.room.database.write() as session:
            change_keys(session, ada, {"normal": ""})


def test_two_people_see_each_others_steps_and_a_signed_case_says_so(page, live, signer, files):
    case_id = drawn_case(live, signer, files, 10, "P-TWO")
    room = live.room
    open_gallery(page, live, case_id)
    with room.database.write() as session:
        mine = list(
            session.scalars(select(Cell.cell_id).where(Cell.case_id == case_id, Cell.decision == "blast"))
        )
        decide(session, signer, case_id, mine[:2], "normal")
    until(page, "document.querySelectorAll('#canvas .tile').length === 2")
    says(page, "Somebody changed this case")
    with room.database.write() as session:
        every = list(session.scalars(select(Cell.cell_id).where(Cell.case_id == case_id)))
        decide(session, signer, case_id, every, "blast")
    with room.database.write() as session:
        sign(
            session,
            signer,
            case_id,
            room.bundles.open(room.bundle_id),
            confirmed=session.get_one(User, signer.user_id),
        )
    page.keyboard.press("n")
    until(page, "document.getElementById('wrong').textContent.includes('signed, and read-only')")
    until(page, "'readOnly' in document.getElementById('gallery').dataset")
    assert not page.locator("[data-call=normal]").is_visible()
    assert called(live, case_id) == {"blast": 10}
    open_gallery(page, live, case_id)
    assert "Read-only" in page.inner_text("main") and page.locator("#approve").count() == 0
    assert barriers(page) == []


def test_a_step_of_ones_own_hides_no_step_of_others_and_asks_for_nothing_twice(page, live, signer, files):
    case_id = drawn_case(live, signer, files, 10, "P-MEANWHILE")
    open_gallery(page, live, case_id, order="suspicion")  # the browser keeps the order of the tests before
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    with live.room.database.write() as session:
        blasts = Cell.case_id == case_id, Cell.decision == "blast"
        mine = list(session.scalars(select(Cell.cell_id).where(*blasts).order_by(Cell.blast_probability)))
        decide(session, signer, case_id, mine[:2], "normal")
    page.keyboard.press("b")  # to the first of the list, the most suspicious one
    until(page, f"document.querySelectorAll('#canvas .tile').length === {len(mine) - 2}")
    until(page, "document.querySelectorAll('#canvas .tile.done').length === 1")
    assert sum("/order?" in url for url in asked) == 1
    assert not any("version=-1" in url for url in asked)  # how the case stands came with the step


def test_one_cell_by_keys_and_back_to_the_same_place(page, live, signer, files):
    case_id = drawn_case(live, signer, files, 200, "P-CLOSE")
    open_gallery(page, live, case_id, tab="normal", order="position")
    for _ in range(9):
        page.keyboard.press("ArrowDown")
    cell_id = here(page)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/cells/{cell_id}?**")
    assert "Of 100 cells with this value" in page.inner_text("main")
    assert "has no class map" in page.inner_text("main")
    page.keyboard.press("+")
    until(page, "document.getElementById('scale').textContent !== ''")
    assert barriers(page) == []
    page.keyboard.press("ArrowRight")
    page.wait_for_url(re.compile(rf"/cells/(?!{cell_id}\b)"))
    shown = int(re.search(r"/cells/(\d+)", page.url)[1])
    page.keyboard.press("b")
    page.wait_for_url(re.compile(r"done="))
    assert "is now called blast" in page.inner_text("main")
    page.keyboard.press("z")
    page.wait_for_url(f"**/cells/{shown}?**")
    assert "took a step back: normal again" in page.inner_text(".history")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/cases/{case_id}?**")
    page.wait_for_selector(f"[aria-activedescendant=cell-{shown}]")
    assert page.locator(".tile.here").is_visible()


def drop(page, files: list[tuple[str, bytes]]) -> None:
    page.evaluate(
        """files => {
            const transfer = new DataTransfer();
            for (const [name, data] of files) {
                const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0));
                transfer.items.add(new File([bytes], name));
            }
            const how = { dataTransfer: transfer, bubbles: true, cancelable: true };
            document.body.dispatchEvent(new DragEvent('drop', how));
        }""",
        [[name, base64.b64encode(data).decode()] for name, data in files],
    )


@pytest.fixture(scope="module")
def small(tiny_cohort):
    """Cells as PNG: a tenth of the bytes."""
    from PIL import Image as Picture

    found = []
    for path in sorted(tiny_cohort.rglob("UID_*.bmp"))[:6]:
        stream = io.BytesIO()
        Picture.open(path).save(stream, "PNG")
        found.append((path.with_suffix(".png").name, stream.getvalue()))
    return found


def test_a_case_is_made_and_filled_in_one_go_and_filled_on_later(page, live, small):
    page.goto(f"{live.address}/cases/new")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("cells/" + small[2][0], small[2][1])
    drop(
        page,
        [
            *small[:2],
            (f"again-{small[0][0]}", small[0][1]),
            ("broken.png", b"PNG"),
            ("more.zip", archive.getvalue()),
        ],
    )
    until(page, "document.getElementById('collected').textContent.includes('5 files')")
    assert barriers(page) == []
    page.get_by_role("button", name="Make the case").click()
    until(
        page, "document.getElementById('form-said').textContent !== '' || document.querySelector(':invalid')"
    )
    page.get_by_label("Pseudonym").fill("Anna Meier")
    page.get_by_role("button", name="Make the case").click()
    until(page, "document.getElementById('form-said').textContent.includes('is no pseudonym here')")
    page.get_by_label("Pseudonym").fill("P-DROP")
    page.get_by_role("button", name="Make the case").click()
    page.wait_for_url(re.compile(r"/cases/\d+"))
    page.wait_for_selector("#gallery")
    case_id = int(re.search(r"/cases/(\d+)", page.url)[1])
    assert sum(called(live, case_id).values()) == 3
    assert "1 of 4 files were not taken" in page.inner_text("main") and "broken.png" in page.inner_html(
        "main"
    )
    drop(page, small[:2])
    until(page, "document.getElementById('sent-words').textContent.includes('in the case already')")
    drop(page, small)
    page.wait_for_selector("#gallery")
    until(page, "!document.getElementById('sending').checkVisibility()")
    until(page, "document.querySelectorAll('#canvas .tile').length > 0")
    with live.room.database.read() as session:
        assert len(list(session.scalars(select(Image).where(Image.case_id == case_id)))) == 7
    assert page.failures == []


def test_of_a_folder_the_images_are_taken(page, live, small, tmp_path):
    (tmp_path / "inner").mkdir()
    for number, (name, data) in enumerate(small[:3]):
        (tmp_path / ("inner" if number else "") / name).write_bytes(data)
    for name in ("notes.txt", "inner/.hidden.png"):
        (tmp_path / name).write_bytes(b"x")
    page.goto(f"{live.address}/cases/new")
    page.locator("#folder").set_input_files(tmp_path)
    until(page, "document.getElementById('collected').textContent.startsWith('3 files')")
    assert "2 files that are no images by their names are left out" in page.inner_text("#collected")


def test_what_broke_off_is_gone_on_with(page, live, small, signer):
    room = live.room
    with room.database.write() as session:
        case_id = make_case(
            session,
            signer,
            subject_id="P-BREAK",
            team_id=1,
            bundle=room.bundle_row(),
            operating_point=room.operating_point,
        ).case_id
    page.goto(f"{live.address}/cases/{case_id}")
    page.route(
        "**/files", lambda route: route.fulfill(status=503, body="<p class='said'>the disk is full</p>")
    )
    drop(page, small[:3])
    until(page, "document.getElementById('sent-words').textContent.includes('The disk is full')")
    assert "0 of 3 files are safe" in page.inner_text("#sent-words")
    page.unroute("**/files")
    page.get_by_role("button", name="Go on").click()
    page.wait_for_selector("#gallery")
    assert sum(called(live, case_id).values()) == 3


def test_the_worklist_refreshes_under_the_hand_and_is_searched_and_sorted(page, live, signer):
    room = live.room
    with room.database.write() as session:
        for number in range(60):
            fields = {"priority": "urgent" if number == 7 else "routine", "subject_id": f"W-{number}"}
            point = room.operating_point
            made = {"team_id": 1, "bundle": room.bundle_row(), "operating_point": point}
            make_case(session, signer, **fields, **made)
    page.goto(f"{live.address}/")
    page.locator("#by-priority").click()
    assert page.locator("tbody th").first.inner_text() == "W-7"
    page.locator("#by-state").focus()
    with room.database.write() as session:
        make_case(session, signer, subject_id="W-LATE", priority="urgent", **made)
    until(page, "document.querySelector('tbody th').textContent.includes('W-LATE')")
    assert page.evaluate("document.activeElement.id") == "by-state"
    page.locator("#page-after").click()
    page.wait_for_url("**page=2**")
    assert "page 2 of 2" in page.inner_text(".pages")
    page.get_by_label("Search").fill("w-5")
    until(page, "document.querySelectorAll('tbody tr').length === 11")
    assert page.evaluate("document.activeElement.id") == "text"
    assert barriers(page) == []
