"""The audit trail as people read it: newest first, narrowed, and checked from its first entry to its last."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from leukoscope.errors import UsageError
from leukoscope.review.audit import Break, Head, head, verify
from leukoscope.review.auth.rights import Actor, visible
from leukoscope.review.store.tables import AuditEntry, Case, Signature

PAGE = 50
MOST_PER_PAGE = 200


class Wanted(NamedTuple):
    """Which entries.

    Attributes:
        case_id: of this case.
        person: by this username; ``"system"`` for what nobody asked for.
        action: only this one.
        since: from this day on, UTC.
        until: to this day, with it.
        before: only entries with a smaller number; how one turns the page.
        per_page: up to 200.
    """

    case_id: int | None = None
    person: str = ""
    action: str = ""
    since: date | None = None
    until: date | None = None
    before: int | None = None
    per_page: int = PAGE


class Line(NamedTuple):
    """An entry; ``details`` is ``None`` where it tells of a case that its reader may not see."""

    entry: AuditEntry
    details: dict[str, Any] | None


class Stretch(NamedTuple):
    """Entries, newest first, and where the next page begins; ``None`` on the last."""

    lines: list[Line]
    before: int | None


class Verdict(NamedTuple):
    """What a check of the whole trail found.

    Attributes:
        end: of the trail.
        breaks: where it does not hold; empty where it does.
        num_reports: signed reports whose printed hash was looked for in it.
    """

    end: Head
    breaks: list[Break]
    num_reports: int


def trail(session: Session, actor: Actor, wanted: Wanted) -> Stretch:
    """A page of the trail.

    Of a case of another team it is said that something was done, by whom and when, and nothing else: who
    reads the trail does not see cases by that alone.

    Raises:
        ForbiddenError: without the right to audit.
        UsageError: for a page of another size.
    """
    actor.need("audit")
    if not 1 <= wanted.per_page <= MOST_PER_PAGE:
        raise UsageError(f"expected 1 to {MOST_PER_PAGE} entries. Received: {wanted.per_page}")
    newest = _narrowed(wanted).order_by(AuditEntry.number.desc()).limit(wanted.per_page + 1)
    found = list(session.scalars(newest))
    entries = found[: wanted.per_page]
    seen = _seen(session, actor, entries)
    lines = [
        Line(one, one.details if one.case_id is None or one.case_id in seen else None) for one in entries
    ]
    return Stretch(lines, entries[-1].number if len(found) > len(entries) else None)


def _narrowed(wanted: Wanted) -> Select[AuditEntry]:
    query = select(AuditEntry)
    if wanted.case_id is not None:
        query = query.where(AuditEntry.case_id == wanted.case_id)
    if wanted.person:
        query = query.where(AuditEntry.actor == wanted.person)
    if wanted.action:
        query = query.where(AuditEntry.action == wanted.action)
    if wanted.since is not None:
        query = query.where(AuditEntry.written_at >= _midnight(wanted.since))
    if wanted.until is not None and wanted.until < date.max:
        query = query.where(AuditEntry.written_at < _midnight(wanted.until + timedelta(days=1)))
    return query if wanted.before is None else query.where(AuditEntry.number < wanted.before)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)


def _seen(session: Session, actor: Actor, entries: list[AuditEntry]) -> set[int]:
    if "read" not in actor.rights:
        return set()
    told_of = {entry.case_id for entry in entries if entry.case_id is not None}
    return set(session.scalars(select(Case.case_id).where(visible(actor), Case.case_id.in_(told_of))))


def named(session: Session, actor: Actor) -> tuple[list[str], list[str]]:
    """Every username and every action of the trail, to choose from.

    Raises:
        ForbiddenError: without the right to audit.
    """
    actor.need("audit")
    people = session.scalars(select(AuditEntry.actor).distinct().order_by(AuditEntry.actor))
    actions = session.scalars(select(AuditEntry.action).distinct().order_by(AuditEntry.action))
    return list(people), list(actions)


def end_of(session: Session, actor: Actor) -> Head:
    """The head of the chain, to be kept elsewhere.

    Raises:
        ForbiddenError: without the right to audit.
    """
    actor.need("audit")
    return head(session)


def check(session: Session, actor: Actor, kept: Head | None = None) -> Verdict:
    """Go through the whole trail.

    Args:
        session: to read with.
        actor: who asks.
        kept: an end of the trail that was written down earlier; it must still be in it, as must those that
            stand on signed reports.

    Raises:
        ForbiddenError: without the right to audit.
    """
    actor.need("audit")
    printed = [Head(**found) for found in session.scalars(select(Signature.report["audit"]))]
    breaks = verify(session, [*printed, *([kept] if kept else [])])
    return Verdict(head(session), breaks, len(printed))
