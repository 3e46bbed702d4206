"""Files into a case: kept, listed with what became of them, and handed to a job."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from leukoscope.errors import LeukoscopeError
from leukoscope.review.audit import record
from leukoscope.review.auth.rights import Actor, case_for
from leukoscope.review.services.cases import settle
from leukoscope.review.services.jobs import enqueue
from leukoscope.review.services.uploads import Received
from leukoscope.review.store.tables import Case, Image

TWICE = "the same file is in this case already"


class ConflictError(LeukoscopeError):
    """Something that the state of a case does not allow."""


def check_open(case: Case) -> None:
    """Raise :class:`ConflictError` for a signed case."""
    if case.state == "signed":
        raise ConflictError("the case is signed, and read-only", hint="reopen it first, with a reason")


def known_files(session: Session, actor: Actor, case_id: int, sha256s: Iterable[str]) -> list[str]:
    """Those of these hashes whose files came for a case before, whatever became of them.

    Raises:
        NotFoundError: when there is no such case for this person.
    """
    case_for(session, actor, case_id)
    came = select(Image.received_sha256).where(Image.case_id == case_id)
    wanted = came.where(Image.received_sha256.in_(list(sha256s))).distinct()
    return list(session.scalars(wanted))


def untaken(session: Session, case_id: int) -> tuple[list[Image], int]:
    """The files of a case that were not taken, in the order in which they came; and how many came at all."""
    mine = Image.case_id == case_id
    refused = select(Image).where(mine, Image.reason.is_not(None)).order_by(Image.image_id)
    num_all = session.scalar(select(func.count()).select_from(Image).where(mine)) or 0
    return list(session.scalars(refused)), num_all


def add_images(session: Session, actor: Actor, case_id: int, files: Iterable[Received]) -> list[Image]:
    """Add received files to a case, and a job to read them.

    A file whose bytes are in the case already is listed, and not read twice.

    Raises:
        NotFoundError: when there is no such case for this person.
        ConflictError: when it is signed.
    """
    actor.need("review")
    case = case_for(session, actor, case_id, lock=True)
    check_open(case)
    known = set(
        session.scalars(
            select(Image.received_sha256).where(Image.case_id == case_id, Image.stored_sha256.is_not(None))
        )
    )
    added = []
    for file in files:
        twice = file.image is not None and file.sha256 in known
        image = None if twice else file.image
        added.append(
            Image(
                case_id=case_id,
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
            known.add(file.sha256)
    session.add_all(added)
    session.flush()
    taken = [image for image in added if image.stored_sha256 is not None]
    record(
        session,
        actor.username,
        "images received",
        case_id,
        num_taken=len(taken),
        num_refused=len(added) - len(taken),
        sha256s=[image.received_sha256 for image in added],
    )
    if taken:
        enqueue(session, case_id)
    settle(session, case)
    return added
