"""Cases: listed, made, shown."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field
from sqlalchemy.orm import Session

from leukoscope.errors import UsageError
from leukoscope.review.auth.rights import Actor, case_for
from leukoscope.review.routes.api.shapes import (
    PAGED,
    TAGGED,
    Asked,
    CaseId,
    Day,
    Id,
    Line,
    Listed,
    Number,
    Paging,
    Told,
    failures,
    tag,
)
from leukoscope.review.routes.asking import MayRead, MayReview, RoomOf
from leukoscope.review.services import gallery
from leukoscope.review.services.cases import (
    MOST_PER_PAGE,
    ORDERS,
    PAGE,
    Filter,
    count_states,
    make_case,
    worklist,
)
from leukoscope.review.services.signing import what_blocks
from leukoscope.review.store.tables import DECISIONS, Case

router = APIRouter(tags=["cases"])

State = Literal["new", "running", "to review", "to sign", "signed"]
Priority = Literal["routine", "urgent"]
Order = Annotated[
    str,
    Query(
        pattern=f"^-?({'|'.join(ORDERS)})$",
        description=f"one of {', '.join(ORDERS)}, with a minus before it for the greatest or newest first",
        examples=["-created"],
    ),
]


class CaseRow(Told):
    """A case: one specimen of one subject."""

    case_id: int = Field(examples=[17])
    team_id: int = Field(description="whose it is", examples=[1])
    subject_id: str = Field(description="pseudonym of the subject", examples=["P-17"])
    specimen: str = Field(description="may be empty", examples=["bone marrow, day 0"])
    taken_on: date | None = Field(description="day on which the specimen was taken", examples=["2026-01-31"])
    priority: Priority
    state: State
    bundle_id: str = Field(
        description="the model that it is read with, for good", examples=["2f6d0c51b7e84a90"]
    )
    operating_point: str = Field(description="of that model", examples=["sensitivity 0.95"])
    created_at: datetime = Field(description="UTC")
    changed_at: datetime = Field(description="UTC")
    version: int = Field(description="counts changes; the `ETag` of the case", examples=[7])


class Tab(Told):
    """What is called so."""

    num_cells: int = Field(examples=[40])
    num_waiting: int = Field(description="of these, nobody has looked at", examples=[12])


class CaseDetails(CaseRow):
    """A case, what its cells are called, and what keeps it from being signed."""

    tabs: dict[str, Tab] = Field(description=f"by what cells are called now: {', '.join(DECISIONS)}")
    blocks: list[str] = Field(
        description="why it cannot be signed, in words; empty where it can",
        examples=[["12 cells are not reviewed"]],
    )


class NewCase(Asked):
    """What a case begins with."""

    subject_id: Annotated[Line, Field(description="pseudonym; matches the room's pattern", examples=["P-17"])]
    team_id: Id | None = Field(
        None, description="one of yours; may be left out by members of one team", examples=[1]
    )
    specimen: Line = Field("", description="at most 100 characters", examples=["bone marrow, day 0"])
    taken_on: Day | None = Field(None, description="not to come", examples=["2026-01-31"])
    priority: Priority = "routine"


class CaseList(Listed[CaseRow]):
    """A page of cases."""


class Counts(Told):
    """How many cases of each state there are."""

    states: dict[State, int] = Field(
        examples=[{"new": 1, "running": 0, "to review": 4, "to sign": 2, "signed": 31}]
    )


@router.get(
    "/cases",
    operation_id="listCases",
    summary="The worklist",
    responses=failures(403, 422) | {200: {"headers": PAGED}},
)
def list_cases(
    request: Request,
    response: Response,
    *,
    room: RoomOf,
    actor: MayRead,
    text: Annotated[Line, Query(description="in the pseudonym or the specimen")] = "",
    state: Annotated[list[State] | None, Query(description="any of these; may be repeated")] = None,
    priority: Annotated[Priority | None, Query(description="only this one")] = None,
    order: Order = "-created",
    page: Number = 1,
    per_page: Annotated[int, Query(ge=1, le=MOST_PER_PAGE, description="Entries of one page.")] = PAGE,
) -> CaseList:
    """Cases of your teams. A new case shifts the pages of `-created`; those of `created` stay as they are."""
    wanted = Filter(text, tuple(state or ()), priority or "", order, page, per_page)
    with room.database.read() as session:
        found = worklist(session, actor, wanted)
    paging = Paging(page, per_page)
    paging.link(request, response, found.num_all)
    return CaseList.model_validate(paging.of(found.cases, found.num_all))


@router.get(
    "/cases/counts",
    operation_id="countCases",
    summary="How many cases of each state",
    responses=failures(403),
)
def count_cases(room: RoomOf, actor: MayRead) -> Counts:
    """Of the cases of your teams; every state is named."""
    with room.database.read() as session:
        return Counts.model_validate({"states": count_states(session, actor)})


@router.post(
    "/cases",
    operation_id="makeCase",
    summary="Begin a case",
    status_code=201,
    responses=failures(400, 403, 413, 422)
    | {
        201: {
            "headers": TAGGED | {"Location": {"description": "of the case", "schema": {"type": "string"}}},
            "links": {
                "files": {"operationId": "sendFiles", "parameters": {"case_id": "$response.body#/case_id"}},
                "case": {"operationId": "getCase", "parameters": {"case_id": "$response.body#/case_id"}},
            },
        }
    },
)
def make(response: Response, *, room: RoomOf, actor: MayReview, wanted: NewCase) -> CaseDetails:
    """It keeps the model and the operating point that it begins with."""
    bundle = room.bundle_row()  # once: an administrator may choose another at any moment
    with room.database.write() as session:
        made = make_case(
            session,
            actor,
            subject_id=wanted.subject_id,
            team_id=wanted.team_id or _only_team(actor),
            specimen=wanted.specimen,
            taken_on=wanted.taken_on,
            priority=wanted.priority,
            bundle=bundle,
            operating_point=room.operating_point_of(bundle),
        )
        response.headers["Location"] = f"/api/v1/cases/{made.case_id}"
        return details(session, response, made)


def _only_team(actor: Actor) -> int:
    if len(actor.team_ids) != 1:
        raise UsageError(
            "a case belongs to one of your teams", hint="give team_id; /api/v1/me lists your teams"
        )
    return next(iter(actor.team_ids))


@router.get(
    "/cases/{case_id}",
    operation_id="getCase",
    summary="One case",
    responses=failures(403, 404, 422) | {200: {"headers": TAGGED}},
)
def get_case(response: Response, *, room: RoomOf, actor: MayRead, case_id: CaseId) -> CaseDetails:
    """Its state, what its cells are called, and what blocks signing."""
    with room.database.read() as session:
        return details(session, response, case_for(session, actor, case_id))


def details(session: Session, response: Response, case: Case) -> CaseDetails:
    """All that is said of a case, and its version in the header."""
    tag(response, case)
    row: dict[str, Any] = CaseRow.model_validate(case).model_dump()
    counted = gallery.counts(session, case.case_id)
    tabs = {name: Tab(num_cells=num, num_waiting=waiting) for name, (num, waiting) in counted.items()}
    return CaseDetails(**row, tabs=tabs, blocks=what_blocks(session, case))
