"""A case: made, filled with files, shown while its cells are read and afterwards."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from fastapi import APIRouter, File, Form, Request, Response, UploadFile
from fastapi.responses import RedirectResponse
from sqlalchemy import select
from sqlalchemy.orm import Session

from leukoscope.cells.decode import IMAGE_SUFFIXES
from leukoscope.errors import LeukoscopeError, UsageError
from leukoscope.review.auth.rights import case_for
from leukoscope.review.routes.asking import Asking, Changing, RoomOf, Who, page
from leukoscope.review.routes.failures import status_of
from leukoscope.review.routes.gallery import keys_for, standing
from leukoscope.review.services import gallery, sent
from leukoscope.review.services.cases import make_case
from leukoscope.review.services.differential import photographs
from leukoscope.review.services.intake import (
    TWICE,
    add_images,
    count_unsegmented,
    known_files,
    last_kind,
    read_again,
    untaken,
)
from leukoscope.review.services.jobs import num_left
from leukoscope.review.services.photographs import photographs_of
from leukoscope.review.services.receiving import received
from leukoscope.review.services.uploads import CELL
from leukoscope.review.settings import room_settings
from leukoscope.review.store.tables import PRIORITIES, Job, Team

router = APIRouter(include_in_schema=False)

Text = Annotated[str, Form()]
ENDINGS = sorted(IMAGE_SUFFIXES)
MOST_HASHES = 1000


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
        endings=ENDINGS,
        kind=CELL,
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
    subject_id: Text = "",
    specimen: Text = "",
    taken_on: Text = "",
    priority: Text = "routine",
    team_id: Annotated[int, Form()] = 0,
) -> Response:
    """Make a case, and go to it."""
    typed = {"subject_id": subject_id, "specimen": specimen, "taken_on": taken_on, "priority": priority}
    try:
        bundle = room.bundle_row()  # once: an administrator may choose another at any moment
        with room.database.write() as session:
            case = make_case(
                session,
                who.actor,
                subject_id=subject_id,
                specimen=specimen,
                taken_on=_day(taken_on),
                priority=priority,
                team_id=team_id,
                bundle=bundle,
                operating_point=room.operating_point_of(bundle),
            )
    except UsageError as error:
        return _form(request, who, typed | {"team_id": str(team_id)}, error)
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
    photograph: str = "",
    apart: str = "",
    cell: str = "",
) -> Response:
    """The case: its files while there are no cells, else its gallery; ``cell`` is where it begins."""
    with room.database.read() as session:
        case = case_for(session, who.actor, case_id)
        counts = gallery.counts(session, case_id, photograph)
        tab = tab or next((name for name in ("blast", "indeterminate", "normal") if counts[name][0]), "blast")
        view = gallery.View(tab, order, photograph, apart)
        tiles = gallery.stretch(session, case_id, tab, order, photograph=photograph, apart=apart).tiles
        refused, num_images = untaken(session, case_id)
        values = standing(session, room, case, view) | keys_for(session, who.actor)
        job, names = _last_job(session, case_id), photographs(session, case_id)
        smears, kind = photographs_of(session, case_id), last_kind(session, case_id)
        num_unsegmented, num_unread = count_unsegmented(session, case_id), num_left(session, case_id)
    return page(
        request,
        "case.html",
        who,
        **values,
        photographs=names,
        orders=list(gallery.ORDERS),
        tiles=tiles,
        cell=cell,
        job=job,
        endings=ENDINGS,
        num_images=num_images,
        smears=smears,
        kind=kind,
        pixel_size=smears[-1].settings.get("pixel_size") if smears else None,
        num_unsegmented=num_unsegmented,
        num_unread=num_unread,
        twice=[image for image in refused if image.reason == TWICE],
        unread=[image for image in refused if image.reason != TWICE],
    )


@router.get("/cases/{case_id}/progress")
def show_progress(
    request: Request, *, room: RoomOf, who: Who, case_id: int, sending: bool = False
) -> Response:
    """How far the reading is; a page that shows it loads anew at its end, unless it is `sending` files."""
    with room.database.read() as session:
        case = case_for(session, who.actor, case_id)
        job = _last_job(session, case_id)
    response = page(request, "progress.html", who, case=case, job=job)
    if case.state != "running" and not sending:
        response.headers["HX-Refresh"] = "true"
    return response


def _last_job(session: Session, case_id: int) -> Job | None:
    jobs = select(Job).where(Job.case_id == case_id).order_by(Job.job_id.desc()).limit(1)
    return session.scalars(jobs).first()


@router.post("/cases/{case_id}/read-again")
def begin_again(*, room: RoomOf, who: Changing, case_id: int) -> Response:
    """Have read what a job that failed has left."""
    with room.database.write() as session:
        read_again(session, who.actor, case_id)
    room.worker.call()
    return RedirectResponse(f"/cases/{case_id}", 303)


@router.post("/cases/{case_id}/known")
def look_up(
    *, room: RoomOf, who: Changing, case_id: int, sha256s: Text = "", kind: Text = "cells"
) -> dict[str, list[str]]:
    """Which of these files are in the case, so that they need not be sent again."""
    asked = [word for word in sha256s.split(",") if word]
    if len(asked) > MOST_HASHES:
        raise UsageError(f"expected at most {MOST_HASHES:,} hashes. Received: {len(asked):,}")
    with room.database.read() as session:
        return {"known": known_files(session, who.actor, case_id, asked, sent.kind_of(kind))}


@router.post("/cases/{case_id}/files")
def take(
    *,
    room: RoomOf,
    who: Changing,
    case_id: int,
    files: Annotated[list[UploadFile], File()],
    kind: Text = "cells",
    pixel_size: Text = "",
) -> dict[str, object]:
    """Take files into a case; the answer says of each what became of it."""
    pixels = sent.pixel_size(pixel_size)
    with room.database.read() as session:
        case_for(session, who.actor, case_id)
    came = [
        one
        for file in files
        for one in received(
            file.filename or "", file.file, room.images, room.settings.limits, sent.kind_of(kind)
        )
    ]
    with room.database.write() as session:
        added = add_images(session, who.actor, case_id, came, pixel_size=pixels)
    room.worker.call()
    return {"files": [{"name": image.name, "reason": image.reason} for image in added]}
