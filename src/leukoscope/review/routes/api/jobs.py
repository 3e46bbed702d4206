"""Jobs: how far the reading of a case is."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from fastapi import APIRouter
from pydantic import Field

from leukoscope.review.auth.rights import case_for
from leukoscope.review.routes.api.shapes import CaseId, Told, failures
from leukoscope.review.routes.asking import MayRead, MayReview, RoomOf
from leukoscope.review.services.intake import read_again
from leukoscope.review.services.jobs import jobs_of

router = APIRouter(tags=["jobs"])


class JobRow(Told):
    """Work that reads the files of a case into cells; it survives a restart of the server."""

    job_id: int = Field(examples=[5])
    case_id: int = Field(examples=[17])
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    num_done: int = Field(description="cells read", examples=[64])
    num_all: int = Field(
        description="cells to be read in all; those of photographs count once they are found", examples=[500]
    )
    num_photographs_done: int = Field(description="photographs of smears looked through", examples=[0])
    num_photographs: int = Field(description="photographs to be looked through in all", examples=[0])
    error: str | None = Field(description="why it failed", examples=[None])
    created_at: datetime = Field(description="UTC")
    started_at: datetime | None = Field(description="UTC; null while it waits")
    finished_at: datetime | None = Field(description="UTC; null until it has ended")


class JobList(Told):
    """The jobs of a case, the newest first."""

    items: list[JobRow]


@router.post(
    "/cases/{case_id}/jobs",
    status_code=201,
    operation_id="readAgain",
    summary="Read again what is left",
    responses=failures(403, 404, 409, 422),
)
def begin_again(room: RoomOf, actor: MayReview, case_id: CaseId) -> JobRow:
    """Begins a job for the files that one which failed has left; 409 where there are none."""
    with room.database.write() as session:
        job = JobRow.model_validate(read_again(session, actor, case_id))
    room.worker.call()
    return job


@router.get(
    "/cases/{case_id}/jobs",
    operation_id="listJobs",
    summary="How far the reading is",
    responses=failures(403, 404, 422),
)
def list_jobs(room: RoomOf, actor: MayRead, case_id: CaseId) -> JobList:
    """Ask about once a second until `state` is neither `queued` nor `running`."""
    with room.database.read() as session:
        case_for(session, actor, case_id)
        return JobList.model_validate({"items": jobs_of(session, case_id)})
