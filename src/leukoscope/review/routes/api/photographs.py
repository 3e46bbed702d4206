"""Photographs of smears: what was found in them, and pictures of them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path
from fastapi.responses import FileResponse
from pydantic import Field

from leukoscope.review.auth.rights import case_for
from leukoscope.review.routes.api.cells import FOR_GOOD, Jpeg
from leukoscope.review.routes.api.shapes import LARGEST_ID, CaseId, Sha256, Told, failures
from leukoscope.review.routes.asking import MayRead, RoomOf
from leukoscope.review.routes.photographs import overview
from leukoscope.review.services.photographs import photograph_of, photographs_of, reason
from leukoscope.review.store.tables import Photograph

router = APIRouter(tags=["files"])

PhotographId = Annotated[
    int, Path(ge=1, le=LARGEST_ID, description="Which photograph of the case.", examples=[300])
]


class PhotographRow(Told):
    """A photograph, how it was read, and what was found in it."""

    photograph_id: int = Field(description="its `image_id` among the files", examples=[300])
    name: str = Field(description="by which its cells name it, once in a case", examples=["field-7.jpg"])
    received_sha256: Sha256
    stored_sha256: str = Field(description="of the copy that is kept and read")
    width: int = Field(description="pixels", examples=[1280])
    height: int = Field(description="pixels", examples=[960])
    micrometres_per_pixel: float | None = Field(description="null before it was read", examples=[0.081])
    scale_source: str | None = Field(
        description="how that is known: given, red-cells, other-photographs, red-cells-roughly, assumed",
        examples=["red-cells"],
    )
    num_red_cells: int = Field(description="that were measured", examples=[31])
    num_cells: int = Field(description="white cells, whole or not: cells of the case", examples=[7])
    flags: dict[str, int] = Field(
        description="how often each was given, also of what is no cell: platelets, debris",
        examples=[{"edge": 1, "lobed": 3, "platelets": 2}],
    )
    settings: dict[str, Any] = Field(
        description="that it is read with, for good: pixel_size as it was given, target_pixel_size, "
        "segmenter, flat_field, normalise"
    )
    reason: str | None = Field(description="why it shows no cell; null where it does", examples=[None])
    read_at: datetime | None = Field(description="UTC; null until its cells were looked for")


class PhotographList(Told):
    """All photographs of a case, in the order in which they came."""

    items: list[PhotographRow]


class Png(FileResponse):
    """A picture without loss."""

    media_type = "image/png"


@router.get(
    "/cases/{case_id}/photographs",
    operation_id="listPhotographs",
    summary="Photographs of smears",
    responses=failures(403, 404, 422),
)
def list_photographs(room: RoomOf, actor: MayRead, case_id: CaseId) -> PhotographList:
    """With their scale, and what was found in each."""
    with room.database.read() as session:
        case_for(session, actor, case_id)
        return PhotographList.model_validate(
            {"items": [_row(one) for one in photographs_of(session, case_id)]}
        )


def _row(photograph: Photograph) -> dict[str, Any]:
    own = {column.key: getattr(photograph, column.key) for column in photograph.__table__.columns}
    names = ("received_sha256", "stored_sha256", "width", "height")
    image = {name: getattr(photograph.image, name) for name in names}
    return own | image | {"reason": reason(photograph)}


@router.get(
    "/cases/{case_id}/photographs/{photograph_id}/image",
    operation_id="getPhotograph",
    summary="A photograph",
    response_class=Png,
    responses=failures(403, 404, 422),
)
def get_image(room: RoomOf, actor: MayRead, case_id: CaseId, photograph_id: PhotographId) -> Png:
    """PNG, all pixels that came; its SHA-256 is the photograph's `stored_sha256`."""
    with room.database.read() as session:
        found = photograph_of(session, actor, case_id, photograph_id)
    return Png(room.images.file(found.image.stored_sha256 or ""), headers={"Cache-Control": FOR_GOOD})


@router.get(
    "/cases/{case_id}/photographs/{photograph_id}/overview",
    operation_id="getPhotographOverview",
    summary="A photograph with outlines",
    response_class=Jpeg,
    responses=failures(403, 404, 409, 422),
)
def get_overview(room: RoomOf, actor: MayRead, case_id: CaseId, photograph_id: PhotographId) -> Jpeg:
    """JPEG of at most 2,000 pixels a side: what was found, with the numbers of the cells; green for whole
    single cells, blue for those that are not lymphoid, orange for other white cells."""
    with room.database.read() as session:
        picture = overview(session, room, actor, case_id, photograph_id)
    return Jpeg(picture, headers={"Cache-Control": FOR_GOOD})
