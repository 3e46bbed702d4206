"""Reports: every one that was signed and the draft of now, in each form."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from fastapi.responses import HTMLResponse
from pydantic import Field
from sqlalchemy.orm import Session

from leukoscope.review.auth.rights import Actor
from leukoscope.review.room import Room
from leukoscope.review.routes.api.shapes import LARGEST_ID, CaseId, Sha256, Told, failures
from leukoscope.review.routes.asking import MayRead, RoomOf
from leukoscope.review.services.reports import (
    Report,
    check_report,
    current_report,
    rendered,
    signed_report,
    versions,
)

router = APIRouter(tags=["signing"])

ReportNumber = Annotated[
    int, Path(ge=1, le=LARGEST_ID, description="Which report of the case.", examples=[1])
]


class VersionRow(Told):
    """A signed report, without its content."""

    number: int = Field(description="of the report within its case, from 1", examples=[1])
    username: str = Field(description="who signed", examples=["m.curie"])
    full_name: str = Field(description="the same, as it stands on the report", examples=["Marie Curie"])
    signed_at: datetime = Field(description="UTC")
    report_sha256: Sha256
    audit_hash: str = Field(description="hash of the audit entry that tells of the signing")
    reopened_by: str | None = Field(description="who opened the case again; null where the report stands")
    reopened_at: datetime | None = Field(description="UTC")
    reopened_why: str | None = Field(description="the reason that was given")


class VersionList(Told):
    """The signed reports of a case, the first one first."""

    items: list[VersionRow]


class ReportTold(Told):
    """A report with its content."""

    case_id: int = Field(examples=[17])
    number: int | None = Field(description="as it was signed; null for a draft", examples=[1])
    sha256: str = Field(
        description="SHA-256 of `content` in canonical JSON (keys sorted, no blanks, UTF-8), worked out anew"
    )
    problems: list[str] = Field(
        description="what does not hold of a signed report: its hash, its place in the audit trail; "
        "empty where all does"
    )
    content: dict[str, Any] = Field(description="all that the report says")


@router.get(
    "/cases/{case_id}/reports",
    operation_id="listReports",
    summary="Signed reports",
    responses=failures(403, 404, 422),
)
def list_reports(room: RoomOf, actor: MayRead, case_id: CaseId) -> VersionList:
    """Of a case that was reopened there are several; the last one stands."""
    with room.database.read() as session:
        return VersionList.model_validate({"items": versions(session, actor, case_id)})


def version_of(session: Session, actor: Actor, case_id: int, number: int) -> VersionRow:
    """One of them."""
    found = next(one for one in versions(session, actor, case_id) if one.number == number)
    return VersionRow.model_validate(found)


@router.get(
    "/cases/{case_id}/reports/{number}",
    operation_id="getReport",
    summary="A signed report",
    responses=failures(403, 404, 422),
)
def get_report(room: RoomOf, actor: MayRead, case_id: CaseId, number: ReportNumber) -> ReportTold:
    """As it was signed, whatever became of the case since, checked against its hash and the audit trail."""
    with room.database.read() as session:
        report = signed_report(session, actor, case_id, number)
        problems = check_report(session, actor, case_id, number)
    return ReportTold.model_validate(report._asdict() | {"problems": problems})


@router.get(
    "/cases/{case_id}/report",
    operation_id="getCurrentReport",
    summary="The report that stands, or a draft",
    responses=failures(403, 404, 422),
)
def get_current(room: RoomOf, actor: MayRead, case_id: CaseId) -> ReportTold:
    """Of a signed case the newest signed report, of any other what would be signed now."""
    report = _current(room, actor, case_id)
    with room.database.read() as session:
        problems = check_report(session, actor, case_id, report.number) if report.number else []
    return ReportTold.model_validate(report._asdict() | {"problems": problems})


def _current(room: Room, actor: Actor, case_id: int) -> Report:
    with room.database.read() as session:
        return current_report(session, actor, case_id, room.bundles.open)


def _signed(room: Room, actor: Actor, case_id: int, number: int) -> Report:
    with room.database.read() as session:
        return signed_report(session, actor, case_id, number)


class Pdf(Response):
    """A report to be printed."""

    media_type = "application/pdf"


FILES = failures(403, 404, 422)


@router.get(
    "/cases/{case_id}/reports/{number}/pdf",
    operation_id="getReportPdf",
    summary="A signed report as PDF",
    response_class=Pdf,
    responses=FILES,
)
def get_pdf(room: RoomOf, actor: MayRead, case_id: CaseId, number: ReportNumber) -> Pdf:
    """The same bytes each time."""
    return Pdf(rendered(_signed(room, actor, case_id, number), "pdf", room.images))


@router.get(
    "/cases/{case_id}/reports/{number}/html",
    operation_id="getReportHtml",
    summary="A signed report as a page",
    response_class=HTMLResponse,
    responses=FILES,
)
def get_html(room: RoomOf, actor: MayRead, case_id: CaseId, number: ReportNumber) -> HTMLResponse:
    """One file with its pictures in it, the same bytes each time."""
    return HTMLResponse(rendered(_signed(room, actor, case_id, number), "html", room.images))


@router.get(
    "/cases/{case_id}/report/pdf",
    operation_id="getCurrentReportPdf",
    summary="The report that stands, or a draft, as PDF",
    response_class=Pdf,
    responses=FILES,
)
def get_current_pdf(room: RoomOf, actor: MayRead, case_id: CaseId) -> Pdf:
    """A draft says on each page that it is one."""
    return Pdf(rendered(_current(room, actor, case_id), "pdf", room.images))


@router.get(
    "/cases/{case_id}/report/html",
    operation_id="getCurrentReportHtml",
    summary="The report that stands, or a draft, as a page",
    response_class=HTMLResponse,
    responses=FILES,
)
def get_current_html(room: RoomOf, actor: MayRead, case_id: CaseId) -> HTMLResponse:
    """A draft says that it is one."""
    return HTMLResponse(rendered(_current(room, actor, case_id), "html", room.images))
