"""The page of one cell: seen closely, explained, decided on; and the map of the model's evidence."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy.orm import Session

from leukoscope.bundle.format import BundleInfo
from leukoscope.errors import LeukoscopeError
from leukoscope.evaluation.operating_points import OperatingPoint
from leukoscope.review.auth.rights import case_for
from leukoscope.review.room import Room
from leukoscope.review.routes.asking import Asking, Changing, RoomOf, Who, page
from leukoscope.review.routes.failures import status_of
from leukoscope.review.routes.gallery import FOR_GOOD, AskedView, SentView, keys_for
from leukoscope.review.services import meaning
from leukoscope.review.services.decisions import cells_of, decide, undo
from leukoscope.review.services.gallery import View, around
from leukoscope.review.services.intake import ConflictError
from leukoscope.review.services.one_cell import Look, look
from leukoscope.review.services.photographs import flags_in_words, how_known
from leukoscope.review.store.tables import DECISIONS, Case, Cell

router = APIRouter(include_in_schema=False)

Text = Annotated[str, Form()]
LISTED = ("left", "right", *DECISIONS, "look", "undo", "help")
"""What keys do on this page."""


@router.get("/cases/{case_id}/cells/{cell_id}")
def show(
    request: Request,
    *,
    room: RoomOf,
    who: Who,
    case_id: int,
    cell_id: int,
    view: AskedView,
    done: int = 0,
) -> Response:
    """A cell, and who stands beside it in the view it was come from; ``done`` was decided just before."""
    return _page(request, room, who, (case_id, cell_id), view, done=done)


def _page(
    request: Request,
    room: Room,
    who: Asking,
    which: tuple[int, int],
    view: View,
    *,
    done: int = 0,
    error: LeukoscopeError | None = None,
) -> Response:
    with room.database.read() as session:
        found = look(session, who.actor, *which)
        view = view if view.tab else view._replace(tab=found.cell.decision)
        place = around(session, which[0], view, which[1])
        keys = keys_for(session, who.actor)
        before = look(session, who.actor, which[0], done) if done else None
    info = room.bundles.open(found.case.bundle_id).info
    response = page(
        request,
        "cell.html",
        who,
        found=found,
        case=found.case,
        view=view,
        query=urlencode(view._asdict()),
        place=place,
        bundle=info,
        before=before,
        error=error,
        decisions=DECISIONS,
        listed=LISTED,
        why_no_map=room.heat_maps.why_none(found.case.bundle_id),
        **_meaning(found, info),
        **keys,
    )
    response.status_code = 200 if error is None else status_of(error)
    return response


def _meaning(found: Look, info: BundleInfo) -> dict[str, object]:
    row = found.cell.row
    return {
        "probability": meaning.probability(row, info, is_apart=bool(found.cell.apart)),
        "thresholds": meaning.thresholds(_point(found.case, info)),
        "why_open": meaning.why_open(found.cell.reason),
        "novelty": meaning.novelty(row, info),
        "flags": meaning.flags(row, info),
        "size": meaning.size(row, info, _cut_at(found)),
        "cut_at": _cut_at(found),
        "scale_words": how_known(found.cut.photograph) if found.cut else "",
        "flags_found": flags_in_words(found.cut.flags) if found.cut else [],
        "compared_size": meaning.compared_size(row, info),
    }


def _cut_at(found: Look) -> float | None:
    """Micrometres per pixel of a cell that was cut out of a photograph whose scale is known."""
    if found.cut is None or found.cut.photograph.scale_source == "assumed":
        return None
    size: float | None = found.cut.photograph.settings.get("target_pixel_size")
    return size


def _point(case: Case, info: BundleInfo) -> OperatingPoint:
    points = {point.name: point for point in info.operating_points}
    return points.get(case.operating_point, info.operating_points[0])


@router.post("/cases/{case_id}/cells/{cell_id}")
def decide_on(
    request: Request,
    *,
    room: RoomOf,
    who: Changing,
    case_id: int,
    cell_id: int,
    decision: Text,
    view: SentView,
) -> Response:
    """Call the cell so, and go to the next one of the view."""
    try:
        with room.database.write() as session:
            place = around(session, case_id, view, cell_id) if view.tab else None
            decide(session, who.actor, case_id, [cell_id], decision)
    except ConflictError as error:
        return _page(request, room, who, (case_id, cell_id), view, error=error)
    after = (place.after if place and place.after else cell_id) if place else cell_id
    return _to(case_id, after, view, done=cell_id)


@router.post("/cases/{case_id}/cells/{cell_id}/undo")
def take_back(
    request: Request,
    *,
    room: RoomOf,
    who: Changing,
    case_id: int,
    cell_id: int,
    view: SentView,
) -> Response:
    """Take this person's last step in the case back, and show a cell that it was done to."""
    try:
        with room.database.write() as session:
            case_for(session, who.actor, case_id)
            action_id = undo(session, who.actor, case_id)
            touched = cells_of(session, action_id) if action_id else []
            shown = cell_id if cell_id in touched or not touched else touched[0]
            view = _where(session, shown, view)
    except ConflictError as error:
        return _page(request, room, who, (case_id, cell_id), view, error=error)
    return _to(case_id, shown, view)


def _where(session: Session, cell_id: int, view: View) -> View:
    """The view, in the tab in which the cell is now."""
    return view._replace(tab=session.get_one(Cell, cell_id).decision)


def _to(case_id: int, cell_id: int, view: View, **more: int) -> Response:
    return RedirectResponse(
        f"/cases/{case_id}/cells/{cell_id}?{urlencode(view._asdict() | more)}", status_code=303
    )


@router.get("/cases/{case_id}/cells/{cell_id}/map.png")
def show_map(*, room: RoomOf, who: Who, case_id: int, cell_id: int) -> Response:
    """Where the model finds its evidence in the cell, to be laid over its image."""
    with room.database.read() as session:
        found = look(session, who.actor, case_id, cell_id)
    data = room.heat_maps.png(found.case.bundle_id, found.image.stored_sha256 or "")
    return Response(data, media_type="image/png", headers={"Cache-Control": FOR_GOOD})
