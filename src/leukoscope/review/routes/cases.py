"""A case: made, filled with files, shown as a gallery, decided on."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from fastapi import APIRouter, File, Form, Query, Request, Response, UploadFile
from fastapi.responses import RedirectResponse
from sqlalchemy import select
from sqlalchemy.orm import Session

from leukoscope.errors import LeukoscopeError, UsageError
from leukoscope.review.auth.rights import Actor, NotFoundError, case_for
from leukoscope.review.routes.asking import Asking, Changing, RoomOf, Who, page
from leukoscope.review.routes.failures import status_of
from leukoscope.review.services import gallery
from leukoscope.review.services.cases import images_of, make_case
from leukoscope.review.services.decisions import approve, decide, undo
from leukoscope.review.services.differential import WORDS, differential
from leukoscope.review.services.intake import add_images
from leukoscope.review.services.receiving import received
from leukoscope.review.services.signing import what_blocks
from leukoscope.review.settings import room_settings
from leukoscope.review.store.tables import PRIORITIES, Case, Image, Job, Team

router = APIRouter(include_in_schema=False)

FOR_GOOD = "private, max-age=31536000, immutable"


@router.get("/cases/new")
def show_new(request: Request, room: RoomOf, who: Who) -> Response:
    """The form for a new case."""
    who.actor.need("review")
    return _form(request, who, {}, None)


def _form(request: Request, who: Asking, typed: dict[str, str], error: LeukoscopeError | None) -> Response:
    room = request.app.state.room
    with room.database.read() as session:
        mine = select(Team).where(Team.team_id.in_(who.actor.team_ids)).order_by(Team.name)
        teams = list(session.scalars(mine))
        pattern = room_settings(session).pseudonym_pattern
    response = page(
        request,
        "new_case.html",
        who,
        here="new",
        teams=teams,
        pattern=pattern,
        priorities=PRIORITIES,
        bundle=room.bundle_row(),
        typed=typed,
        error=error,
    )
    response.status_code = 200 if error is None else status_of(error)
    return response


@router.post("/cases")
def make(
    request: Request,
    *,
    room: RoomOf,
    who: Changing,
    subject_id: Annotated[str, Form()] = "",
    specimen: Annotated[str, Form()] = "",
    taken_on: Annotated[str, Form()] = "",
    priority: Annotated[str, Form()] = "routine",
    team_id: Annotated[int, Form()] = 0,
) -> Response:
    """Make a case, and go to it."""
    typed = {"subject_id": subject_id, "specimen": specimen, "taken_on": taken_on, "priority": priority}
    try:
        with room.database.write() as session:
            case = make_case(
                session,
                who.actor,
                subject_id=subject_id,
                specimen=specimen,
                taken_on=_day(taken_on),
                priority=priority,
                team_id=team_id,
                bundle=room.bundle_row(),
                operating_point=room.operating_point,
            )
    except UsageError as error:
        return _form(request, who, typed, error)
    return RedirectResponse(f"/cases/{case.case_id}", 303)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise UsageError(f"expected a day as 2026-01-31. Received: {text}") from None


@router.get("/cases/{case_id}")
def show(
    request: Request,
    *,
    room: RoomOf,
    who: Who,
    case_id: int,
    tab: str = "",
    order: str = "suspicion",
) -> Response:
    """The case: its files while there are no cells, else its gallery."""
    with room.database.read() as session:
        case = case_for(session, who.actor, case_id)
        counts = gallery.counts(session, case_id)
        tab = tab or next((name for name in ("blast", "indeterminate", "normal") if counts[name][0]), "blast")
        facts = _facts(session, case)
        tiles = gallery.stretch(session, case_id, tab, order)
    bundle = room.bundles.open(case.bundle_id).info
    return page(
        request,
        "case.html",
        who,
        case=case,
        counts=counts,
        tab=tab,
        order=order,
        orders=list(gallery.ORDERS),
        found=tiles,
        bundle=bundle,
        words=WORDS,
        **facts,
    )


@router.get("/cases/{case_id}/progress")
def show_progress(request: Request, *, room: RoomOf, who: Who, case_id: int) -> Response:
    """How far the reading is; a page that shows it loads anew when it has ended."""
    with room.database.read() as session:
        case = case_for(session, who.actor, case_id)
        job = _last_job(session, case_id)
    response = page(request, "progress.html", who, case=case, job=job)
    if case.state != "running":
        response.headers["HX-Refresh"] = "true"
    return response


def _last_job(session: Session, case_id: int) -> Job | None:
    jobs = select(Job).where(Job.case_id == case_id).order_by(Job.job_id.desc()).limit(1)
    return session.scalars(jobs).first()


def _facts(session: Session, case: Case) -> dict[str, object]:
    return {
        "images": images_of(session, case.case_id),
        "job": _last_job(session, case.case_id),
        "read": differential(session, case.case_id),
        "blocks": what_blocks(session, case),
    }


@router.get("/cases/{case_id}/tiles")
def show_tiles(
    request: Request,
    *,
    room: RoomOf,
    who: Who,
    case_id: int,
    tab: str,
    order: str = "suspicion",
    start: Annotated[int, Query(ge=0)] = 0,
) -> Response:
    """More tiles of a tab."""
    with room.database.read() as session:
        case = case_for(session, who.actor, case_id)
        found = gallery.stretch(session, case_id, tab, order, start=start)
    return page(request, "tiles.html", who, case=case, tab=tab, order=order, found=found)


@router.post("/cases/{case_id}/files")
def take(
    *, room: RoomOf, who: Changing, case_id: int, files: Annotated[list[UploadFile], File()]
) -> dict[str, object]:
    """Take files into a case; the answer says of each what became of it."""
    with room.database.read() as session:
        case_for(session, who.actor, case_id)
    came = [
        one
        for file in files
        for one in received(file.filename or "", file.file, room.images, room.settings.limits)
    ]
    with room.database.write() as session:
        added = add_images(session, who.actor, case_id, came)
    room.worker.call()
    return {"files": [{"name": image.name, "reason": image.reason} for image in added]}


@router.post("/cases/{case_id}/decisions")
def decide_on(
    *,
    room: RoomOf,
    who: Changing,
    case_id: int,
    decision: Annotated[str, Form()],
    cell_ids: Annotated[list[int], Form()],
) -> dict[str, object]:
    """Call cells so."""
    with room.database.write() as session:
        action_id = decide(session, who.actor, case_id, cell_ids, decision)
        return _after(session, who.actor, case_id, action_id)


@router.post("/cases/{case_id}/approvals")
def approve_tab(
    *, room: RoomOf, who: Changing, case_id: int, tab: Annotated[str, Form()]
) -> dict[str, object]:
    """Confirm what waits in a tab."""
    with room.database.write() as session:
        action_id = approve(session, who.actor, case_id, tab)
        return _after(session, who.actor, case_id, action_id)


@router.post("/cases/{case_id}/undo")
def take_back(*, room: RoomOf, who: Changing, case_id: int) -> dict[str, object]:
    """Take the last step back."""
    with room.database.write() as session:
        action_id = undo(session, who.actor, case_id)
        return _after(session, who.actor, case_id, action_id)


def _after(session: Session, actor: Actor, case_id: int, action_id: str | None) -> dict[str, object]:
    case = case_for(session, actor, case_id)
    return {
        "action_id": action_id,
        "state": case.state,
        "counts": gallery.counts(session, case_id),
        "blocks": what_blocks(session, case),
        "differential": {
            name: share._asdict() for name, share in differential(session, case_id)._asdict().items()
        },
    }


@router.get("/cases/{case_id}/images/{sha256}.{form}")
def show_image(*, room: RoomOf, who: Who, case_id: int, sha256: str, form: str) -> Response:
    """An image of a case: ``png`` as it is kept, ``webp`` as a thumbnail."""
    with room.database.read() as session:
        case_for(session, who.actor, case_id)
        wanted = select(Image.image_id).where(Image.case_id == case_id, Image.stored_sha256 == sha256)
        if form not in ("png", "webp") or session.scalars(wanted.limit(1)).first() is None:
            raise NotFoundError("there is no such image in this case")
    if form == "png":
        data = room.images.path(sha256).read_bytes()
    else:
        data = gallery.thumbnail(room.images.pixels(sha256))
    return Response(data, media_type=f"image/{form}", headers={"Cache-Control": FOR_GOOD})
