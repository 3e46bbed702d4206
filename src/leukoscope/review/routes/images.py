"""Images of cells. A screen asks for dozens, so they take the shortest way: no dependencies, one turn on a
thread, narrow queries; and turns of their own, so that no page waits behind them."""

from __future__ import annotations

from fastapi import Request, Response
from sqlalchemy import bindparam, select
from starlette.routing import Route

from leukoscope.review.auth.rights import Actor, NotFoundError
from leukoscope.review.room import Room
from leukoscope.review.routes.asking import asking, room_of
from leukoscope.review.routes.gallery import FOR_GOOD
from leukoscope.review.routes.turns import in_turn
from leukoscope.review.services import gallery
from leukoscope.review.store.tables import Case, Image

FORMS = ("png", "webp")

_team_of = (
    select(Case.team_id)
    .join(Image, Image.case_id == Case.case_id)
    .where(Image.case_id == bindparam("case_id"), Image.stored_sha256 == bindparam("sha256"))
    .where(Image.kind != "photograph")
    .limit(1)
)


async def show_image(request: Request) -> Response:
    """An image of a case: ``png`` as it is kept, ``webp`` as a thumbnail."""
    return await in_turn(request, "images", _answer, request)


def _answer(request: Request) -> Response:
    room, who, asked = room_of(request), asking(request), request.path_params
    sha256, form = asked["sha256"], asked["form"]
    _check(room, who.actor, asked["case_id"], sha256, form)
    tag = f'"{sha256}.{form}"'  # its content never changes: the hash is in the address
    headers = {"Cache-Control": FOR_GOOD, "ETag": tag}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(_data(room, sha256, form), media_type=f"image/{form}", headers=headers)


def _check(room: Room, actor: Actor, case_id: str, sha256: str, form: str) -> None:
    """Raise :class:`NotFoundError` for what is no image of a case of this person."""
    actor.need("read")
    team_id = None
    if form in FORMS and case_id.isascii() and case_id.isdigit() and len(case_id) < 16:
        with room.database.read() as session:
            team_id = session.scalar(_team_of, {"case_id": int(case_id), "sha256": sha256})
    if team_id not in actor.team_ids:
        raise NotFoundError("there is no such image in this case")


def _data(room: Room, sha256: str, form: str) -> bytes:
    if form == "png":
        return room.images.path(sha256).read_bytes()
    return room.derived.get(gallery.THUMBNAILS, sha256, lambda: gallery.thumbnail(room.images.pixels(sha256)))


route = Route("/cases/{case_id}/images/{sha256}.{form}", show_image)
