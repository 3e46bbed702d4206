"""Cells: listed, one with everything that is known of it, its picture."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from leukoscope.review.routes.api.shapes import (
    PAGED,
    CaseId,
    CellId,
    Line,
    Listed,
    Number,
    Paging,
    PerPage,
    Sha256,
    Told,
    failures,
)
from leukoscope.review.routes.asking import MayRead, RoomOf
from leukoscope.review.routes.photographs import surroundings
from leukoscope.review.services.cells import Found, Wanted, listed_cells
from leukoscope.review.services.gallery import ORDERS, thumbnail
from leukoscope.review.services.one_cell import look
from leukoscope.review.store.tables import Cut, User

router = APIRouter(tags=["cells"])

Call = Literal["blast", "normal", "indeterminate", "rejected"]
FOR_GOOD = "private, max-age=31536000, immutable"


class CellRow(Told):
    """A cell, what the model said of it, and what it is called now."""

    cell_id: int = Field(examples=[1203])
    image_id: int = Field(description="the file that it came from", examples=[301])
    name: str = Field(description="of this file", examples=["UID_1_2_1_all.bmp"])
    photograph: str = Field(description="of which smear photograph; empty where unknown", examples=["1_2"])
    blast_probability: float | None = Field(
        description="calibrated, 0 to 1; null where the model could not judge", examples=[0.93]
    )
    model_decision: Call = Field(description="what the model said; never changed")
    reason: str | None = Field(description="why the model said indeterminate", examples=[None])
    apart: Literal["", "not lymphoid", "not single"] = Field(
        description="as long as it is called indeterminate, it is counted by itself as this; empty for cells "
        "that are counted as any others",
        examples=[""],
    )
    decision: Call = Field(description="what the cell is called now")
    reviewed_by: str | None = Field(
        description="who looked last; null while nobody has", examples=["m.curie"]
    )
    reviewed_at: datetime | None = Field(description="UTC")
    stored_sha256: Sha256


class CellList(Listed[CellRow]):
    """A page of cells."""


class Step(Told):
    """One step in the history of a cell."""

    decided_at: datetime = Field(description="UTC")
    who: str = Field(description="full name", examples=["Marie Curie"])
    username: str = Field(examples=["m.curie"])
    words: str = Field(description="what was done", examples=["called it blast"])
    num_cells: int = Field(description="that it was done to, with this one", examples=[1])
    is_undone: bool = Field(description="whether it was taken back later")


class PlaceTold(Told):
    """Where a cell lies in its photograph."""

    photograph_id: int = Field(examples=[300])
    number: int = Field(description="among the cells of the photograph, from the top down", examples=[3])
    box: list[int] = Field(
        description="x, y, width, height in pixels of the photograph", examples=[[410, 96, 118, 121]]
    )
    outline: list[list[int]] = Field(description="corners x, y of the polygon around it")
    flags: str = Field(description="of the cell in its photograph, with commas", examples=["lobed"])
    micrometres_per_pixel: float | None = Field(description="of the photograph", examples=[0.081])
    scale_source: str | None = Field(description="how that is known", examples=["red-cells"])


class CellDetails(CellRow):
    """A cell with everything that is known of it."""

    place: PlaceTold | None = Field(description="in its photograph; null for a cell that came by itself")

    row: dict[str, Any] = Field(description="the row of the prediction table, as it was first written")
    history: list[Step] = Field(description="every step, the first one first")


@router.get(
    "/cases/{case_id}/cells",
    operation_id="listCells",
    summary="Cells of a case",
    responses=failures(403, 404, 422) | {200: {"headers": PAGED}},
)
def list_cells(
    request: Request,
    response: Response,
    *,
    room: RoomOf,
    actor: MayRead,
    case_id: CaseId,
    tab: Annotated[Call | None, Query(description="called so now")] = None,
    photograph: Annotated[Line | None, Query(description="of this photograph")] = None,
    reviewed: Annotated[bool | None, Query(description="looked at by somebody, or by nobody")] = None,
    apart: Annotated[
        Literal["not lymphoid", "not single"] | None, Query(description="counted apart as this")
    ] = None,
    order: Annotated[
        str, Query(pattern=f"^({'|'.join(ORDERS)})$", description=f"one of {', '.join(ORDERS)}")
    ] = "position",
    page: Number = 1,
    per_page: PerPage = 100,
) -> CellList:
    """Without `tab` and `reviewed`, in the order of `position`, pages stay as they are while cells are
    decided on. Where you decide on a tab page by page, ask for page 1 again after each step."""
    paging = Paging(page, per_page)
    wanted = Wanted(tab or "", photograph, reviewed, apart, order, paging.start, per_page)
    with room.database.read() as session:
        found, num_all = listed_cells(session, actor, case_id, wanted)
    paging.link(request, response, num_all)
    return CellList.model_validate(paging.of([_row(one) for one in found], num_all))


@router.get(
    "/cases/{case_id}/cells/{cell_id}",
    operation_id="getCell",
    summary="One cell",
    responses=failures(403, 404, 422),
)
def get_cell(room: RoomOf, actor: MayRead, case_id: CaseId, cell_id: CellId) -> CellDetails:
    """With the whole row of the prediction table, and the history of its decisions."""
    with room.database.read() as session:
        found = look(session, actor, case_id, cell_id)
        reviewer = session.get(User, found.cell.reviewed_by) if found.cell.reviewed_by else None
    row = _row(Found(found.cell, found.image, reviewer.username if reviewer else None))
    more = {"row": found.cell.row, "history": found.steps, "place": found.cut and _place(found.cut)}
    return CellDetails.model_validate(row | more)


def _place(cut: Cut) -> dict[str, Any]:
    scale = {name: getattr(cut.photograph, name) for name in ("micrometres_per_pixel", "scale_source")}
    return _own(cut) | scale


def _row(found: Found) -> dict[str, Any]:
    return _own(found.cell) | {
        "name": found.image.name,
        "stored_sha256": found.image.stored_sha256,
        "reviewed_by": found.reviewer,
    }


def _own(row: Any) -> dict[str, Any]:
    return {column.key: getattr(row, column.key) for column in row.__table__.columns}


class Png(Response):
    """A picture without loss."""

    media_type = "image/png"


class WebP(Response):
    """A small picture."""

    media_type = "image/webp"


@router.get(
    "/cases/{case_id}/cells/{cell_id}/image",
    operation_id="getCellImage",
    summary="The picture of a cell",
    response_class=Png,
    responses=failures(403, 404, 422),
)
def get_image(room: RoomOf, actor: MayRead, case_id: CaseId, cell_id: CellId) -> Png:
    """PNG, the pixels that the model read; its SHA-256 is the cell's `stored_sha256`."""
    with room.database.read() as session:
        found = look(session, actor, case_id, cell_id)
    return Png(room.images.data(found.image.stored_sha256 or ""), headers={"Cache-Control": FOR_GOOD})


@router.get(
    "/cases/{case_id}/cells/{cell_id}/thumbnail",
    operation_id="getCellThumbnail",
    summary="A small picture of a cell",
    response_class=WebP,
    responses=failures(403, 404, 422),
)
def get_thumbnail(room: RoomOf, actor: MayRead, case_id: CaseId, cell_id: CellId) -> WebP:
    """WebP, at most 160 pixels a side."""
    with room.database.read() as session:
        found = look(session, actor, case_id, cell_id)
    small = thumbnail(room.images.pixels(found.image.stored_sha256 or ""))
    return WebP(small, headers={"Cache-Control": FOR_GOOD})


class Jpeg(Response):
    """A picture of where something lies."""

    media_type = "image/jpeg"


@router.get(
    "/cases/{case_id}/cells/{cell_id}/surroundings",
    operation_id="getCellSurroundings",
    summary="Where a cell lies in its photograph",
    response_class=Jpeg,
    responses=failures(403, 404, 422),
)
def get_surroundings(room: RoomOf, actor: MayRead, case_id: CaseId, cell_id: CellId) -> Jpeg:
    """JPEG, what lies around it, with its outline and thinner ones of others: green for whole single cells,
    blue for those that are not lymphoid, orange for other white cells. 404 for a cell that came by itself."""
    with room.database.read() as session:
        picture = surroundings(session, room, actor, case_id, cell_id)
    return Jpeg(picture, headers={"Cache-Control": FOR_GOOD})


@router.get(
    "/cases/{case_id}/cells/{cell_id}/heat-map",
    operation_id="getCellHeatMap",
    summary="Where the model's evidence lies",
    response_class=Png,
    responses=failures(403, 404, 422),
)
def get_heat_map(room: RoomOf, actor: MayRead, case_id: CaseId, cell_id: CellId) -> Png:
    """PNG with transparency, to be laid over the picture; worked out when it is first asked for. A map is no
    cause. Of a model that gives none the answer is 422, with the reason."""
    with room.database.read() as session:
        found = look(session, actor, case_id, cell_id)
    picture = room.heat_maps.png(found.case.bundle_id, found.image.stored_sha256 or "")
    return Png(picture, headers={"Cache-Control": FOR_GOOD})
