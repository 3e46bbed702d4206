"""The gallery of a case: its order, its tiles, what is decided in it, and how the case stands afterwards."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Query, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from leukoscope.errors import UsageError
from leukoscope.review.auth.rights import Actor, case_for
from leukoscope.review.room import Room
from leukoscope.review.routes.asking import Asking, Changing, RoomOf, Who, page, templates
from leukoscope.review.services import gallery
from leukoscope.review.services.decisions import approve, cells_of, decide, undo
from leukoscope.review.services.differential import WORDS, by_photograph, count_photographs, differential
from leukoscope.review.services.gallery import View
from leukoscope.review.services.photographs import has_smears
from leukoscope.review.services.preferences import ACTIONS, keys_of, shown_key
from leukoscope.review.services.signing import what_blocks
from leukoscope.review.store.tables import Case, Cell, Decision, User

router = APIRouter(include_in_schema=False)

Text = Annotated[str, Form()]
FOR_GOOD = "private, max-age=31536000, immutable"


# Not on a thread: a hop to one costs more than they do.
async def view_asked(tab: str = "", order: str = "suspicion", photograph: str = "", apart: str = "") -> View:
    """The view that an address names."""
    return View(tab, order, photograph, apart)


async def view_sent(
    tab: Text = "", order: Text = "suspicion", photograph: Text = "", apart: Text = ""
) -> View:
    """The view that a form names."""
    return View(tab, order, photograph, apart)


AskedView = Annotated[View, Depends(view_asked)]
SentView = Annotated[View, Depends(view_sent)]


def standing(session: Session, room: Room, case: Case, view: View) -> dict[str, Any]:
    """How a case stands, as the templates show it beside a view of its cells."""
    smears = has_smears(session, case.case_id)
    return {
        "case": case,
        "view": view,
        "bundle": room.bundles.open(case.bundle_id).info,
        "counts": gallery.counts(session, case.case_id, view.photograph),
        "parts": gallery.parts(session, case.case_id, view) if smears else {},
        "read": differential(session, case.case_id),
        "has_smears": smears,
        "num_photographs": count_photographs(session, case.case_id),
        "blocks": what_blocks(session, case),
        "words": WORDS,
    }


def keys_for(session: Session, actor: Actor) -> dict[str, Any]:
    """The keys of a person, as the templates list them."""
    keys = keys_of(session.get_one(User, actor.user_id))
    return {"keys": keys, "actions": ACTIONS, "shown_key": shown_key}


@router.get("/cases/{case_id}/order")
def show_order(*, room: RoomOf, who: Who, case_id: int, view: AskedView) -> Response:
    """All cells of a view in its order, by number alone: 5,000 are 35 kB."""
    with room.database.read() as session:
        case = case_for(session, who.actor, case_id)
        ids = gallery.cell_ids(session, case_id, view)
    return JSONResponse({"version": case.version, "cells": ids})


@router.get("/cases/{case_id}/tiles")
def show_tiles(
    request: Request, *, room: RoomOf, who: Who, case_id: int, cells: Annotated[str, Query()] = ""
) -> Response:
    """The tiles of these cells."""
    with room.database.read() as session:
        case = case_for(session, who.actor, case_id)
        tiles = gallery.tiles(session, case_id, _numbers(cells))
    return page(request, "tiles.html", who, case=case, tiles=tiles)


def _numbers(text: str) -> list[int]:
    words = [word for word in text.split(",") if word]
    if not all(word.isascii() and word.isdigit() and len(word) < 16 for word in words):
        raise UsageError(f"expected the numbers of cells, with commas. Received: {text[:80]!r}")
    return [int(word) for word in words]


@router.get("/cases/{case_id}/photographs")
def show_photographs(request: Request, *, room: RoomOf, who: Who, case_id: int, view: AskedView) -> Response:
    """The differential of each photograph: asked for when somebody opens the table."""
    with room.database.read() as session:
        case = case_for(session, who.actor, case_id)
        read, smears = by_photograph(session, case_id), has_smears(session, case_id)
    return page(
        request, "case_photographs.html", who, case=case, view=view, photographs=read, has_smears=smears
    )


@router.get("/cases/{case_id}/standing")
def show_standing(*, room: RoomOf, who: Who, case_id: int, version: int, view: AskedView) -> Response:
    """What others changed since a version of the case; empty where nothing."""
    with room.database.read() as session:
        if case_for(session, who.actor, case_id).version == version:
            return Response(status_code=204)
        return _after(session, room, who, case_id, view)


@router.post("/cases/{case_id}/decisions")
def decide_on(
    *,
    room: RoomOf,
    who: Changing,
    case_id: int,
    decision: Text,
    view: SentView,
    cells: Text = "",
    cell_ids: Annotated[list[int] | None, Form()] = None,
) -> Response:
    """Call cells so: ``cells`` with commas between them, for thousands; or ``cell_ids`` one by one."""
    with room.database.write() as session:
        action_id = decide(session, who.actor, case_id, [*_numbers(cells), *(cell_ids or [])], decision)
    return _done(room, who, case_id, view, action_id)


@router.post("/cases/{case_id}/approvals")
def approve_tab(*, room: RoomOf, who: Changing, case_id: int, view: SentView) -> Response:
    """Confirm what waits in a tab."""
    with room.database.write() as session:
        action_id = approve(session, who.actor, case_id, view.tab, view.photograph, apart=view.apart)
    return _done(room, who, case_id, view, action_id)


@router.post("/cases/{case_id}/undo")
def take_back(*, room: RoomOf, who: Changing, case_id: int, view: SentView) -> Response:
    """Take the last step back."""
    with room.database.write() as session:
        action_id = undo(session, who.actor, case_id)
    return _done(room, who, case_id, view, action_id)


def _done(room: Room, who: Asking, case_id: int, view: View, action_id: str | None) -> Response:
    """How the case stands when a step is kept; read by itself, so that the next writer need not wait."""
    with room.database.read() as session:
        return _after(session, room, who, case_id, view, action_id=action_id)


def _after(
    session: Session, room: Room, who: Asking, case_id: int, view: View, *, action_id: str | None = None
) -> Response:
    case = case_for(session, who.actor, case_id)
    values = standing(session, room, case, view)
    touched = cells_of(session, action_id) if action_id else []
    return JSONResponse(
        {
            "action_id": action_id,
            "cells": touched,
            "now": _now(session, action_id) if action_id else {},
            "version": case.version,
            "state": case.state,
            "counts": values["counts"],
            "parts": values["parts"],
            "blocks": values["blocks"],
            "standing": templates.get_template("case_standing.html").render(who=who, **values),
        }
    )


def _now(session: Session, action_id: str) -> dict[str, int]:
    """How many of the cells of an action are called what."""
    mine = Cell.cell_id.in_(select(Decision.cell_id).where(Decision.action_id == action_id))
    return dict(
        session.execute(select(Cell.decision, func.count()).where(mine).group_by(Cell.decision)).all()
    )
