"""Signing and reopening a case."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field

from leukoscope.review.auth.accounts import SignInError
from leukoscope.review.auth.rights import ForbiddenError, case_for
from leukoscope.review.routes.api.cases import CaseDetails, details
from leukoscope.review.routes.api.reports import VersionRow, version_of
from leukoscope.review.routes.api.shapes import (
    NO_NUL,
    TAGGED,
    Asked,
    CaseId,
    IfMatch,
    Secret,
    expect,
    failures,
)
from leukoscope.review.routes.asking import MaySign, RoomOf
from leukoscope.review.services.signing import confirm, reopen, sign

router = APIRouter(tags=["signing"])


class Sign(Asked):
    """Who signs gives the password again."""

    password: Annotated[
        Secret, Field(description="of the key's owner", json_schema_extra={"format": "password"})
    ]


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
) -> VersionRow:
    """Sign a case in which every cell is settled. A key alone does not sign: it lies in a file and anybody
    who reads the file has it, and a signature says that a person stood behind it. So the password is asked
    for, as in the pages; failures count towards the lock of the account."""
    with room.database.read() as session:
        bundle_id = case_for(session, actor, case_id).bundle_id
    try:
        confirmed = confirm(room.database, actor, wanted.password)
    except SignInError as error:  # 401 would say that the key opens nothing
        raise ForbiddenError(error.message, hint=error.hint) from None
    bundle = room.bundles.open(bundle_id)
    with room.database.write() as session:
        expect(case_for(session, actor, case_id, lock=True), if_match)
        number = sign(session, actor, case_id, bundle, confirmed=confirmed).number
        return version_of(session, actor, case_id, number)


@router.post(
    "/cases/{case_id}/reopening",
    operation_id="reopenCase",
    summary="Open a signed case again",
    responses=failures(400, 403, 404, 409, 412, 413, 422) | {200: {"headers": TAGGED}},
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
