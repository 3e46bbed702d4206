"""Signing a case, and opening it again with a reason; a report that was signed is kept for good."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from leukoscope.bundle.read import Bundle
from leukoscope.errors import UsageError
from leukoscope.review.audit import head, record
from leukoscope.review.auth.rights import Actor, ForbiddenError, NotFoundError, case_for
from leukoscope.review.reports.document import document, fingerprint
from leukoscope.review.services.cases import settle
from leukoscope.review.services.intake import ConflictError
from leukoscope.review.store.tables import Case, Cell, Signature, User, utc_now


def what_blocks(session: Session, case: Case) -> list[str]:
    """Why a case cannot be signed, in words; empty where it can."""
    if case.state == "signed":
        return ["it is signed already"]
    if case.state == "running":
        return ["its images are being read"]
    unseen = (
        select(Cell.decision, func.count())
        .where(Cell.case_id == case.case_id, Cell.reviewed_at.is_(None))
        .group_by(Cell.decision)
    )
    waiting = dict(session.execute(unseen).all())
    blocks = []
    if num := waiting.pop("indeterminate", 0):
        blocks.append(f"{num:,} indeterminate {'cell is' if num == 1 else 'cells are'} not settled")
    if num := sum(waiting.values()):
        blocks.append(f"{num:,} {'cell is' if num == 1 else 'cells are'} not reviewed")
    if case.state == "new":
        blocks.append("no cell was read")
    return blocks


def sign(session: Session, actor: Actor, case_id: int, bundle: Bundle, *, confirmed: User) -> Signature:
    """Sign a case as it stands.

    Args:
        session: a writing one.
        actor: who signs.
        case_id: what.
        bundle: that the case was read with.
        confirmed: the account whose password was given again just now.

    Raises:
        ForbiddenError: for somebody who may not sign, or another's password.
        NotFoundError: when there is no such case for this person.
        ConflictError: when something blocks it.
    """
    actor.need("sign")
    if confirmed.user_id != actor.user_id:
        raise ForbiddenError("the password is that of another account", hint="sign in as who signs")
    case = case_for(session, actor, case_id, lock=True)
    if blocks := what_blocks(session, case):
        raise ConflictError(
            f"the case cannot be signed: {'; '.join(blocks)}", hint="review these cells first"
        )
    number = (session.scalar(select(func.max(Signature.number)).where(Signature.case_id == case_id)) or 0) + 1
    signed_at = utc_now()
    report = document(session, case, bundle, trail=head(session))
    report["signature"] = {
        "number": number,
        "username": actor.username,
        "full_name": confirmed.full_name,
        "signed_at": signed_at.isoformat(timespec="seconds"),
    }
    digest = fingerprint(report)
    case.state = "signed"
    case.changed_at = signed_at
    entry = record(session, actor.username, "case signed", case_id, number=number, report_sha256=digest)
    signature = Signature(
        case_id=case_id,
        number=number,
        signed_by=actor.user_id,
        signed_at=signed_at,
        report=report,
        report_sha256=digest,
        audit_hash=entry.entry_hash,
    )
    session.add(signature)
    session.flush()
    return signature


def reopen(session: Session, actor: Actor, case_id: int, why: str) -> Case:
    """Open a signed case again; its report stays, with the reason beside it.

    Raises:
        ForbiddenError: for somebody who may not sign.
        NotFoundError: when there is no such case for this person.
        ConflictError: when it is not signed.
        UsageError: without a reason.
    """
    actor.need("sign")
    case = case_for(session, actor, case_id, lock=True)
    if case.state != "signed":
        raise ConflictError("the case is not signed", hint="there is nothing to open")
    reason = why.strip()
    if not 5 <= len(reason) <= 2000:
        raise UsageError("expected a reason of 5 to 2,000 characters", hint="say what was found, and by whom")
    signature = last_signature(session, case_id)
    signature.reopened_by, signature.reopened_at, signature.reopened_why = actor.user_id, utc_now(), reason
    case.state = "to sign"
    settle(session, case)
    record(session, actor.username, "case reopened", case_id, number=signature.number, why=reason)
    return case


def signatures_of(session: Session, case_id: int) -> list[Signature]:
    """The signed reports of a case, the first one first."""
    found = select(Signature).where(Signature.case_id == case_id).order_by(Signature.number)
    return list(session.scalars(found))


def signature_of(session: Session, case_id: int, number: int) -> Signature:
    """One signed report of a case.

    Raises:
        NotFoundError: when there is none of this number.
    """
    found = select(Signature).where(Signature.case_id == case_id, Signature.number == number)
    signature = session.scalars(found).one_or_none()
    if signature is None:
        raise NotFoundError(f"case {case_id} has no report {number}")
    return signature


def last_signature(session: Session, case_id: int) -> Signature:
    """The newest signed report of a case that has one."""
    found = select(Signature).where(Signature.case_id == case_id).order_by(Signature.number.desc()).limit(1)
    return session.scalars(found).one()
