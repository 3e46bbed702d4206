"""A report says what the case is, in every form, and a signed one says it for good."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest
from sqlalchemy import select
from tests.review.conftest import new_case, upload
from tests.review.pdf_text import pages_of
from tests.review.test_signing import case, enter, judge, server  # noqa: F401 - fixtures
from tests.review.test_work import act, approve_all, cells_of, sign_it

from leukoscope.review.audit import head, verify
from leukoscope.review.auth.rights import Actor, NotFoundError
from leukoscope.review.reports.document import canonical, fingerprint
from leukoscope.review.reports.html import html
from leukoscope.review.reports.pdf import pdf
from leukoscope.review.reports.sections import MOST_PICTURES
from leukoscope.review.services.decisions import decide
from leukoscope.review.services.reference import UNKNOWN
from leukoscope.review.services.reports import (
    check_report,
    current_report,
    rendered,
    signed_report,
    versions,
)
from leukoscope.review.services.signing import reopen
from leukoscope.review.settings import change_room_settings
from leukoscope.review.store.tables import AuditEntry, Image, Signature

NOTICE = "Research use only. Not a medical device, not for diagnosis."


@pytest.fixture
def settled(room, cells) -> int:
    """A case with a file that was not taken and names of several scripts, reviewed by two people."""
    with room.database.write() as session:
        change_room_settings(session, room.administrator, {"laboratory": "Labor Grünwald"})
    case_id = new_case(room, subject_id="P-17", specimen="bone marrow <day 0>")
    named = [(f"клетка_ß_{place}_細胞.bmp", data) for place, (_, data) in enumerate(cells)]
    upload(room, case_id, [*named, ("broken.bmp", b"BM")])
    assert room.worker.work_once()
    judge(room, case_id)
    found = cells_of(room, case_id)
    act(room, decide, case_id, [found[0].cell_id], "normal")
    act(room, decide, case_id, [found[2].cell_id], "blast", actor=room.administrator)
    approve_all(room, case_id)
    return case_id


def report_of(room, case_id, number=None):
    with room.database.read() as session:
        if number:
            return signed_report(session, room.signer, case_id, number)
        return current_report(session, room.signer, case_id, room.bundles.open)


# The document


def test_the_document_counts_what_is_in_the_cells(room, settled):
    content = report_of(room, settled).content
    cells = cells_of(room, settled)
    for key, attribute in (("by_model", "model_decision"), ("after_review", "decision")):
        told, counted = content["differential"][key], Counter(getattr(cell, attribute) for cell in cells)
        kinds = ("blast", "normal", "indeterminate", "rejected")
        assert [told[f"num_{kind}"] for kind in kinds] == [counted[kind] for kind in kinds]
        assert told["fraction"] == pytest.approx(counted["blast"] / (counted["blast"] + counted["normal"]))
    assert content["differential_words"] == "share of judged cells called blast; not a blast count"
    assert content["laboratory"] == "Labor Grünwald" and content["notice"] == NOTICE
    assert [cell["cell_id"] for cell in content["cells"]] == [cell.cell_id for cell in cells]
    assert [cell["decision"] for cell in content["cells"]] == [cell.decision for cell in cells]
    people = {one["username"]: (one["num_cells"], one["num_in_bulk"]) for one in content["reviewers"]}
    assert people == {"sam": (11, 10), "ada": (1, 0)}
    refused = [image["name"] for image in content["images"] if image["reason"]]
    assert refused == ["broken.bmp"] and "signature" not in content
    assert content["reference"] == {"words": UNKNOWN, "kinds": []}
    assert content["model"]["operating_point"]["blast_from"] == 0.6


def test_the_json_is_what_was_signed_to_the_byte(room, settled):
    signature = sign_it(room, settled)
    data = rendered(report_of(room, settled), "json", room.images)
    assert hashlib.sha256(data).hexdigest() == signature.report_sha256
    assert fingerprint(json.loads(data)) == signature.report_sha256
    with room.database.read() as session:
        entry = session.scalars(select(AuditEntry).where(AuditEntry.action == "case signed")).one()
        assert entry.details["report_sha256"] == signature.report_sha256
        said = json.loads(data)["audit"]
        before = session.get_one(AuditEntry, said["number"])
        assert (before.entry_hash, before.number) == (said["entry_hash"], entry.number - 1)
        assert verify(session, [head(session)]) == []


def test_a_report_that_was_changed_in_the_database_is_found(room, settled):
    sign_it(room, settled)
    with room.database.read() as session:
        assert check_report(session, room.signer, settled, 1) == []
    with room.database.write() as session:
        signature = session.scalars(select(Signature)).one()
        signature.report = signature.report | {"laboratory": "elsewhere"}
    with room.database.read() as session:
        assert check_report(session, room.signer, settled, 1) == ["its content is not what was signed"]
    with room.database.write() as session:
        signature = session.scalars(select(Signature)).one()
        signature.report_sha256 = fingerprint(signature.report)
    with room.database.read() as session:
        assert check_report(session, room.signer, settled, 1) == [
            "the audit trail does not have its signature"
        ]


def test_old_reports_are_fetched_for_good_in_every_form(room, settled):
    first = sign_it(room, settled)
    kept = {form: rendered(report_of(room, settled), form, room.images) for form in ("json", "html", "pdf")}
    act(room, reopen, settled, "a cell was called wrongly")
    draft = report_of(room, settled)
    assert (
        draft.number is None and draft.content["earlier_reports"][0]["report_sha256"] == first.report_sha256
    )
    act(room, decide, settled, [cells_of(room, settled)[1].cell_id], "rejected")
    sign_it(room, settled)
    again = {form: rendered(report_of(room, settled, 1), form, room.images) for form in kept}
    assert again == kept
    assert report_of(room, settled).number == 2
    with room.database.read() as session:
        told = versions(session, room.signer, settled)
    assert [(one.number, one.reopened_by) for one in told] == [(1, "sam"), (2, None)]
    assert told[0].reopened_why == "a cell was called wrongly" and told[0].full_name == "Sam S."


def test_reports_are_for_those_who_see_the_case(room, settled):
    sign_it(room, settled)
    stranger = Actor(room.signer.user_id, "sam", "signer", frozenset(), room.signer.rights)
    with room.database.read() as session:
        for ask in (
            lambda: versions(session, stranger, settled),
            lambda: signed_report(session, stranger, settled, 1),
            lambda: current_report(session, stranger, settled, room.bundles.open),
            lambda: check_report(session, stranger, settled, 1),
            lambda: signed_report(session, room.signer, settled, 2),
        ):
            with pytest.raises(NotFoundError):
                ask()
    with pytest.raises(NotFoundError, match="no form"):
        rendered(report_of(room, settled), "docx", room.images)


# The PDF


def test_the_pdf_says_on_every_page_whose_it_is_and_what_it_is_not(room, settled):
    for signed in (False, True):
        if signed:
            sign_it(room, settled)
        report = report_of(room, settled)
        pages = pages_of(rendered(report, "pdf", room.images))
        for number, text in enumerate(pages, 1):
            lines = text.split("\n")
            assert NOTICE in lines and f"page {number} of {len(pages)}" in lines
            assert f"P-17 · case {settled}" in lines and "Labor Grünwald" in lines
            assert any(report.sha256 in line for line in lines)
            assert ("DRAFT, NOT SIGNED" in lines) is not signed


def test_the_pdf_holds_every_cell_with_its_words(room, settled):
    sign_it(room, settled)
    report = report_of(room, settled)
    text = "\n".join(pages_of(rendered(report, "pdf", room.images)))
    flat = text.replace("\n", "")
    for cell in report.content["cells"]:
        name = cell["name"].replace("細胞", r"\u7d30\u80de")
        assert name in flat
        assert f"{cell['blast_probability']:.3f}" in text
    for words in (
        "bone marrow <day 0>",
        "Sam S. (sam)",
        "broken.bmp",
        "blast → normal",
        "This model's bundle does",
    ):
        assert words in text, words
    read = report.content["differential"]["after_review"]
    assert f"{100 * read['fraction']:.1f} %" in text and "not a blast count" in text


def test_the_pdf_of_a_signed_report_is_the_same_every_time(room, settled):
    sign_it(room, settled)
    report = report_of(room, settled)
    assert rendered(report, "pdf", room.images) == rendered(report, "pdf", room.images)


def invented(template: dict, num: int) -> dict:
    """The document of a case of so many cells."""
    cells = [
        template["cells"][0]
        | {"cell_id": place, "name": f"cell_{place:05}.bmp", "photograph": f"photograph {place % 7}"}
        | {"model_decision": "blast", "decision": "normal" if place % 50 == 0 else "blast", "reason": None}
        for place in range(num)
    ]
    return template | {"cells": cells}


def test_thousands_of_rows_are_each_there_once_and_the_head_on_every_page(room, settled):
    report = invented(report_of(room, settled).content, 1500)
    drawn = []
    pages = pages_of(pdf(report, "0" * 64, drawn.append))
    assert len(drawn) == MOST_PICTURES
    start = next(number for number, text in enumerate(pages) if "All cells" in text.split("\n"))
    table = pages[start:]
    table[0] = table[0].split("All cells\n")[1]
    names = Counter(re.findall(r"^cell_\d{5}\.bmp$", "\n".join(table), re.MULTILINE))
    assert set(names.values()) == {1} and len(names) == 1500
    full = [text for text in table if re.search(r"^cell_\d{5}\.bmp$", text, re.MULTILINE)]
    assert len(full) > 10 and all("Photograph" in text.split("\n") for text in full)
    assert "the first 300 are shown" in "\n".join(pages).replace("\n", " ")


def test_a_picture_that_is_gone_is_said_to_be_gone(room, settled):
    sign_it(room, settled)
    with room.database.read() as session:
        for sha256 in session.scalars(select(Image.stored_sha256).where(Image.stored_sha256.is_not(None))):
            room.images.path(sha256).unlink(missing_ok=True)
    report = report_of(room, settled)
    assert "picture not there" in "\n".join(pages_of(rendered(report, "pdf", room.images)))
    assert b"picture not there" in rendered(report, "html", room.images)


# The HTML


class Reader(HTMLParser):
    """Addresses, and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses, self.words, self.tags = [], [], Counter()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.addresses += [value for name, value in attrs if name in ("src", "href", "data", "action")]

    def handle_data(self, data):
        self.words.append(data.strip())


def test_the_html_file_opens_without_anything_else(room, settled):
    sign_it(room, settled)
    page = Reader(rendered(report_of(room, settled), "html", room.images).decode())
    assert page.addresses and all(address.startswith("data:image/jpeg;base64,") for address in page.addresses)
    assert page.tags["script"] == page.tags["link"] == 0
    assert {"bone marrow <day 0>", NOTICE, "клетка_ß_3_細胞.bmp"} <= set(page.words)


def test_every_form_says_the_same(room, settled):
    report = report_of(room, settled)
    page = Reader(rendered(report, "html", room.images).decode())
    text = "\n".join(pages_of(rendered(report, "pdf", room.images))).replace("\n", "").replace(" ", "")
    words = [word for word in page.words if word and "{" not in word and "細" not in word]
    missing = [word for word in words if re.sub(r"\s", "", word) not in text and len(word) < 60]
    assert [word for word in missing if not word.startswith("Report (draft)")] == []


def test_what_people_type_is_never_code(room, settled):
    report = report_of(room, settled)
    content = report.content | {"laboratory": "<script>alert(1)</script>"}
    text = html(content, report.sha256, lambda sha256: None).decode()
    assert "<script>alert" not in text and "&lt;script&gt;alert(1)" in text
    assert "<script>alert(1)</script>" in "\n".join(
        pages_of(pdf(content, report.sha256, lambda sha256: None))
    )


def test_canonical_json_does_not_depend_on_the_order_of_keys():
    assert (
        canonical({"b": [1.5, None], "a": "ß"})
        == canonical({"a": "ß", "b": [1.5, None]})
        == b'{"a":"\xc3\x9f","b":[1.5,null]}'
    )


# The pages


def test_the_page_shows_the_report_and_files_of_every_version(server, case):  # noqa: F811
    room: SimpleNamespace = server.room
    approve_all(room, case)
    enter(server, "sam")
    draft = server.get(f"/cases/{case}/report")
    assert "This is a draft" in draft.text and "Draft, not signed" in draft.text
    assert server.get(f"/cases/{case}/reports/1.pdf").status_code == 404
    signature = sign_it(room, case)
    page = server.get(f"/cases/{case}/report").text
    assert "This is a draft" not in page and "does not hold" not in page
    assert "Demonstration model: for trying the software" in page and NOTICE in page
    assert "broken.bmp" in page and signature.report_sha256 in page
    assert re.search(r"<td>healthy people</td><td[^>]*>3</td><td[^>]*>2.0 %</td>", page)
    files = set(re.findall(rf'href="(/cases/{case}/reports/1\.\w+)"', page))
    assert files == {f"/cases/{case}/reports/1.{form}" for form in ("pdf", "html", "json")}
    for file in files:
        answer = server.get(file)
        named = f'attachment; filename="leukoscope-case-{case}-report-1.{file.rsplit(".")[-1]}"'
        assert answer.status_code == 200 and answer.headers["content-disposition"] == named
    current = server.get(f"/cases/{case}/report.json")
    assert hashlib.sha256(current.content).hexdigest() == signature.report_sha256
    assert server.get(f"/cases/{case}/report.docx").status_code == 404


def test_a_case_without_a_cell_has_a_draft_and_cannot_be_signed(server):  # noqa: F811
    enter(server, "sam")
    case_id = new_case(server.room)
    assert "no cell was read" in server.get(f"/cases/{case_id}/sign").text
    assert "Draft, not signed" in server.get(f"/cases/{case_id}/report").text
    for form in ("pdf", "html", "json"):
        assert server.get(f"/cases/{case_id}/report.{form}").status_code == 200


def test_a_report_that_does_not_hold_is_called_so(server, case):  # noqa: F811
    approve_all(server.room, case)
    sign_it(server.room, case)
    with server.room.database.write() as session:
        signature = session.scalars(select(Signature)).one()
        signature.report = signature.report | {"laboratory": "elsewhere"}
    enter(server, "sam")
    assert (
        "This report does not hold: its content is not what was signed"
        in server.get(f"/cases/{case}/report").text
    )
