"""Signing a case, and opening it again."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse

from leukoscope.errors import LeukoscopeError, UsageError
from leukoscope.review.auth.accounts import SignInError
from leukoscope.review.auth.rights import case_for
from leukoscope.review.reports.sections import interval, percent, probability
from leukoscope.review.routes.asking import Asking, Changing, RoomOf, Who, page
from leukoscope.review.routes.failures import status_of
from leukoscope.review.routes.reports import report_page
from leukoscope.review.services.differential import WORDS, by_photograph, differential
from leukoscope.review.services.intake import ConflictError
from leukoscope.review.services.photographs import has_smears
from leukoscope.review.services.reviewed import Sought, disagreements
from leukoscope.review.services.signing import blocking, confirm, reopen, sign

router = APIRouter(include_in_schema=False)

MOST_SHOWN = 200


@router.get("/cases/{case_id}/sign")
def show(
    request: Request, *, who: Who, case_id: int, number: Annotated[int, Query(alias="page", ge=1)] = 1
) -> Response:
    """What would be signed, what stands in the way, and the form; a signed case shows its report."""
    return _page(request, who, case_id, number=number)


@router.post("/cases/{case_id}/sign")
def put_name(
    request: Request,
    *,
    room: RoomOf,
    who: Changing,
    case_id: int,
    password: Annotated[str, Form()] = "",
    version: Annotated[int | None, Form()] = None,
) -> Response:
    """Sign what was seen, with the password given again."""
    with room.database.read() as session:
        case = case_for(session, who.actor, case_id)
    try:
        user = confirm(room.database, who.actor, password)
        bundle = room.bundles.open(case.bundle_id)
        with room.database.write() as session:
            sign(session, who.actor, case_id, bundle, confirmed=user, seen=version)
    except (SignInError, ConflictError) as error:
        return _page(request, who, case_id, error=error)
    return RedirectResponse(f"/cases/{case_id}/report", 303)


@router.post("/cases/{case_id}/reopen")
def open_again(
    request: Request, *, room: RoomOf, who: Changing, case_id: int, why: Annotated[str, Form()] = ""
) -> Response:
    """Open a signed case, with a reason."""
    try:
        with room.database.write() as session:
            reopen(session, who.actor, case_id, why)
    except UsageError as error:
        response = report_page(request, who, case_id, error=error, why=why)
        response.status_code = status_of(error)
        return response
    return RedirectResponse(f"/cases/{case_id}", 303)


def _page(
    request: Request, who: Asking, case_id: int, *, error: LeukoscopeError | None = None, number: int = 1
) -> Response:
    room = request.app.state.room
    with room.database.read() as session:
        case = case_for(session, who.actor, case_id)
        if case.state == "signed":
            return RedirectResponse(f"/cases/{case_id}/report", 303)
        sought = Sought(case_id, page=number, per_page=MOST_SHOWN)
        values = {
            "case": case,
            "blocks": blocking(session, case),
            "read": differential(session, case_id),
            "photographs": by_photograph(session, case_id),
            "has_smears": has_smears(session, case_id),
            "found": disagreements(session, who.actor, sought),
            "settled": disagreements(session, who.actor, sought._replace(model="indeterminate")).num_all,
        }
    bundle = room.bundles.open(case.bundle_id).info
    formats = {"percent": percent, "interval": interval, "probability": probability}
    response = page(request, "sign.html", who, bundle=bundle, words=WORDS, error=error, **formats, **values)
    response.status_code = 200 if error is None else status_of(error)
    return response
