"""Photographs of smears in a room: received, looked through once, their cells counted apart and settled."""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest
from sqlalchemy import func, select
from tests.review.conftest import new_case
from tests.review.pdf_text import pages_of
from tests.review.test_learning import export_of, unpacked
from tests.review.test_work import act, approve_all, sign_it

from leukoscope.cells.decode import decode
from leukoscope.cells.photograph import Drawn
from leukoscope.cells.scale import Scale
from leukoscope.cells.segmentation.found import is_cell
from leukoscope.cohort.manifest import Manifest
from leukoscope.cohort.smears import SmearSettings, cells_of
from leukoscope.cohort.synthetic_smear import synthesize_smear
from leukoscope.errors import UsageError
from leukoscope.review.reports.document import canonical
from leukoscope.review.reports.sections import sections
from leukoscope.review.services import gallery, jobs, looking
from leukoscope.review.services.cases import images_of
from leukoscope.review.services.decisions import approve, decide
from leukoscope.review.services.differential import by_photograph, differential
from leukoscope.review.services.intake import TWICE, add_images, count_unsegmented, known_files, last_kind
from leukoscope.review.services.jobs import Worker
from leukoscope.review.services.photographs import cuts_of, photographs_of, reason
from leukoscope.review.services.places import Places, surroundings_of
from leukoscope.review.services.receiving import received
from leukoscope.review.services.reports import current_report, rendered
from leukoscope.review.services.reviewed import approved_in_bulk
from leukoscope.review.services.signing import blocking
from leukoscope.review.services.uploads import UploadLimits
from leukoscope.review.settings import change_room_settings
from leukoscope.review.store.derived import Derived
from leukoscope.review.store.tables import Case, Cell, Cut, Image, Job, Photograph


def png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image[:, :, ::-1])[1].tobytes()


@cache
def field(seed: int = 0, **more) -> bytes:
    """A small field with six white cells, two of them a touching pair."""
    wanted = {"width": 600, "height": 450, "white_cells": 4, "red_cells": 16, "platelets": 3, **more}
    return png(synthesize_smear(seed=seed, **wanted).image)


@pytest.fixture(scope="module")
def smear() -> bytes:
    return field()


def send(room, case_id, files, *, kind="photograph", limits=None, **more) -> list[Image]:
    limits = limits or UploadLimits()
    came = [
        one for name, data in files for one in received(name, io.BytesIO(data), room.images, limits, kind)
    ]
    with room.database.write() as session:
        return add_images(session, room.signer, case_id, came, **more)


def cells_in(room, case_id) -> list[Cell]:
    with room.database.read() as session:
        return list(session.scalars(select(Cell).where(Cell.case_id == case_id).order_by(Cell.position)))


def only_photograph(room, case_id) -> Photograph:
    with room.database.read() as session:
        (found,) = photographs_of(session, case_id)
        return found


# Received


def test_a_photograph_is_kept_without_loss_and_is_no_cell(room, smear):
    case_id = new_case(room)
    (image,) = send(room, case_id, [("field.png", smear)])
    assert (room.images.photograph(image.stored_sha256) == decode(smear)).all()
    assert (room.images.pixels(image.stored_sha256) == decode(smear)).all()
    assert (image.kind, image.width, image.height, image.reason) == ("photograph", 600, 450, None)
    with room.database.read() as session:
        assert jobs.unread(session, case_id) == [] and last_kind(session, case_id) == "photograph"
        assert (session.scalars(select(Job)).one().num_photographs) == 1
    assert list((room.images._desk).iterdir()) == []


def test_what_is_obviously_sent_as_the_other_kind_is_refused_and_taken_as_the_right_one(room, cells, smear):
    case_id, large = new_case(room), field(width=1300, height=800)
    (wrong,) = send(room, case_id, cells[:1])
    (large_wrong,) = send(room, case_id, [("large.png", large)], kind="cell")
    assert "single cell on black" in wrong.reason and "photograph of a smear" in large_wrong.reason
    with room.database.read() as session:
        sha256s = [wrong.received_sha256, large_wrong.received_sha256]
        assert known_files(session, room.signer, case_id, sha256s, "cell") == sha256s[1:]
        assert known_files(session, room.signer, case_id, sha256s, "photograph") == sha256s[:1]
    (right,) = send(room, case_id, cells[:1], kind="cell")
    (large_right,) = send(room, case_id, [("large.png", large)])
    assert right.reason is None and large_right.reason is None


def test_the_same_photograph_twice_is_read_once_and_two_of_one_name_are_told_apart(room, smear):
    case_id = new_case(room)
    send(room, case_id, [("field.png", smear), ("again.png", smear), ("field.png", field(1))])
    with room.database.read() as session:
        assert [image.reason for image in images_of(session, case_id)] == [None, TWICE, None]
        assert [one.name for one in photographs_of(session, case_id)] == ["field.png", "field.png (2)"]


@pytest.mark.parametrize(
    ("data", "limits", "said"),
    [
        (b"not an image", {}, "expected PNG"),
        (b"", {}, "zero bytes"),
        (None, {"max_photograph_pixels": 1000}, "at most 1,000 pixels"),
        (None, {"max_photograph_bytes": 1000}, "at most 1,000 bytes"),
    ],
)
def test_a_photograph_that_cannot_be_taken_is_listed_with_its_reason(room, smear, data, limits, said):
    case_id = new_case(room)
    sent = [("x.png", smear if data is None else data)]
    (image,) = send(room, case_id, sent, limits=UploadLimits(**limits))
    assert said in image.reason and image.stored_sha256 is None
    with room.database.read() as session:
        assert photographs_of(session, case_id) == []


def test_a_photograph_cut_short_is_refused(room, smear):
    (image,) = send(room, new_case(room), [("x.png", smear[: len(smear) // 2])])
    assert image.reason and image.stored_sha256 is None


def test_a_zip_of_photographs_gives_each_of_them(room, smear, cells):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in (("a/one.png", smear), ("two.png", field(1)), (cells[0][0], cells[0][1])):
            archive.writestr(name, data)
    images = send(room, new_case(room), [("smears.zip", packed.getvalue())])
    assert [(image.name, image.kind) for image in images[:2]] == [
        ("one.png", "photograph"),
        ("two.png", "photograph"),
    ]
    assert [image.reason is None for image in images] == [True, True, False]


def test_a_small_photograph_that_was_sent_as_a_cell_is_pointed_out(room, read_case, smear):
    with room.database.read() as session:
        assert count_unsegmented(session, read_case) == 0
    send(room, read_case, [("field.png", smear)], kind="cell")
    assert room.worker.work_once()
    with room.database.read() as session:
        assert count_unsegmented(session, read_case) == 1
        wrong = session.scalars(select(Cell).where(Cell.reason == "quality: not-segmented")).one()
    act(room, decide, read_case, [wrong.cell_id], "rejected")
    with room.database.read() as session:
        assert count_unsegmented(session, read_case) == 0
    (right,) = send(room, read_case, [("field.png", smear)])
    assert right.reason is None


def test_a_size_of_pixels_that_cannot_be_is_refused(room, smear):
    with pytest.raises(UsageError, match="micrometres per pixel"):
        send(room, new_case(room), [("x.png", smear)], pixel_size=40.0)


# Looked through


@pytest.mark.parametrize("treatment", [{}, {"flat_field": True, "normalise": "reinhard"}])
def test_its_cells_are_those_that_the_same_code_finds(room, smear, treatment):
    with room.database.write() as session:
        change_room_settings(session, room.administrator, treatment)
    case_id = new_case(room)
    send(room, case_id, [("field.png", smear)], pixel_size=0.1)
    assert room.worker.work_once()
    photograph, cells = only_photograph(room, case_id), cells_in(room, case_id)
    settings = SmearSettings(**photograph.settings)
    assert settings == SmearSettings(pixel_size=0.1, **treatment)
    scale = photograph.micrometres_per_pixel, photograph.scale_source
    assert scale == (0.1, "given")
    found = [one for one in cells_of(decode(smear), Scale(*scale), settings) if is_cell(one.cell.flags)]
    assert len(found) == photograph.num_cells == len(cells) >= 6
    with room.database.read() as session:
        cuts = cuts_of(session, photograph.photograph_id)
        for number, (one, (cut, cell)) in enumerate(zip(found, cuts, strict=True), start=1):
            assert (room.images.pixels(cut.image.stored_sha256) == one.image).all()
            assert (cut.number, tuple(cut.box), cut.outline) == (
                number,
                one.cell.box,
                one.cell.outline.tolist(),
            )
            assert cut.flags == ",".join(one.cell.flags) and cell.photograph == "field.png"
            assert cell.row["box_x"] == cut.box[0] and (cell.row["flags"] or "") == cut.flags
            assert (cell.reason or "").startswith("not a") == bool(one.cell.why_not_judged)
        assert session.get(Case, case_id).state == "to review"


def test_a_photograph_without_cells_and_one_that_is_lost_are_listed_with_their_reasons(room):
    case_id = new_case(room)
    empty = png(np.full((400, 500, 3), 235, np.uint8))
    images = send(room, case_id, [("empty.png", empty), ("lost.png", field(3))])
    room.images.path(images[1].stored_sha256).write_bytes(b"something else")
    assert room.worker.work_once()
    with room.database.read() as session:
        reasons = {one.name: reason(one) for one in photographs_of(session, case_id)}
        assert session.get(Case, case_id).state == "new"
        assert session.scalars(select(Job)).one().state == "done"
    assert reasons["empty.png"] == "no white cell was found in it"
    assert "hash differs" in reasons["lost.png"]
    again = send(room, case_id, [("empty.png", empty), ("lost.png", field(3))])
    assert [image.reason for image in again] == [TWICE, None]


def test_a_scale_by_others_is_that_of_the_first_that_needed_it(room):
    """Fields without red cells beside some that show few: alone none of them says how large a pixel is."""
    few = [(f"few_{seed}.png", field(seed, red_cells=6)) for seed in range(5)]
    none = [(f"none_{seed}.png", field(seed, red_cells=0)) for seed in (11, 12)]
    case_id = new_case(room)
    send(room, case_id, [*none[:1], *few[:3]])
    assert room.worker.work_once()
    send(room, case_id, [*few[3:], *none[1:]])
    assert room.worker.work_once()
    with room.database.read() as session:
        scales = {one.name: one for one in photographs_of(session, case_id)}
    first, later = scales["none_11.png"], scales["none_12.png"]
    assert first.scale_source == later.scale_source == "other-photographs"
    told = [(one.micrometres_per_pixel, one.num_red_cells) for one in (first, later)]
    assert told[0] == told[1] and told[0][0] == pytest.approx(0.1, rel=0.1)


@pytest.mark.parametrize("after", ["_look_through", "_keep"])
def test_a_worker_that_dies_amid_a_photograph_leaves_exactly_its_cells(room, smear, monkeypatch, after):
    monkeypatch.setattr(jobs, "CHUNK", 2)
    case_id = new_case(room)
    send(room, case_id, [("field.png", smear), ("other.png", field(1))])
    dying, done = Worker(room.database, room.bundles, room.images), getattr(Worker, after)

    def then_die(self, *given):
        assert done(self, *given)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Worker, after, then_die)
        dying.work_once()
    with room.database.write() as session:
        jobs.take_up_again(session)
    assert room.worker.work_once()
    exactly_its_cells(room, case_id)


def test_a_worker_that_dies_before_its_cuts_are_kept_leaves_none_of_them(room, smear, monkeypatch):
    case_id = new_case(room)
    send(room, case_id, [("field.png", smear)])
    dying = Worker(room.database, room.bundles, room.images)

    def die(*_given):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(jobs, "note", die)
        dying.work_once()
    with room.database.write() as session:
        assert session.scalar(select(func.count()).select_from(Cut)) == 0
        jobs.take_up_again(session)
    assert room.worker.work_once()
    exactly_its_cells(room, case_id)


def exactly_its_cells(room, case_id) -> None:
    with room.database.read() as session:
        for photograph in photographs_of(session, case_id):
            pairs = cuts_of(session, photograph.photograph_id)
            assert [cut.number for cut, _ in pairs] == list(range(1, photograph.num_cells + 1))
            assert all(cell is not None for _, cell in pairs) and photograph.num_cells
        read = Counter(session.scalars(select(Cell.image_id).where(Cell.case_id == case_id)))
        assert set(read.values()) == {1}
        job = session.scalars(select(Job)).one()
        assert (job.num_done, job.num_photographs_done) == (len(read), len(photographs_of(session, case_id)))
        assert job.num_all == job.num_done and job.num_photographs == job.num_photographs_done


def test_a_photograph_that_ends_its_process_each_time_is_given_up_and_the_others_are_read(room, smear):
    case_id = new_case(room)
    send(room, case_id, [("deadly.png", smear), ("field.png", field(1))])
    with room.database.write() as session:
        session.scalars(select(Job)).one().num_attempts = jobs.MOST_ATTEMPTS
    assert room.worker.work_once()
    with room.database.read() as session:
        deadly, fine = photographs_of(session, case_id)
        assert "ended 5 times" in deadly.problem and fine.problem is None and fine.num_cells
        assert session.scalars(select(Job)).one().state == "done"


def test_a_case_goes_on_as_it_was_first_read(room, smear):
    case_id = new_case(room)
    send(room, case_id, [("field.png", smear)])
    usual = only_photograph(room, case_id).settings["flat_field"]
    with room.database.write() as session:
        change_room_settings(session, room.administrator, {"flat_field": not usual})
    send(room, case_id, [("more.png", field(1))])
    other = new_case(room)
    send(room, other, [("field.png", smear)])
    with room.database.read() as session:
        assert [one.settings["flat_field"] for one in photographs_of(session, case_id)] == [usual, usual]
    assert only_photograph(room, other).settings["flat_field"] is not usual


# Counted apart, and settled


@pytest.fixture
def mixed(room, smear, monkeypatch) -> int:
    """A case with a photograph in which two cells are lobed, one is cut by the edge, others neither."""
    finding = looking.cells_of
    flags = iter([("lobed",), ("edge",), ("lobed",)])

    def flagged(*given, **more):
        for one in finding(*given, **more):
            plain = replace(one.cell, flags=()) if one.cell.is_cell else one.cell
            yield one._replace(cell=replace(plain, flags=next(flags, ())) if plain.is_cell else plain)

    monkeypatch.setattr(looking, "cells_of", flagged)
    case_id = new_case(room)
    send(room, case_id, [("field.png", smear)])
    assert room.worker.work_once()
    return case_id


def test_what_is_no_lymphoid_or_no_single_cell_is_in_no_percentage_and_counted_apart(room, mixed):
    cells = cells_in(room, mixed)
    num = len(cells)
    assert [cell.apart for cell in cells[:3]] == ["not lymphoid", "not single", "not lymphoid"]
    assert [cell.decision for cell in cells[:3]] == ["indeterminate"] * 3
    assert cells[0].reason == "not a lymphoid cell: lobed" and cells[0].blast_probability is not None
    with room.database.read() as session:
        read, alone = differential(session, mixed), by_photograph(session, mixed)["field.png"]
    for share in (read.by_model, read.after_review):
        assert (share.num_not_lymphoid, share.num_not_single) == (2, 1)
        assert share.num_blast + share.num_normal + share.num_indeterminate == num - 3
    assert alone == read
    act(room, decide, mixed, [cells[0].cell_id], "blast")
    act(room, decide, mixed, [cells[1].cell_id], "rejected")
    with room.database.read() as session:
        after = differential(session, mixed).after_review
    assert (after.num_not_lymphoid, after.num_not_single, after.num_rejected) == (1, 0, 1)
    assert after.num_blast == read.after_review.num_blast + 1


def test_what_was_set_aside_is_confirmed_in_bulk_and_nothing_else_with_it(room, mixed):
    cells = cells_in(room, mixed)
    with room.database.write() as session:  # one of the others was left open by the model
        left = session.get_one(Cell, cells[3].cell_id)
        left.decision = left.model_decision = "indeterminate"
        left.reason = "between thresholds"
    with room.database.read() as session:
        blocks = blocking(session, session.get_one(Case, mixed))
        parts = gallery.parts(session, mixed, gallery.View("indeterminate"))
        ids = gallery.cell_ids(session, mixed, gallery.View("indeterminate", apart="not lymphoid"))
    said = {block.apart: block.words for block in blocks if "indeterminate" in block.tabs}
    assert said["not lymphoid"] == "2 cells set aside as not lymphoid are not confirmed"
    assert said["not single"] == "1 cell set aside as not single is not confirmed"
    assert "not settled" in said["others"]
    assert parts["not lymphoid"] == (2, 2) and set(ids) == {cells[0].cell_id, cells[2].cell_id}
    assert act(room, approve, mixed, "indeterminate", apart="not lymphoid")
    after = cells_in(room, mixed)
    seen = [cell.cell_id for cell in after if cell.reviewed_at is not None]
    assert set(seen) == set(ids)
    assert {cell.decision for cell in after if cell.cell_id in ids} == {"indeterminate"}
    with room.database.read() as session:
        assert set(session.scalars(approved_in_bulk())) == set(ids)
    assert act(room, approve, mixed, "indeterminate", apart="others")
    waiting = [cell for cell in cells_in(room, mixed) if cell.reviewed_at is None]
    assert {cell.apart for cell in waiting if cell.decision == "indeterminate"} == {"not single"}
    with pytest.raises(UsageError, match="expected a part"):
        act(room, approve, mixed, "indeterminate", apart="neutrophil")


def test_cells_that_came_cut_out_have_no_parts(room, read_case):
    with room.database.read() as session:
        assert gallery.parts(session, read_case, gallery.View("indeterminate")) == {}
        assert differential(session, read_case).by_model.num_not_lymphoid == 0


# What becomes of it


def test_the_report_names_photographs_their_scale_and_what_was_set_aside(room, mixed):
    approve_all(room, mixed)
    sign_it(room, mixed)
    with room.database.read() as session:
        report = current_report(session, room.signer, mixed, room.bundles.open)
    (smear,) = report.content["smears"]
    photograph = only_photograph(room, mixed)
    assert smear["name"] == "field.png" and smear["received_sha256"] == photograph.image.received_sha256
    assert smear["micrometres_per_pixel"] == photograph.micrometres_per_pixel
    assert smear["flags"]["lobed"] == 2 and smear["num_cells"] == photograph.num_cells
    assert [image["kind"] for image in report.content["images"]] == ["photograph"]
    cells = cells_in(room, mixed)
    assert [cell["apart"] for cell in report.content["cells"]] == [cell.apart for cell in cells]
    assert all(len(cell["box"]) == 4 for cell in report.content["cells"])
    assert report.sha256 and canonical(report.content)
    for text in (
        " ".join(" ".join(pages_of(rendered(report, "pdf", room.images))).split()),
        rendered(report, "html", room.images).decode(),
    ):
        assert "field.png" in text and "2 lobed" in text and "Not lymphoid" in text
        assert f"{photograph.micrometres_per_pixel:.4f}" in text


def test_a_report_that_was_signed_before_there_were_photographs_is_still_drawn(room, read_case):
    approve_all(room, read_case)
    report = sign_it(room, read_case).report
    old = {name: value for name, value in report.items() if name != "smears"} | {"schema_version": 1}
    old["images"] = [{name: one[name] for name in one if name != "kind"} for one in old["images"]]
    for both in (old["differential"], *old["photographs"].values()):
        for share in both.values():
            del share["num_not_lymphoid"], share["num_not_single"]
    titles = [section.title for section in sections(old, "0" * 64)]
    assert "Differential" in titles and "Photographs of smears" not in titles


def test_reviewed_cells_go_along_with_their_photograph_and_box(room, mixed, tmp_path):
    cells = cells_in(room, mixed)
    act(room, decide, mixed, [cell.cell_id for cell in cells[:2]], "blast")
    act(room, decide, mixed, [cell.cell_id for cell in cells[2:4]], "normal")
    manifest = Manifest.read(unpacked(room, export_of(room), tmp_path / "out"))
    rows = {row["cell_id"]: row for row in manifest.frame.to_dicts()}
    with room.database.read() as session:
        cuts = {cell.cell_id: cut for cut, cell in cuts_of(session, cells_photograph(session, mixed))}
    for cell in cells[:4]:
        row, cut = rows[f"case-{mixed}-cell-{cell.cell_id}"], cuts[cell.cell_id]
        assert row["photograph"] == row["photograph_id"] == "field.png" and (row["flags"] or "") == cut.flags
        assert [row[f"box_{name}"] for name in ("x", "y", "width", "height")] == cut.box
        assert row["micrometres_per_pixel"] == 0.05


def cells_photograph(session, case_id) -> int:
    return session.scalars(select(Photograph.photograph_id).where(Photograph.case_id == case_id)).one()


# Where cells lie


def shown(jpeg: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB).astype(int)


def test_the_surroundings_show_the_photograph_around_the_cell_and_its_outline(room, smear, tmp_path):
    derived = Derived(tmp_path / "derived")
    case_id = new_case(room)
    send(room, case_id, [("field.png", smear)])
    assert Worker(room.database, room.bundles, room.images, derived).work_once()
    made = {path.parent.parent.name for path in (tmp_path / "derived").rglob("*") if path.is_file()}
    assert made == {"overviews", "surroundings", "thumbnails"}
    photograph, places = only_photograph(room, case_id), Places(room.images, derived)
    image, sha256 = decode(smear), photograph.image.stored_sha256
    with room.database.read() as session:
        drawn = [(cut.box, cut.outline) for cut, _ in cuts_of(session, photograph.photograph_id)]
    box, outline = drawn[0]
    one = Drawn(np.array(outline), ())
    lined = shown(places.surroundings(sha256, (600, 450), box, one, []))
    view = surroundings_of(box, 600, 450)
    part = image[view.y : view.y + view.height, view.x : view.x + view.width]
    plain = cv2.resize(part, lined.shape[1::-1], interpolation=cv2.INTER_CUBIC).astype(int)
    differs = np.abs(lined - plain).max(axis=2) > 60
    inside = np.zeros(differs.shape, np.uint8)
    cv2.polylines(inside, [np.rint(view.of(np.array(outline))).astype(np.int32)], True, 1, 9)
    assert differs.sum() > 50 and differs[inside == 0].mean() < 0.001
    whole = shown(places.overview(sha256, 600, [Drawn(np.array(outline), ()) for _, outline in drawn]))
    green = (np.abs(whole - (0, 150, 0)).max(axis=2) < 70).sum()
    assert whole.shape == image.shape and green > 500
