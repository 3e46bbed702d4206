"""The audit trail: read, narrowed, verified, its head downloaded."""

from __future__ import annotations

import json
from datetime import date
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request, Response

from leukoscope.errors import LeukoscopeError, UsageError
from leukoscope.review.audit import head_document, parse_head
from leukoscope.review.room import Room
from leukoscope.review.routes.asking import Asking, Changing, RoomOf, Who, page
from leukoscope.review.routes.failures import again
from leukoscope.review.services.trail import Wanted, check, end_of, named, trail

router = APIRouter()

Typed = Annotated[str, Query()]


@router.get("/administration/trail")
def show(
    request: Request,
    *,
    room: RoomOf,
    who: Who,
    case_id: Typed = "",
    person: Typed = "",
    action: Typed = "",
    since: Typed = "",
    until: Typed = "",
    before: Annotated[int | None, Query(ge=1)] = None,
) -> Response:
    """A page of it."""
    typed = {"case_id": case_id, "person": person, "action": action, "since": since, "until": until}
    try:
        wanted = Wanted(_number(case_id), person, action, _day(since), _day(until), before)
    except UsageError as error:
        return again(request, "trail.html", error, who, **_facts(room, who, Wanted(), {}) | {"typed": typed})
    return page(request, "trail.html", who, **_facts(room, who, wanted, typed))


def _number(text: str) -> int | None:
    if text and not (text.isdecimal() and len(text) <= 18):
        raise UsageError(
            f"expected the number of a case. Received: {text!r}", hint="it stands in its address"
        )
    return int(text) if text else None


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise UsageError(f"expected a day as 2026-01-31. Received: {text!r}") from None


def _facts(room: Room, who: Asking, wanted: Wanted, typed: dict[str, str]) -> dict[str, Any]:
    with room.database.read() as session:
        found = trail(session, who.actor, wanted)
        people, actions = named(session, who.actor)
        end = end_of(session, who.actor)
    narrowed = {name: value for name, value in typed.items() if value}
    return {
        "here": "administration",
        "part": "trail",
        "found": found,
        "people": people,
        "actions": actions,
        "end": end,
        "typed": typed,
        "is_narrowed": bool(narrowed),
        "newest": "/administration/trail?" + urlencode(narrowed),
        "older": "/administration/trail?" + urlencode(narrowed | {"before": found.before or ""}),
        "is_first": wanted.before is None,
    }


@router.get("/administration/trail/head.json")
def download(room: RoomOf, who: Who) -> Response:
    """The head of the chain as a file, to be kept where nobody of this server can change it."""
    who.actor.need("audit")
    with room.database.read() as session:
        end = head_document(session)
    name = f"audit-head-{end['number']}.json"
    return Response(
        json.dumps(end, indent=2) + "\n",
        media_type="application/json",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@router.post("/administration/trail/verify")
def verify(request: Request, *, room: RoomOf, who: Changing, kept: Annotated[str, Form()] = "") -> Response:
    """Go through all of it, and say in words what was found."""
    try:
        with room.database.read() as session:
            verdict = check(session, who.actor, parse_head(kept) if kept.strip() else None)
    except LeukoscopeError as error:
        return again(request, "trail.html", error, who, **_facts(room, who, Wanted(), {}), kept=kept)
    facts = _facts(room, who, Wanted(), {})
    return page(request, "trail.html", who, **facts, verdict=verdict, kept=kept)
