"""A photograph of a smear with everything that was found in it, and where one cell lies."""

from __future__ import annotations

import numpy as np
from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse
from sqlalchemy.orm import Session

from leukoscope.cells.photograph import Drawn
from leukoscope.review.auth.rights import Actor, NotFoundError
from leukoscope.review.room import Room
from leukoscope.review.routes.asking import RoomOf, Who, page
from leukoscope.review.routes.gallery import FOR_GOOD
from leukoscope.review.services.intake import ConflictError
from leukoscope.review.services.one_cell import look
from leukoscope.review.services.photographs import cuts_of, how_known, photograph_of, reason
from leukoscope.review.store.tables import Cut

router = APIRouter(include_in_schema=False)

KEPT = {"Cache-Control": FOR_GOOD}


@router.get("/cases/{case_id}/photographs/{photograph_id}")
def show(request: Request, *, room: RoomOf, who: Who, case_id: int, photograph_id: int) -> Response:
    """The photograph as a whole, its scale, and what was found in it."""
    with room.database.read() as session:
        found = photograph_of(session, who.actor, case_id, photograph_id)
        cuts = cuts_of(session, photograph_id)
    return page(
        request,
        "photograph.html",
        who,
        case_id=case_id,
        found=found,
        image=found.image,
        cuts=cuts,
        scale_words=how_known(found),
        reason=reason(found),
    )


@router.get("/cases/{case_id}/photographs/{photograph_id}/overview.jpg")
def show_overview(*, room: RoomOf, who: Who, case_id: int, photograph_id: int) -> Response:
    """The photograph, reduced, with outlines."""
    with room.database.read() as session:
        data = overview(session, room, who.actor, case_id, photograph_id)
    return Response(data, media_type="image/jpeg", headers=KEPT)


def overview(session: Session, room: Room, actor: Actor, case_id: int, photograph_id: int) -> bytes:
    """A photograph, reduced, with the outlines of its cells and their numbers: JPEG.

    Raises:
        NotFoundError: when there is no such photograph in a case of this person.
        ConflictError: when nobody has looked through it yet.
        ImageError: when it is no longer there, or damaged.
    """
    found = photograph_of(session, actor, case_id, photograph_id)
    if found.read_at is None:
        raise ConflictError("its cells are being looked for", hint="ask again when they are found")
    drawn = [_drawn(cut) for cut, _ in cuts_of(session, photograph_id)]
    return room.places.overview(found.image.stored_sha256 or "", found.image.width or 1, drawn)


@router.get("/cases/{case_id}/photographs/{photograph_id}/image.png")
def show_whole(*, room: RoomOf, who: Who, case_id: int, photograph_id: int) -> Response:
    """The photograph without loss, as it is kept."""
    with room.database.read() as session:
        found = photograph_of(session, who.actor, case_id, photograph_id)
    return FileResponse(room.images.file(found.image.stored_sha256 or ""), headers=KEPT)


@router.get("/cases/{case_id}/cells/{cell_id}/place.jpg")
def show_place(*, room: RoomOf, who: Who, case_id: int, cell_id: int) -> Response:
    """What lies around a cell in its photograph."""
    with room.database.read() as session:
        data = surroundings(session, room, who.actor, case_id, cell_id)
    return Response(data, media_type="image/jpeg", headers=KEPT)


def surroundings(session: Session, room: Room, actor: Actor, case_id: int, cell_id: int) -> bytes:
    """What lies around a cell in its photograph, with its outline: JPEG.

    Raises:
        NotFoundError: when there is no such cell in a case of this person, or it came by itself.
        ImageError: when the photograph is no longer there, or damaged.
    """
    cut = look(session, actor, case_id, cell_id).cut
    if cut is None:
        raise NotFoundError(f"cell {cell_id} was cut out of no photograph here", hint="it came by itself")
    image = cut.photograph.image
    others = [_drawn(other) for other, _ in cuts_of(session, cut.photograph_id) if other is not cut]
    size = image.width or 1, image.height or 1
    return room.places.surroundings(image.stored_sha256 or "", size, cut.box, _drawn(cut), others)


def _drawn(cut: Cut) -> Drawn:
    return Drawn(np.array(cut.outline, np.int32), tuple(flag for flag in cut.flags.split(",") if flag))
