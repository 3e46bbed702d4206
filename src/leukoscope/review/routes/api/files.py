"""Files of a case: sent, once however often they are sent, and listed with what became of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple

from fastapi import APIRouter, Depends, Header, Request, Response
from pydantic import Field
from sqlalchemy.orm import Session
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from leukoscope.cohort.smears import LEAST_PIXEL, MOST_PIXEL
from leukoscope.errors import UsageError
from leukoscope.review.auth.rights import case_for
from leukoscope.review.routes.api.jobs import JobRow
from leukoscope.review.routes.api.shapes import (
    PAGED,
    CaseId,
    Listed,
    Number,
    Paging,
    PerPage,
    Sha256,
    Told,
    failures,
)
from leukoscope.review.routes.asking import MayRead, MayReview, RoomOf
from leukoscope.review.services.cases import images_of
from leukoscope.review.services.idempotency import fingerprint, once
from leukoscope.review.services.intake import add_images, check_open
from leukoscope.review.services.jobs import jobs_of
from leukoscope.review.services.receiving import received
from leukoscope.review.services.sent import kind_of, pixel_size
from leukoscope.review.services.uploads import CELL
from leukoscope.review.store.tables import Image

router = APIRouter(tags=["files"])

REPLAYED = "Idempotency-Replayed"

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[!-~]{1,128}$",
        description="A word of your own for this upload, for example a UUID. Sent again with it within "
        "a day, the same files are answered as before and not taken twice; other files are refused with 422; "
        "409 says that the first sending is still being worked on.",
        examples=["6f1c1b1e-6f0a-4a86-9d5b-2b8d1f3a9c11"],
    ),
]


class FileRow(Told):
    """A file as it came, and what became of it."""

    image_id: int = Field(examples=[301])
    kind: Literal["cell", "photograph"] = Field(description="what it was sent as")
    name: str = Field(description="without folders", examples=["UID_1_2_1_all.bmp"])
    num_bytes: int = Field(description="of the file as it came", examples=[607554])
    received_sha256: Sha256
    stored_sha256: str | None = Field(description="of the copy that is kept and read; null where none is")
    width: int | None = Field(description="pixels", examples=[450])
    height: int | None = Field(description="pixels", examples=[450])
    reason: str | None = Field(description="why it was not taken; null where it was", examples=[None])
    received_at: datetime = Field(description="UTC")


class FileList(Listed[FileRow]):
    """A page of files."""


class Taken(Told):
    """What became of the files of one upload."""

    files: list[FileRow] = Field(
        description="each file and each image of each zip, in the order in which they came"
    )
    num_taken: int = Field(examples=[12])
    num_refused: int = Field(examples=[0])
    job: JobRow | None = Field(description="the job that reads them; null where no file was taken")


async def sent_files(request: Request, room: RoomOf, _actor: MayReview) -> AsyncIterator[Sent]:
    """The files of a request. Nothing of it is read before its sender is known.

    Raises:
        UsageError: without a file, for an unknown kind, or a pixel size that cannot be.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise HTTPException(415, "expected multipart/form-data with the files in the field 'files'")
    async with request.form(max_files=room.settings.limits.max_loose, max_fields=20) as form:
        files = [file for file in form.getlist("files") if isinstance(file, UploadFile)]
        if not files:
            raise UsageError("expected at least one file in the field 'files'")
        yield Sent(files, kind_of(str(form.get("kind", "cells"))), _pixel_size(form.get("pixel_size")))


def _pixel_size(told: object) -> float | None:
    if told is None:
        return None
    size = pixel_size(str(told))
    if size is None:
        raise UsageError("expected micrometres per pixel as a number. Received: nothing", hint="leave it out")
    return size


class Sent(NamedTuple):
    """What an upload brings, and what its sender says of it."""

    files: list[UploadFile]
    kind: str
    pixel_size: float | None

    @property
    def told(self) -> str:
        """What is said of the files."""
        return f", {self.kind}s of {self.pixel_size} micrometres" if self.kind != CELL else ""


MULTIPART = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {
                        "files": {
                            "type": "array",
                            "minItems": 1,
                            "description": "images (BMP, PNG, TIFF, JPEG, WebP) and zips of images",
                            "items": {"type": "string", "format": "binary"},
                        },
                        "kind": {
                            "type": "string",
                            "enum": ["cells", "photographs"],
                            "default": "cells",
                            "description": "single cells, already cut out; or photographs of a smear, "
                            "whose cells are looked for",
                        },
                        "pixel_size": {
                            "type": "number",
                            "minimum": LEAST_PIXEL,
                            "maximum": MOST_PIXEL,
                            "description": "micrometres per pixel of photographs; without it by their "
                            "red cells",
                        },
                    },
                }
            }
        },
    }
}


@router.post(
    "/cases/{case_id}/files",
    operation_id="sendFiles",
    summary="Send images and zips",
    responses=failures(400, 403, 404, 409, 413, 415, 422)
    | {
        200: {
            "headers": {
                REPLAYED: {
                    "description": "`true` where the answer is that of an earlier sending with this key",
                    "schema": {"type": "string"},
                }
            }
        }
    },
    openapi_extra=MULTIPART,
)
def send_files(
    response: Response,
    *,
    room: RoomOf,
    actor: MayReview,
    case_id: CaseId,
    sent: Annotated[Sent, Depends(sent_files)],
    key: IdempotencyKey = None,
) -> Taken:
    """Many at once, up to 256 of them outside of zips. A file that cannot be taken is listed with its reason
    and stops no other; one that is in the case already is listed, too, and not read twice. A job reads what
    was taken. Photographs of a smear are sent with `kind=photographs`: the job finds their cells, which then
    are cells of the case."""
    with room.database.read() as session:
        case = case_for(session, actor, case_id)
    named = [(file.filename or "", file.file) for file in sent.files]
    asked = fingerprint(f"files of case {case_id}{sent.told}", named) if key else ""
    with once(room.database, actor, key, asked) as work:
        if work.earlier is not None:
            response.headers[REPLAYED] = "true"
            return Taken.model_validate(work.earlier)
        check_open(case)  # before the work, which looks again when it is kept
        limits = room.settings.limits
        came = [
            one for name, stream in named for one in received(name, stream, room.images, limits, sent.kind)
        ]
        with room.database.write() as session:
            added = add_images(session, actor, case_id, came, pixel_size=sent.pixel_size)
            taken = _taken(session, case_id, added)
            work.keep(session, taken.model_dump(mode="json"))
    room.worker.call()
    return taken


def _taken(session: Session, case_id: int, added: list[Image]) -> Taken:
    num_taken = sum(image.reason is None for image in added)
    fields: dict[str, Any] = {
        "files": added,
        "num_taken": num_taken,
        "num_refused": len(added) - num_taken,
        "job": jobs_of(session, case_id)[0] if num_taken else None,
    }
    return Taken.model_validate(fields)


@router.get(
    "/cases/{case_id}/files",
    operation_id="listFiles",
    summary="All files that came",
    responses=failures(403, 404, 422) | {200: {"headers": PAGED}},
)
def list_files(
    request: Request,
    response: Response,
    *,
    room: RoomOf,
    actor: MayRead,
    case_id: CaseId,
    page: Number = 1,
    per_page: PerPage = 100,
) -> FileList:
    """With what became of each, in the order in which they came."""
    with room.database.read() as session:
        case_for(session, actor, case_id)
        came = images_of(session, case_id)
    paging = Paging(page, per_page)
    paging.link(request, response, len(came))
    return FileList.model_validate(paging.of(came[paging.start : paging.start + per_page], len(came)))
