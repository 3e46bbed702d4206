"""Cases and the worklist: made, found, filtered, counted."""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

from sqlalchemy import ColumnElement, Select, case, exists, func, or_, select
from sqlalchemy.orm import Session

from leukoscope.errors import UsageError
from leukoscope.review.audit import record
from leukoscope.review.auth.rights import Actor, visible_cases
from leukoscope.review.settings import room_settings
from leukoscope.review.store.tables import PRIORITIES, STATES, Case, Cell, Image, Job, StoredBundle, utc_now

PAGE = 50
MOST_PER_PAGE = 200

ORDERS = {
    "created": Case.created_at,
    "changed": Case.changed_at,
    "subject": Case.subject_id,
    "specimen": Case.specimen,
    "taken": Case.taken_on,
    "state": case({name: place for place, name in enumerate(STATES)}, value=Case.state),
    "priority": case({name: place for place, name in enumerate(PRIORITIES)}, value=Case.priority),
}
"""What a worklist can be sorted by."""


class Filter(NamedTuple):
    """Which cases of a worklist, in which order.

    Attributes:
        text: in the pseudonym or the specimen, in any case of letters.
        states: any of these; empty for all.
        priority: only this one.
        order: a key of :data:`ORDERS`, with a minus before it for the greatest first.
        page: from 1.
        per_page: up to 200.
    """

    text: str = ""
    states: tuple[str, ...] = ()
    priority: str = ""
    order: str = "-created"
    page: int = 1
    per_page: int = PAGE


class Page(NamedTuple):
    """Cases of one page, and how many there are on all."""

    cases: list[Case]
    num_all: int
    page: int
    num_pages: int


def make_case(
    session: Session,
    actor: Actor,
    *,
    subject_id: str,
    team_id: int,
    bundle: StoredBundle,
    operating_point: str,
    specimen: str = "",
    taken_on: date | None = None,
    priority: str = "routine",
) -> Case:
    """Begin a case; it keeps the bundle and the operating point that it begins with.

    Raises:
        ForbiddenError: for somebody who may not review.
        UsageError: for a pseudonym that is none, another team's case, an unknown priority, or a date to come.
    """
    actor.need("review")
    if team_id not in actor.team_ids:
        raise UsageError("a case belongs to one of your teams", hint="ask an administrator to join it")
    if priority not in PRIORITIES:
        raise UsageError(f"expected a priority of {', '.join(PRIORITIES)}. Received: {priority}")
    if taken_on is not None and taken_on > utc_now().date():
        raise UsageError(f"{taken_on} is to come", hint="give the day on which the specimen was taken")
    if len(specimen) > 100:
        raise UsageError("expected a specimen of at most 100 characters")
    made = Case(
        team_id=team_id,
        subject_id=room_settings(session).check_pseudonym(subject_id),
        specimen=specimen.strip(),
        taken_on=taken_on,
        priority=priority,
        bundle_id=bundle.bundle_id,
        operating_point=operating_point,
        created_by=actor.user_id,
    )
    session.add(made)
    session.flush()
    record(
        session,
        actor.username,
        "case made",
        made.case_id,
        subject_id=made.subject_id,
        bundle_id=made.bundle_id,
        operating_point=operating_point,
    )
    return made


def worklist(session: Session, actor: Actor, wanted: Filter) -> Page:
    """A page of the cases that this person sees.

    Raises:
        UsageError: for an unknown order or state.
    """
    column = ORDERS.get(wanted.order.removeprefix("-"))
    strange = set(wanted.states) - set(STATES)
    if column is None or strange or wanted.page < 1 or not 1 <= wanted.per_page <= MOST_PER_PAGE:
        raise UsageError(
            f"expected an order of {', '.join(ORDERS)}, states of {', '.join(STATES)}, a page from 1, "
            f"up to {MOST_PER_PAGE} on it. Received: {wanted.order}, {', '.join(wanted.states)}, "
            f"{wanted.page}, {wanted.per_page}"
        )
    query = _narrowed(visible_cases(actor), wanted)
    num_all = session.scalar(select(func.count()).select_from(query.subquery())) or 0
    ordered = query.order_by(column.desc() if wanted.order.startswith("-") else column, Case.case_id.desc())
    shown = ordered.limit(wanted.per_page).offset((wanted.page - 1) * wanted.per_page)
    num_pages = max(1, -(-num_all // wanted.per_page))
    return Page(list(session.scalars(shown)), num_all, wanted.page, num_pages)


def _narrowed(query: Select[Case], wanted: Filter) -> Select[Case]:
    if wanted.states:
        query = query.where(Case.state.in_(wanted.states))
    if wanted.priority:
        query = query.where(Case.priority == wanted.priority)
    if word := wanted.text.strip():
        found = [column.icontains(word, autoescape=True) for column in (Case.subject_id, Case.specimen)]
        query = query.where(or_(*found))
    return query


def count_states(session: Session, actor: Actor) -> dict[str, int]:
    """How many cases of each state this person sees, every state named."""
    seen = visible_cases(actor).subquery()
    counted = session.execute(select(seen.c.state, func.count()).group_by(seen.c.state))
    return dict.fromkeys(STATES, 0) | dict(counted.all())


def settle(session: Session, found: Case) -> None:
    """Give a case the state that its images, jobs and cells say; a signed one stays signed."""
    if found.state == "signed":
        return
    state = _state(session, found.case_id)
    if state != found.state:
        found.state = state
    found.changed_at = utc_now()
    session.flush()


def _state(session: Session, case_id: int) -> str:
    is_read = exists().where(Job.case_id == case_id, Job.state.in_(("queued", "running")))
    has_cells = exists().where(Cell.case_id == case_id)
    waits = exists().where(Cell.case_id == case_id, Cell.reviewed_at.is_(None))
    state: ColumnElement[str] = case(
        (is_read, "running"), (~has_cells, "new"), (waits, "to review"), else_="to sign"
    )
    return session.execute(select(state)).scalar_one()


def images_of(session: Session, case_id: int) -> list[Image]:
    """All files that came for a case, in the order in which they came."""
    came = select(Image).where(Image.case_id == case_id, Image.kind != "cut")
    return list(session.scalars(came.order_by(Image.image_id)))
