"""What cells are called: one, many, a whole tab; taken back; and the shares that follow from it."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Response
from pydantic import Field
from sqlalchemy.orm import Session

from leukoscope.review.auth.rights import Actor, case_for
from leukoscope.review.routes.api.cases import CaseDetails, details
from leukoscope.review.routes.api.cells import Call
from leukoscope.review.routes.api.shapes import (
    TAGGED,
    Asked,
    CaseId,
    Id,
    IfMatch,
    Line,
    Told,
    expect,
    failures,
)
from leukoscope.review.routes.asking import MayRead, MayReview, RoomOf
from leukoscope.review.services.decisions import approve, decide, undo
from leukoscope.review.services.differential import WORDS, by_photograph, differential
from leukoscope.review.services.reference import reference_readings

router = APIRouter(tags=["review"])

MOST_CELLS = 10_000


class Share(Told):
    """Counts of what cells are called, and the share of blasts among those judged."""

    num_blast: int = Field(examples=[40])
    num_normal: int = Field(examples=[10])
    num_indeterminate: int = Field(description="in no share; without the last two", examples=[3])
    num_rejected: int = Field(description="in no share", examples=[1])
    fraction: float | None = Field(
        description="blasts among blasts and normal cells, 0 to 1; null where there are none", examples=[0.8]
    )
    ci_low: float | None = Field(description="lower end of its 95 % Wilson interval", examples=[0.67])
    ci_high: float | None = Field(description="upper end", examples=[0.89])
    num_not_lymphoid: int = Field(
        description="cells of photographs that are not lymphoid, as long as they are called indeterminate; "
        "in no share",
        examples=[0],
    )
    num_not_single: int = Field(description="the same of what is no single whole cell", examples=[0])


class Both(Told):
    """Before and after review."""

    by_model: Share
    after_review: Share


class PeopleRow(Told):
    """What people of one kind read in the model's evaluation, at the operating point of the case."""

    kind: str = Field(description="normal: healthy people; blast: leukaemic people", examples=["normal"])
    num_people: int = Field(description="with enough judged cells", examples=[26])
    median: float | None = Field(description="of their shares, 0 to 1; null without people", examples=[0.06])
    lowest: float | None = Field(examples=[0.0])
    highest: float | None = Field(examples=[0.31])


class ReferenceTold(Told):
    """What the share is to be laid beside."""

    words: str = Field(description="who these people are, or that the model does not say")
    kinds: list[PeopleRow] = Field(description="healthy people, then leukaemic ones; empty where unknown")


class DifferentialTold(Both):
    """Of a whole case, and of each photograph."""

    words: str = Field(description="what the share is and what it is not", examples=[WORDS])
    photographs: dict[str, Both] = Field(description="by name; empty where no photograph is known")
    reference: ReferenceTold


class Reviewed(Told):
    """A step, and where it leaves the case."""

    action_id: str | None = Field(
        description="the step that was taken, or taken back; null where there was nothing to do",
        examples=["0f" * 16],
    )
    case: CaseDetails
    differential: Both


class Decide(Asked):
    """What these cells are."""

    cell_ids: Annotated[list[Id], Field(min_length=1, max_length=MOST_CELLS, examples=[[1, 2]])]
    decision: Call = Field(description="what a cell is called already confirms it")


class Approve(Asked):
    """A tab whose waiting cells are right as they are."""

    tab: Call
    photograph: Line = Field("", description="only the cells of this one; empty for all", examples=["1_2"])
    apart: Literal["", "others", "not lymphoid", "not single"] = Field(
        "",
        description="only cells that are counted apart as this, or only the others; empty for all",
        examples=["not lymphoid"],
    )


CHANGES = failures(400, 403, 404, 409, 412, 413, 422)


@router.post(
    "/cases/{case_id}/decisions",
    operation_id="decide",
    summary="Call cells so",
    responses=CHANGES | {200: {"headers": TAGGED}},
)
def decide_on(
    response: Response,
    *,
    room: RoomOf,
    actor: MayReview,
    case_id: CaseId,
    wanted: Decide,
    if_match: IfMatch = None,
) -> Reviewed:
    """One or many; they count as reviewed. It is one step, which undo takes back as a whole."""
    with room.database.write() as session:
        expect(case_for(session, actor, case_id, lock=True), if_match)
        action_id = decide(session, actor, case_id, wanted.cell_ids, wanted.decision)
        return _reviewed(session, response, actor, case_id, action_id)


@router.post(
    "/cases/{case_id}/approvals",
    operation_id="approve",
    summary="Confirm what waits in a tab",
    responses=CHANGES | {200: {"headers": TAGGED}},
)
def approve_tab(
    response: Response,
    *,
    room: RoomOf,
    actor: MayReview,
    case_id: CaseId,
    wanted: Approve,
    if_match: IfMatch = None,
) -> Reviewed:
    """Every cell of the tab that nobody has looked at, in one step that the trail calls bulk approval."""
    with room.database.write() as session:
        expect(case_for(session, actor, case_id, lock=True), if_match)
        action_id = approve(session, actor, case_id, wanted.tab, wanted.photograph, apart=wanted.apart)
        return _reviewed(session, response, actor, case_id, action_id)


@router.post(
    "/cases/{case_id}/undo",
    operation_id="undo",
    summary="Take your last step back",
    responses=failures(403, 404, 409, 412, 422) | {200: {"headers": TAGGED}},
)
def take_back(
    response: Response, *, room: RoomOf, actor: MayReview, case_id: CaseId, if_match: IfMatch = None
) -> Reviewed:
    """Again for the one before. Steps of other people stay."""
    with room.database.write() as session:
        expect(case_for(session, actor, case_id, lock=True), if_match)
        action_id = undo(session, actor, case_id)
        return _reviewed(session, response, actor, case_id, action_id)


def _reviewed(
    session: Session, response: Response, actor: Actor, case_id: int, action_id: str | None
) -> Reviewed:
    case = details(session, response, case_for(session, actor, case_id))
    read = Both.model_validate(differential(session, case_id))
    return Reviewed(action_id=action_id, case=case, differential=read)


@router.get(
    "/cases/{case_id}/differential",
    operation_id="getDifferential",
    summary="The share of judged cells called blast",
    responses=failures(403, 404, 422),
)
def get_differential(room: RoomOf, actor: MayRead, case_id: CaseId) -> DifferentialTold:
    """By the model and after review, of the case and of each photograph, and what people of the model's
    evaluation read. It is not a blast count."""
    with room.database.read() as session:
        case = case_for(session, actor, case_id)
        read, photographs = differential(session, case_id), by_photograph(session, case_id)
    info = room.bundles.open(case.bundle_id).info
    return DifferentialTold.model_validate(
        {
            "words": WORDS,
            "by_model": read.by_model,
            "after_review": read.after_review,
            "photographs": photographs,
            "reference": reference_readings(info, case.operating_point),
        }
    )
