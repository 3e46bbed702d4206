"""Reports: the page of the one that stands, and every version as a file."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from leukoscope.errors import LeukoscopeError
from leukoscope.review.auth.rights import case_for
from leukoscope.review.reports.sections import sections, stamps, title
from leukoscope.review.room import Room
from leukoscope.review.routes.asking import Asking, RoomOf, Who, page
from leukoscope.review.services.reports import (
    FORMS,
    Report,
    check_report,
    current_report,
    rendered,
    signed_report,
    versions,
)

router = APIRouter(include_in_schema=False)


@router.get("/cases/{case_id}/report")
def show(request: Request, who: Who, case_id: int) -> Response:
    """The report that stands, or the draft."""
    return report_page(request, who, case_id)


def report_page(
    request: Request, who: Asking, case_id: int, *, error: LeukoscopeError | None = None, why: str = ""
) -> Response:
    """The page of a case's report, with what was wrong with a reason to open it again."""
    room = request.app.state.room
    with room.database.read() as session:
        case = case_for(session, who.actor, case_id)
        report = current_report(session, who.actor, case_id, room.bundles.open)
        problems = check_report(session, who.actor, case_id, report.number) if report.number else []
        signed = versions(session, who.actor, case_id)
    return page(
        request,
        "report.html",
        who,
        case=case,
        versions=signed,
        number=report.number,
        problems=problems,
        address=f"/cases/{case_id}/" + (f"reports/{report.number}" if report.number else "report"),
        report=report.content,
        title=title(report.content),
        stamps=stamps(report.content),
        sections=sections(report.content, report.sha256),
        source=lambda sha256: f"/cases/{case_id}/images/{sha256}.webp",
        error=error,
        why=why,
    )


@router.get("/cases/{case_id}/report.{form}")
def fetch(*, room: RoomOf, who: Who, case_id: int, form: str) -> Response:
    """The same as a file."""
    with room.database.read() as session:
        report = current_report(session, who.actor, case_id, room.bundles.open)
    return _file(room, report, form)


@router.get("/cases/{case_id}/reports/{number}.{form}")
def fetch_version(*, room: RoomOf, who: Who, case_id: int, number: int, form: str) -> Response:
    """A signed report as a file, whatever became of the case since."""
    with room.database.read() as session:
        report = signed_report(session, who.actor, case_id, number)
    return _file(room, report, form)


def _file(room: Room, report: Report, form: str) -> Response:
    data = rendered(report, form, room.images)
    named = {"Content-Disposition": f'attachment; filename="{report.name}.{form}"'}
    return Response(data, media_type=FORMS[form], headers=named)
