"""Signing a case, and opening it again with a reason; a report that was signed is kept for good."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from leukoscope.bundle.read import Bundle
from leukoscope.errors import UsageError
from leukoscope.review.audit import head, record
from leukoscope.review.auth.accounts import SignInError, check_password, refused
from leukoscope.review.auth.rights import Actor, ForbiddenError, case_for
from leukoscope.review.reports.document import document, fingerprint
from leukoscope.review.services.cases import settle
from leukoscope.review.services.intake import ConflictError
from leukoscope.review.services.jobs import num_left
from leukoscope.review.services.parts import OPEN, OTHERS
from leukoscope.review.store.database import Database
from leukoscope.review.store.tables import APART, DECISIONS, Case, Cell, Signature, User, utc_now


class Block(NamedTuple):
    """Why a case cannot be signed: in words, and in which tabs the cells are, with their numbers; ``apart``
    narrows these to one of their parts."""

    words: str
    tabs: dict[str, int]
    apart: str = ""


def what_blocks(session: Session, case: Case) -> list[str]:
    """Why a case cannot be signed, in words; empty where it can."""
    return [block.words for block in blocking(session, case)]


def blocking(session: Session, case: Case) -> list[Block]:
    """Why a case cannot be signed, and where to look; empty where it can."""
    if case.state == "signed":
        return [Block("it is signed already", {})]
    if case.state == "running":
        return [Block("its images are being read", {})]
    blocks = list[Block]()
    if num := num_left(session, case.case_id):
        words = f"{num:,} {'file was' if num == 1 else 'files were'} taken, but not read"
        blocks.append(Block(words, {}))
    unseen = (
        select(Cell.decision, Cell.apart, func.count())
        .where(Cell.case_id == case.case_id, Cell.reviewed_at.is_(None))
        .group_by(Cell.decision, Cell.apart)
    )
    waiting, apart = Counter[str](), Counter[str]()
    for decision, kind, num in session.execute(unseen):
        (apart if decision == OPEN else waiting)[kind if decision == OPEN else decision] += num
    if num := apart[""]:
        words = f"{num:,} indeterminate {'cell is' if num == 1 else 'cells are'} not settled"
        blocks.append(Block(words, {OPEN: num}, OTHERS if len(apart) > 1 else ""))
    for kind in APART:
        if num := apart[kind]:
            words = (
                f"{num:,} {'cell' if num == 1 else 'cells'} set aside as {kind} {'is' if num == 1 else 'are'}"
            )
            blocks.append(Block(f"{words} not confirmed", {OPEN: num}, kind))
    if num := sum(waiting.values()):
        words = f"{num:,} {'cell is' if num == 1 else 'cells are'} not reviewed"
        blocks.append(Block(words, {name: waiting[name] for name in DECISIONS if name in waiting}))
    if case.state == "new":
        blocks.append(Block("no cell was read", {}))
    return blocks


def confirm(database: Database, actor: Actor, password: str) -> User:
    """The account of who asks, whose password was given again; failures count and lock as at sign-in.

    Raises:
        ForbiddenError: for somebody who may not sign anyway.
        SignInError: when the password is wrong, or the account is locked.
    """
    actor.need("sign")
    with database.write() as session:
        user = check_password(session, actor.username, password)
    if user is None:
        raise SignInError("the password is wrong, or the account is locked", hint=refused().hint)
    return user


def sign(
    session: Session,
    actor: Actor,
    case_id: int,
    bundle: Bundle,
    *,
    confirmed: User,
    seen: int | None = None,
) -> Signature:
    """Sign a case as it stands.

    Args:
        session: a writing one.
        actor: who signs.
        case_id: what.
        bundle: that the case was read with.
        confirmed: the account whose password was given again just now; see :func:`confirm`.
        seen: the ``version`` of the case that the signer had before them; ``None`` asks for no certain one.

    Raises:
        ForbiddenError: for somebody who may not sign, or another's password.
        NotFoundError: when there is no such case for this person.
        ConflictError: when something blocks it, or it is no longer what the signer saw.
    """
    actor.need("sign")
    if confirmed.user_id != actor.user_id:
        raise ForbiddenError("the password is that of another account", hint="sign in as who signs")
    case = case_for(session, actor, case_id, lock=True)
    if blocks := what_blocks(session, case):
        raise ConflictError(
            f"the case cannot be signed: {'; '.join(blocks)}", hint="review these cells first"
        )
    if seen is not None and case.version != seen:
        raise ConflictError(
            "somebody changed this case since you looked at it", hint="look again at what you are signing"
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


def last_signature(session: Session, case_id: int) -> Signature:
    """The newest signed report of a case that has one."""
    found = select(Signature).where(Signature.case_id == case_id).order_by(Signature.number.desc()).limit(1)
    return session.scalars(found).one()
