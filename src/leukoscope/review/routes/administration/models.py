"""Models: those that cases were read with, and the one for new cases."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from leukoscope.errors import LeukoscopeError
from leukoscope.review.room import Room
from leukoscope.review.routes.asking import Asking, Changing, RoomOf, Who, page
from leukoscope.review.routes.failures import again
from leukoscope.review.services.models import models
from leukoscope.review.settings import change_room_settings, room_settings

router = APIRouter()

DONE = {"chosen": "New cases are read with it from now on; cases that are there keep theirs."}


@router.get("/administration/models")
def show(request: Request, room: RoomOf, who: Who, done: str = "") -> Response:
    """All kept bundles."""
    return page(request, "models.html", who, done=DONE.get(done, ""), **_facts(room, who))


@router.post("/administration/models")
def choose(request: Request, room: RoomOf, who: Changing, bundle_id: Annotated[str, Form()] = "") -> Response:
    """Which one new cases are read with; empty for the one that the server was started with."""
    try:
        if bundle_id:
            room.bundles.open(bundle_id)  # what cannot be loaded reads no case
        with room.database.write() as session:
            change_room_settings(session, who.actor, {"bundle_id": bundle_id})
    except LeukoscopeError as error:
        return again(request, "models.html", error, who, **_facts(room, who))
    return RedirectResponse("/administration/models?done=chosen", 303)


def _facts(room: Room, who: Asking) -> dict[str, Any]:
    with room.database.read() as session:
        found = models(session, who.actor, room.bundles)
        chosen = room_settings(session).bundle_id
    return {
        "here": "administration",
        "part": "models",
        "models": found,
        "chosen": chosen,
        "started_with": room.bundle_id,
        "for_new_cases": chosen or room.bundle_id,
    }
