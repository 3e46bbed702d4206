"""Teams: made, renamed, and who is in them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from leukoscope.errors import LeukoscopeError
from leukoscope.review.room import Room
from leukoscope.review.routes.asking import Asking, Changing, RoomOf, Who, page
from leukoscope.review.routes.failures import again
from leukoscope.review.services.teams import make_team, rename_team, teams

router = APIRouter()

Text = Annotated[str, Form()]

DONE = {"made": "The team is made. Put people into it on their own pages.", "renamed": "The team is renamed."}


@router.get("/administration/teams")
def show(request: Request, room: RoomOf, who: Who, done: str = "") -> Response:
    """All teams."""
    return page(request, "teams.html", who, done=DONE.get(done, ""), **_facts(room, who))


@router.post("/administration/teams")
def make(request: Request, room: RoomOf, who: Changing, name: Text = "") -> Response:
    """A new one."""
    try:
        with room.database.write() as session:
            make_team(session, who.actor, name)
    except LeukoscopeError as error:
        return again(request, "teams.html", error, who, **_facts(room, who), typed=name)
    return RedirectResponse("/administration/teams?done=made", 303)


@router.post("/administration/teams/{team_id}")
def rename(request: Request, *, room: RoomOf, who: Changing, team_id: int, name: Text = "") -> Response:
    """Another name for one."""
    try:
        with room.database.write() as session:
            rename_team(session, who.actor, team_id, name)
    except LeukoscopeError as error:
        return again(request, "teams.html", error, who, **_facts(room, who), failed=team_id, typed=name)
    return RedirectResponse("/administration/teams?done=renamed", 303)


def _facts(room: Room, who: Asking) -> dict[str, Any]:
    with room.database.read() as session:
        return {"here": "administration", "part": "teams", "teams": teams(session, who.actor)}
