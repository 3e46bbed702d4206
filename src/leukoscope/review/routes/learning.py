"""What was reviewed, over all cases: where it contradicts the model, and as a cohort to train on."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import StreamingResponse

from leukoscope.review.reports.sections import probability
from leukoscope.review.routes.asking import Changing, RoomOf, Who, page
from leukoscope.review.services.learning import NOT_INDEPENDENT, SCOPES, count_reviewed, make_export, stream
from leukoscope.review.services.reviewed import Sought, disagreements
from leukoscope.review.store.tables import DECISIONS

router = APIRouter(include_in_schema=False)


@router.get("/learning")
def show(
    request: Request,
    *,
    room: RoomOf,
    who: Who,
    scope: str = "signed",
    model: str = "",
    decision: str = "",
    text: str = "",
    number: Annotated[int, Query(alias="page", ge=1)] = 1,
) -> Response:
    """Counts, disagreements, and the form that fetches the cohort."""
    who.actor.need("review")
    sought = Sought(signed=scope == "signed", model=model, decision=decision, text=text, page=number)
    with room.database.read() as session:
        counts = count_reviewed(session, who.actor, scope)
        found = disagreements(session, who.actor, sought)
    return page(
        request,
        "learning.html",
        who,
        here="learning",
        scope=scope,
        scopes=SCOPES,
        counts=counts,
        found=found,
        sought=sought,
        decisions=DECISIONS,
        warning=NOT_INDEPENDENT,
        probability=probability,
    )


@router.post("/learning/export")
def fetch(*, room: RoomOf, who: Changing, scope: Annotated[str, Form()] = "signed") -> Response:
    """The cohort as a zip, sent while it is read."""
    with room.database.write() as session:
        export = make_export(session, who.actor, scope, room.images)
    named = {"Content-Disposition": f'attachment; filename="leukoscope-{scope}-cells.zip"'}
    return StreamingResponse(stream(export, room.images), media_type="application/zip", headers=named)
