"""The worklist: all cases that a person sees, searched, filtered, sorted, counted; it refreshes itself."""

from __future__ import annotations

from functools import partial
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from leukoscope.review.routes.asking import RoomOf, Who, page
from leukoscope.review.services.cases import Filter, count_states, worklist
from leukoscope.review.store.tables import PRIORITIES, STATES, Case, Job

router = APIRouter(include_in_schema=False)


@router.get("/")
def show(
    request: Request,
    *,
    room: RoomOf,
    who: Who,
    text: str = "",
    state: str = "",
    priority: str = "",
    order: str = "-created",
    number: Annotated[int, Query(alias="page", ge=1)] = 1,
) -> Response:
    """A page of it."""
    wanted = Filter(text, (state,) if state else (), priority, order, number)
    with room.database.read() as session:
        found = worklist(session, who.actor, wanted)
        counts = count_states(session, who.actor)
        progress = _progress(session, found.cases)
    return page(
        request,
        "worklist.html",
        who,
        here="worklist",
        wanted=wanted,
        found=found,
        counts=counts,
        progress=progress,
        states=STATES,
        priorities=PRIORITIES,
        is_narrowed=bool(text or state or priority),
        url=partial(_url, wanted),
    )


def _url(wanted: Filter, **changes: object) -> str:
    now = {
        "text": wanted.text,
        "state": "".join(wanted.states),
        "priority": wanted.priority,
        "order": wanted.order,
        "page": wanted.page,
    }
    asked = {name: value for name, value in (now | changes).items() if value not in ("", 1)}
    return "/?" + urlencode(asked)


def _progress(session: Session, cases: list[Case]) -> dict[int, tuple[int, int]]:
    """Cells read and to be read of those cases that are being read."""
    running = [case.case_id for case in cases if case.state == "running"]
    jobs = select(Job).where(Job.case_id.in_(running), Job.state.in_(("queued", "running")))
    return {job.case_id: (job.num_done, max(job.num_all, 1)) for job in session.scalars(jobs)}
