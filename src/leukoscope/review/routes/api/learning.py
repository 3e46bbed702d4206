"""What was reviewed, over all cases: counted, where it contradicts the model, and as a cohort to train on."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field

from leukoscope.review.routes.api.cells import Call
from leukoscope.review.routes.api.shapes import (
    PAGED,
    Asked,
    Line,
    Listed,
    Number,
    Paging,
    PerPage,
    Told,
    failures,
)
from leukoscope.review.routes.asking import MayRead, MayReview, RoomOf
from leukoscope.review.services.learning import NOT_INDEPENDENT, count_reviewed, make_export, stream
from leukoscope.review.services.reviewed import Sought, disagreements

router = APIRouter(tags=["learning"])

Scope = Literal["signed", "reviewed"]
AskedScope = Annotated[Scope, Query(description="cells of signed cases, or all that were reviewed")]


class Counts(Told):
    """What there is to learn from."""

    num_cases: int = Field(description="with a reviewed cell", examples=[31])
    num_subjects: int = Field(description="whose cells these are", examples=[28])
    num_cells: int = Field(description="reviewed ones", examples=[9120])
    num_in_bulk: int = Field(description="of these approved with a whole tab", examples=[6400])
    decisions: dict[Call, int] = Field(description="how many cells are called what")
    warning: str = Field(description="what such labels are not", examples=[NOT_INDEPENDENT])


class DisagreementRow(Told):
    """A cell that a person called otherwise than the model."""

    cell_id: int = Field(examples=[1203])
    case_id: int = Field(examples=[17])
    subject_id: str = Field(examples=["P-17"])
    name: str = Field(description="of the file", examples=["UID_1_2_1_all.bmp"])
    model_decision: Call
    reason: str | None = Field(description="why the model said indeterminate")
    blast_probability: float | None = Field(description="calibrated, 0 to 1", examples=[0.93])
    decision: Call
    username: str = Field(description="who looked last", examples=["m.curie"])
    reviewed_at: datetime = Field(description="UTC")


class DisagreementList(Listed[DisagreementRow]):
    """A page of disagreements, the most certain errors first."""


class Export(Asked):
    """Which cells."""

    scope: Scope = Field("signed", description="cells of signed cases, or all that were reviewed")


class Zip(StreamingResponse):
    """A cohort, sent while it is read."""

    media_type = "application/zip"


@router.get(
    "/learning/counts",
    operation_id="countReviewed",
    summary="What there is to learn from",
    responses=failures(403, 422),
)
def count(room: RoomOf, actor: MayReview, scope: AskedScope = "signed") -> Counts:
    """Reviewed cells of your teams."""
    with room.database.read() as session:
        found = count_reviewed(session, actor, scope)
    return Counts.model_validate(found._asdict() | {"warning": NOT_INDEPENDENT})


@router.get(
    "/learning/disagreements",
    operation_id="listDisagreements",
    summary="Where people contradicted the model",
    responses=failures(403, 422) | {200: {"headers": PAGED}},
)
def list_disagreements(
    request: Request,
    response: Response,
    *,
    room: RoomOf,
    actor: MayRead,
    signed: Annotated[bool, Query(description="of signed cases alone")] = False,
    model: Annotated[Call | None, Query(description="the model's word; none: any but indeterminate")] = None,
    decision: Annotated[Call | None, Query(description="the person's word")] = None,
    text: Annotated[Line, Query(description="in the pseudonym or the name of the file")] = "",
    page: Number = 1,
    per_page: PerPage = 100,
) -> DisagreementList:
    """Over all cases of your teams."""
    sought = Sought(None, signed, model or "", decision or "", text, page, per_page)
    with room.database.read() as session:
        found = disagreements(session, actor, sought)
    paging = Paging(page, per_page)
    paging.link(request, response, found.num_all)
    return DisagreementList.model_validate(paging.of(list(found.cells), found.num_all))


@router.post(
    "/learning/exports",
    operation_id="exportReviewed",
    summary="Reviewed cells as a cohort",
    response_class=Zip,
    responses=failures(400, 403, 413, 422),
)
def export(room: RoomOf, actor: MayReview, wanted: Export) -> Zip:
    """A zip with a manifest that `leukoscope train` takes, who decided what in it, and the images. The audit
    trail says who took it. 422 where no cell is called blast or normal yet."""
    with room.database.write() as session:
        made = make_export(session, actor, wanted.scope, room.images)
    return Zip(stream(made, room.images))
