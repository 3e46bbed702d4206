"""Files into a case: kept, listed with what became of them, and handed to a job."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from leukoscope.errors import LeukoscopeError
from leukoscope.review.audit import record
from leukoscope.review.auth.rights import Actor, case_for
from leukoscope.review.services.cases import settle
from leukoscope.review.services.jobs import enqueue, num_left
from leukoscope.review.services.photographs import note_photographs
from leukoscope.review.services.uploads import CELL, Received
from leukoscope.review.store.tables import Case, Cell, Image, Job, Photograph

UNSEGMENTED = "quality: not-segmented"
"""Why no decision is made on a picture without a cell on black."""
TWICE = "the same file is in this case already"


class ConflictError(LeukoscopeError):
    """Something that the state of a case does not allow."""


def check_open(case: Case) -> None:
    """Raise :class:`ConflictError` for a signed case."""
    if case.state == "signed":
        raise ConflictError("the case is signed, and read-only", hint="reopen it first, with a reason")


def known_files(
    session: Session, actor: Actor, case_id: int, sha256s: Iterable[str], kind: str = CELL
) -> list[str]:
    """Those of these hashes whose files came for a case before as this kind, whatever became of them; but
    for photographs that could not be looked through, which may be tried again.

    Raises:
        NotFoundError: when there is no such case for this person.
    """
    case_for(session, actor, case_id)
    came = select(Image.received_sha256).where(Image.case_id == case_id, Image.kind == kind, ~_failed())
    wanted = came.where(Image.received_sha256.in_(list(sha256s))).distinct()
    return list(session.scalars(wanted))


def read_again(session: Session, actor: Actor, case_id: int) -> Job:
    """Have the files read that a job which failed has left.

    Raises:
        NotFoundError: when there is no such case for this person.
        ConflictError: when it is signed, or nothing is left.
    """
    actor.need("review")
    case = case_for(session, actor, case_id, lock=True)
    check_open(case)
    num = num_left(session, case_id)
    if not num:
        raise ConflictError("no file waits to be read again", hint="look at the case anew")
    job = enqueue(session, case_id)
    record(session, actor.username, "reading begun again", case_id, num_files=num)
    settle(session, case)
    return job


def _failed() -> ColumnElement[bool]:
    return Image.image_id.in_(select(Photograph.photograph_id).where(Photograph.problem.is_not(None)))


def untaken(session: Session, case_id: int) -> tuple[list[Image], int]:
    """The files of a case that were not taken, in the order in which they came; and how many came at all."""
    mine = (Image.case_id == case_id) & (Image.kind != "cut")
    refused = select(Image).where(mine, Image.reason.is_not(None)).order_by(Image.image_id)
    num_all = session.scalar(select(func.count()).select_from(Image).where(mine)) or 0
    return list(session.scalars(refused)), num_all


def last_kind(session: Session, case_id: int) -> str:
    """What the files that came last for a case were: what the next ones most likely are."""
    came = select(Image.kind).where(Image.case_id == case_id, Image.kind != "cut")
    return session.scalars(came.order_by(Image.image_id.desc()).limit(1)).first() or CELL


def count_unsegmented(session: Session, case_id: int) -> int:
    """Cells of a case that came by themselves, show none on black, and wait for somebody to look: these may
    be photographs that were sent as cells."""
    found = select(func.count()).select_from(Cell).join(Image, Image.image_id == Cell.image_id)
    mine = found.where(Cell.case_id == case_id, Cell.decision == "indeterminate", Cell.reviewed_at.is_(None))
    return session.scalar(mine.where(Cell.reason == UNSEGMENTED, Image.kind == CELL)) or 0


def add_images(
    session: Session,
    actor: Actor,
    case_id: int,
    files: Iterable[Received],
    *,
    pixel_size: float | None = None,
) -> list[Image]:
    """Add received files to a case, and a job to read them.

    A file whose bytes are in the case already as the same kind is listed, and not read twice.

    Args:
        session: a writing one.
        actor: who sends them.
        case_id: where to.
        files: what came.
        pixel_size: micrometres per pixel of those that are photographs, where it is known.

    Raises:
        NotFoundError: when there is no such case for this person.
        ConflictError: when it is signed.
        UsageError: for a pixel size that cannot be.
    """
    actor.need("review")
    case = case_for(session, actor, case_id, lock=True)
    check_open(case)
    came = select(Image.received_sha256, Image.kind).where(
        Image.case_id == case_id, Image.kind != "cut", Image.stored_sha256.is_not(None), ~_failed()
    )
    known = {(sha256, kind) for sha256, kind in session.execute(came)}
    added = []
    for file in files:
        twice = file.image is not None and (file.sha256, file.kind) in known
        image = None if twice else file.image
        added.append(
            Image(
                case_id=case_id,
                kind=file.kind,
                name=file.name,
                num_bytes=file.num_bytes,
                received_sha256=file.sha256,
                stored_sha256=image and image.sha256,
                width=image and image.width,
                height=image and image.height,
                reason=TWICE if twice else file.reason,
                received_by=actor.user_id,
            )
        )
        if image is not None:
            known.add((file.sha256, file.kind))
    session.add_all(added)
    session.flush()
    taken = [image for image in added if image.stored_sha256 is not None]
    photographs = note_photographs(session, case_id, taken, pixel_size)
    told = {"num_photographs": len(photographs), "read_with": photographs[0].settings} if photographs else {}
    record(
        session,
        actor.username,
        "images received",
        case_id,
        num_taken=len(taken),
        num_refused=len(added) - len(taken),
        sha256s=[image.received_sha256 for image in added],
        **told,
    )
    if taken:
        enqueue(session, case_id)
    settle(session, case)
    return added
