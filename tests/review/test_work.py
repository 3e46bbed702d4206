"""A case from its files to a signed report, and what may not happen on the way."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import func, select
from tests.review.conftest import new_case, upload

from leukoscope.cells.decode import decode
from leukoscope.errors import UsageError
from leukoscope.review.audit import head, verify
from leukoscope.review.auth.rights import ForbiddenError, NotFoundError
from leukoscope.review.reports.document import fingerprint
from leukoscope.review.services import jobs
from leukoscope.review.services.cases import Filter, count_states, images_of, worklist
from leukoscope.review.services.decisions import approve, decide, history, undo
from leukoscope.review.services.differential import differential
from leukoscope.review.services.intake import TWICE, ConflictError, read_again
from leukoscope.review.services.jobs import Worker
from leukoscope.review.services.signing import last_signature, reopen, sign, what_blocks
from leukoscope.review.services.uploads import UploadError, UploadLimits, members, receive
from leukoscope.review.store.tables import Case, Cell, Image, Job, User


def state(room, case_id) -> str:
    with room.database.read() as session:
        return session.get_one(Case, case_id).state


def cells_of(room, case_id) -> list[Cell]:
    with room.database.read() as session:
        return list(session.scalars(select(Cell).where(Cell.case_id == case_id).order_by(Cell.position)))


def act(room, what, *given, actor=None, **more):
    with room.database.write() as session:
        return what(session, actor or room.signer, *given, **more)


# Files


def test_what_is_kept_is_the_pixels_that_came(room, cells):
    case_id = new_case(room)
    upload(room, case_id, [*cells, ("broken.bmp", b"BMnothing"), ("notes.txt", b"hello"), cells[0]])
    with room.database.read() as session:
        images = images_of(session, case_id)
    for image, (_, data) in zip(images, cells, strict=False):
        assert (room.images.pixels(image.stored_sha256) == decode(data)).all()
    reasons = [image.reason for image in images]
    assert reasons[:12] == [None] * 12 and reasons[-1] == TWICE
    assert all(reason and reason != TWICE for reason in reasons[12:14])
    assert state(room, case_id) == "running"


def zip_of(files, **more) -> io.BytesIO:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return stream


def test_a_zip_gives_its_images_and_nothing_else(cells):
    files = [
        ("a/b/" + cells[0][0], cells[0][1]),
        ("__MACOSX/x.bmp", b"x"),
        ("read.me", b"x"),
        (".h.bmp", b""),
    ]
    assert list(members(zip_of(files), UploadLimits())) == [files[0]]


@pytest.mark.parametrize(
    ("files", "limits", "said"),
    [
        ([("../../etc/x.bmp", b"x")], {}, "a place outside"),
        ([("/etc/x.bmp", b"x")], {}, "a place outside"),
        ([("a/" * 20 + "x.bmp", b"x")], {}, "too deep"),
        ([(f"{n}.bmp", b"x") for n in range(9)], {"max_files": 8}, "9 images, at most 8"),
        ([("bomb.bmp", bytes(5_000_000))], {}, "unpacks to more"),
        ([("big.bmp", bytes(range(256)) * 100)], {"max_bytes": 1000}, "unpacks to more"),
        ([("x.bmp", b"x")], {"max_zip_bytes": 10}, "at most 10"),
    ],
)
def test_a_zip_that_is_made_to_do_harm_is_refused(files, limits, said):
    with pytest.raises(UploadError, match=said):
        list(members(zip_of(files), UploadLimits(**limits)))


def test_what_is_no_zip_is_refused():
    with pytest.raises(UploadError, match="cannot be read"):
        list(members(io.BytesIO(b"PK\x03\x04 and then nothing"), UploadLimits()))


def test_an_image_of_too_many_pixels_is_not_unpacked(room, cells):
    got = receive("x.bmp", cells[0][1], room.images, UploadLimits(max_pixels=1000))
    assert got.image is None and "at most 1,000 pixels" in got.reason


# Cases


def test_a_name_is_no_pseudonym_and_a_day_to_come_none_of_the_past(room):
    for subject_id in ("Anna Meier", "", "x" * 65, "a/b"):
        with pytest.raises(UsageError, match="no pseudonym"):
            new_case(room, subject_id=subject_id)
    with pytest.raises(UsageError, match="is to come"):
        new_case(room, taken_on=jobs.utc_now().date() + timedelta(days=2))


def test_the_worklist_is_searched_sorted_and_paged(room):
    for number in range(5):
        new_case(room, subject_id=f"P-{number}", priority="urgent" if number == 3 else "routine")

    def found(**wanted) -> list[str]:
        with room.database.read() as session:
            return [case.subject_id for case in worklist(session, room.signer, Filter(**wanted)).cases]

    assert found(order="subject") == [f"P-{number}" for number in range(5)]
    assert found(order="-subject", per_page=2, page=2) == ["P-2", "P-1"]
    assert found(text="p-3") == ["P-3"] == found(priority="urgent")
    assert found(text="%") == [] == found(states=("signed",))
    with room.database.read() as session:
        assert count_states(session, room.signer)["new"] == 5
    with pytest.raises(UsageError, match="expected an order"):
        found(order="password_hash")


# Jobs


def test_a_job_reads_every_image_as_predict_does(room, read_case, cells):
    assert state(room, read_case) == "to review"
    table = room.bundles.predictor(room.bundle.bundle_id).predict([data for _, data in cells])
    rows = cells_of(room, read_case)
    assert [cell.blast_probability for cell in rows] == table.frame["blast_probability"].to_list()
    assert [cell.decision for cell in rows] == table.frame["decision"].to_list()


def test_a_worker_that_dies_loses_nothing_and_repeats_nothing(room, cells, monkeypatch):
    monkeypatch.setattr(jobs, "CHUNK", 5)
    case_id = new_case(room)
    upload(room, case_id, cells)
    dying, keep = Worker(room.database, room.bundles, room.images), Worker._keep

    def kept_once(self, *given):
        if cells_of(room, case_id):
            raise KeyboardInterrupt
        return keep(self, *given)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Worker, "_keep", kept_once)
        dying.work_once()
    assert len(cells_of(room, case_id)) == 5 and not room.worker.work_once()
    with room.database.write() as session:
        session.scalars(select(Job)).one().held_until = jobs.utc_now() - timedelta(seconds=1)
    assert room.worker.work_once()
    rows = cells_of(room, case_id)
    assert len(rows) == 12 == len({cell.image_id for cell in rows}) and state(room, case_id) == "to review"


def test_a_worker_that_lost_its_hold_writes_nothing(room, cells):
    case_id = new_case(room)
    upload(room, case_id, cells)
    slow, reading = Worker(room.database, room.bundles, room.images), Worker._read

    def read_slowly(*given):
        with room.database.write() as session:
            session.scalars(select(Job)).one().holder = "another"
        return reading(slow, *given)

    slow._read = read_slowly
    slow.work_once()
    assert cells_of(room, case_id) == []


def test_files_that_come_later_are_read_too(room, read_case, cells, tiny_cohort):
    more = sorted(tiny_cohort.rglob("UID_*.bmp"))[12:15]
    upload(room, read_case, [(path.name, path.read_bytes()) for path in more])
    assert state(room, read_case) == "running" and room.worker.work_once()
    assert len(cells_of(room, read_case)) == 15


def failing_behind(num: int, patch) -> None:
    """Workers read so many chunks and then fail."""
    left, reading = [num], Worker._read

    def read_some(self, *given):
        left[0] -= 1
        if left[0] < 0:
            raise UsageError("the model is gone")
        return reading(self, *given)

    patch.setattr(jobs, "CHUNK", 5)
    patch.setattr(Worker, "_read", read_some)


def test_what_a_job_that_failed_has_left_blocks_the_signature_and_is_read_when_asked(
    room, cells, monkeypatch
):
    case_id = new_case(room)
    upload(room, case_id, cells)
    with monkeypatch.context() as patch:
        failing_behind(1, patch)
        assert room.worker.work_once()
    approve_all(room, case_id)
    assert len(cells_of(room, case_id)) == 5
    with room.database.read() as session:
        assert what_blocks(session, session.get_one(Case, case_id)) == ["7 files were taken, but not read"]
    with pytest.raises(ConflictError, match="7 files were taken, but not read"):
        sign_it(room, case_id)
    assert not room.worker.work_once()
    with pytest.raises(NotFoundError):
        act(room, read_again, case_id, actor=replace(room.signer, team_ids=frozenset()))
    act(room, read_again, case_id)
    assert room.worker.work_once() and len(cells_of(room, case_id)) == 12
    with pytest.raises(ConflictError, match="no file waits"):
        act(room, read_again, case_id)
    approve_all(room, case_id)
    sign_it(room, case_id)


def test_a_stored_image_that_was_swapped_is_found(room, cells):
    case_id = new_case(room)
    upload(room, case_id, cells[:2])
    with room.database.read() as session:
        first = session.scalars(select(Image).order_by(Image.image_id)).first()
    room.images.path(first.stored_sha256).write_bytes(b"something else")
    room.worker.work_once()
    assert "its hash differs" in cells_of(room, case_id)[0].reason


# Review


def test_decisions_move_cells_and_undo_moves_them_back_step_by_step(room, read_case):
    before = [(cell.decision, cell.reviewed_at) for cell in cells_of(room, read_case)]
    ids = [cell.cell_id for cell in cells_of(room, read_case)]
    act(room, decide, read_case, ids[:3], "rejected")
    act(room, decide, read_case, ids[2:5], "blast")
    assert [cell.decision for cell in cells_of(room, read_case)][:5] == ["rejected"] * 2 + ["blast"] * 3
    assert act(room, undo, read_case) and act(room, undo, read_case)
    assert act(room, undo, read_case) is None
    assert [(cell.decision, cell.reviewed_at) for cell in cells_of(room, read_case)] == before
    with room.database.read() as session:
        assert [step.kind for step in history(session, ids[2])] == ["mark", "mark", "undo", "undo"]


def test_nobody_takes_back_what_somebody_else_has_decided_since(room, read_case):
    ids = [cell.cell_id for cell in cells_of(room, read_case)]
    act(room, decide, read_case, ids[:3], "blast")
    act(room, decide, read_case, ids[:1], "normal", actor=room.administrator)
    with pytest.raises(ConflictError, match="somebody has decided"):
        act(room, undo, read_case)
    act(room, undo, read_case, actor=room.administrator)
    assert act(room, undo, read_case)


def test_a_cell_of_another_case_is_not_touched(room, read_case):
    other = new_case(room)
    ids = [cell.cell_id for cell in cells_of(room, read_case)]
    with pytest.raises(NotFoundError):
        act(room, decide, other, ids[:1], "blast")
    with pytest.raises(UsageError, match="expected a decision"):
        act(room, decide, read_case, ids[:1], "leukaemia")


def test_the_differential_counts_what_is_judged_before_and_after(room, read_case):
    rows = cells_of(room, read_case)
    for place, decision in enumerate(["blast", "normal", "indeterminate", "rejected"]):
        act(room, decide, read_case, [cell.cell_id for cell in rows[place::4]], decision)
    with room.database.read() as session:
        read = differential(session, read_case)
    assert read.after_review[:5] == (3, 3, 3, 3, 0.5)
    assert sum(read.by_model[:4]) == 12


# Signing


def approve_all(room, case_id) -> None:
    for tab in ("blast", "normal", "indeterminate", "rejected"):
        act(room, approve, case_id, tab)


def sign_it(room, case_id, actor=None, confirmed=None):
    bundle = room.bundles.open(room.bundle.bundle_id)
    with room.database.write() as session:
        user = session.get(User, (confirmed or actor or room.signer).user_id)
        return sign(session, actor or room.signer, case_id, bundle, confirmed=user)


def test_a_case_is_signed_when_every_cell_is_settled_and_then_stays_as_it_is(room, read_case):
    with pytest.raises(ConflictError, match=r"not (reviewed|settled)"):
        sign_it(room, read_case)
    approve_all(room, read_case)
    assert state(room, read_case) == "to sign"
    signature = sign_it(room, read_case)
    assert fingerprint(signature.report) == signature.report_sha256
    assert signature.report["model"]["bundle_id"] == room.bundle.bundle_id
    ids = [cell.cell_id for cell in cells_of(room, read_case)]
    for what in (lambda: act(room, decide, read_case, ids, "blast"), lambda: sign_it(room, read_case)):
        with pytest.raises(ConflictError, match="signed"):
            what()
    with pytest.raises(ConflictError, match="read-only"):
        upload(room, read_case, [("x.bmp", b"x")])
    with room.database.read() as session:
        assert verify(session, [head(session)]) == []


def test_who_may_not_sign_does_not_and_nobody_signs_for_another(room, read_case):
    approve_all(room, read_case)
    with pytest.raises(ForbiddenError, match="may not sign"):
        sign_it(room, read_case, actor=room.administrator)
    with pytest.raises(ForbiddenError, match="another account"):
        sign_it(room, read_case, confirmed=room.administrator)


def test_a_reopened_case_keeps_the_old_report_and_the_reason(room, read_case):
    approve_all(room, read_case)
    first = sign_it(room, read_case)
    with pytest.raises(UsageError, match="a reason"):
        act(room, reopen, read_case, "  ")
    act(room, reopen, read_case, "a cell was called wrongly")
    assert state(room, read_case) == "to sign"
    act(room, decide, read_case, [cells_of(room, read_case)[0].cell_id], "rejected")
    second = sign_it(room, read_case)
    assert second.number == 2 and second.report_sha256 != first.report_sha256
    assert second.report["earlier_reports"][0]["reopened_why"] == "a cell was called wrongly"
    with room.database.read() as session:
        assert last_signature(session, read_case).number == 2
        assert session.scalar(select(func.count()).select_from(Job)) == 1


def test_what_blocks_is_said_in_words(room, read_case):
    ids = [cell.cell_id for cell in cells_of(room, read_case)]
    with room.database.write() as session:
        for cell in session.scalars(select(Cell)):
            cell.decision = "indeterminate" if cell.cell_id == ids[0] else "blast"
        session.flush()
        assert what_blocks(session, session.get_one(Case, read_case)) == [
            "1 indeterminate cell is not settled",
            "11 cells are not reviewed",
        ]
    with room.database.read() as session:
        assert what_blocks(session, session.get_one(Case, new_case(room))) == ["no cell was read"]
