"""Signing and reopening a case, and the reports that were signed."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from pydantic import Field

from leukoscope.review.auth.accounts import check_password
from leukoscope.review.auth.rights import ForbiddenError, case_for
from leukoscope.review.routes.api.cases import CaseDetails, details
from leukoscope.review.routes.api.shapes import (
    LARGEST_ID,
    NO_NUL,
    TAGGED,
    Asked,
    CaseId,
    IfMatch,
    Secret,
    Sha256,
    Told,
    expect,
    failures,
)
from leukoscope.review.routes.asking import MayRead, MaySign, RoomOf
from leukoscope.review.services.signing import reopen, sign, signature_of, signatures_of

router = APIRouter(tags=["signing"])


class SignatureRow(Told):
    """A signed report."""

    case_id: int = Field(examples=[17])
    number: int = Field(description="of the report within its case, from 1", examples=[1])
    signed_by: int = Field(description="user_id of the signer", examples=[2])
    signed_at: datetime = Field(description="UTC")
    report_sha256: Sha256
    audit_hash: str = Field(description="hash of the audit entry that tells of the signing")
    reopened_at: datetime | None = Field(description="UTC; null where the report stands")
    reopened_why: str | None = Field(description="the reason that was given", examples=[None])


class SignatureList(Told):
    """The signed reports of a case, the first one first."""

    items: list[SignatureRow]


class Report(SignatureRow):
    """A signed report with its content."""

    report: dict[str, Any] = Field(
        description="all that was signed. `report_sha256` is the SHA-256 of its canonical JSON: keys sorted, no "
        "blanks, UTF-8."
    )


class Sign(Asked):
    """Who signs gives the password again."""

    password: Annotated[Secret, Field(description="of the key's owner", json_schema_extra={"format": "password"})]


class Reopen(Asked):
    """Why a signed case is opened again."""

    why: Annotated[
        str,
        Field(
            min_length=5,
            max_length=2000,
            pattern=NO_NUL,
            description="5 to 2,000 characters; stands beside the old report for good",
            examples=["cell 1203 was called wrongly, found by M. Curie"],
        ),
    ]


@router.post(
    "/cases/{case_id}/signature",
    operation_id="signCase",
    summary="Sign",
    status_code=201,
    responses=failures(400, 403, 404, 409, 412, 413, 422),
)
def sign_case(
    *, room: RoomOf, actor: MaySign, case_id: CaseId, wanted: Sign, if_match: IfMatch = None
) -> SignatureRow:
    """Sign a case in which every cell is settled. A key alone does not sign: it lies in a file and anybody who reads
    the file has it, and a signature says that a person stood behind it. So the password is asked for, as in the pages;
    failures count towards the lock of the account."""
    with room.database.read() as session:
        bundle_id = case_for(session, actor, case_id).bundle_id
    with room.database.write() as session:
        confirmed = check_password(session, actor.username, wanted.password)
    if confirmed is None:
        raise ForbiddenError("the password is wrong, or the account is locked", hint="give the key owner's password")
    bundle = room.bundles.open(bundle_id)
    with room.database.write() as session:
        expect(case_for(session, actor, case_id, lock=True), if_match)
        return SignatureRow.model_validate(sign(session, actor, case_id, bundle, confirmed=confirmed))


@router.post(
    "/cases/{case_id}/reopening",
    operation_id="reopenCase",
    summary="Open a signed case again",
    responses={200: {"headers": TAGGED}} | failures(400, 403, 404, 409, 412, 413, 422),
)
def reopen_case(
    response: Response,
    *,
    room: RoomOf,
    actor: MaySign,
    case_id: CaseId,
    wanted: Reopen,
    if_match: IfMatch = None,
) -> CaseDetails:
    """With a reason. The old report is kept."""
    with room.database.write() as session:
        expect(case_for(session, actor, case_id, lock=True), if_match)
        return details(session, response, reopen(session, actor, case_id, wanted.why))


@router.get(
    "/cases/{case_id}/reports",
    operation_id="listReports",
    summary="Signed reports",
    responses=failures(403, 404, 422),
)
def list_reports(room: RoomOf, actor: MayRead, case_id: CaseId) -> SignatureList:
    """Of a case that was reopened there are several; the last one stands."""
    with room.database.read() as session:
        case_for(session, actor, case_id)
        return SignatureList.model_validate({"items": signatures_of(session, case_id)})


ReportNumber = Annotated[int, Path(ge=1, le=LARGEST_ID, description="Which report of the case.", examples=[1])]


@router.get(
    "/cases/{case_id}/reports/{number}",
    operation_id="getReport",
    summary="A signed report",
    responses=failures(403, 404, 422),
)
def get_report(room: RoomOf, actor: MayRead, case_id: CaseId, number: ReportNumber) -> Report:
    """As it was signed; recompute its hash to see that nobody changed it."""
    with room.database.read() as session:
        case_for(session, actor, case_id)
        return Report.model_validate(signature_of(session, case_id, number))
