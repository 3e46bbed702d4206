"""What was cut out of a photograph: written down as images, and where each of them was."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from leukoscope.cohort.smears import Origin
from leukoscope.review.services.looking import Looked
from leukoscope.review.store.tables import Cut, Image, Photograph, utc_now


def note(session: Session, photograph: Photograph, looked: Looked) -> None:
    """What was found in a photograph: its cuts become images, to be read as any others."""
    photograph.settings = looked.settings.model_dump(mode="json")
    photograph.read_at, photograph.problem, photograph.flags = utc_now(), looked.problem, looked.flags
    photograph.num_cells = len(looked.cuts)
    if looked.scale is not None:
        photograph.micrometres_per_pixel = looked.scale.micrometres_per_pixel
        photograph.scale_source, photograph.num_red_cells = looked.scale.source, looked.scale.num_red_cells
    came = session.get_one(Image, photograph.photograph_id)
    for number, found in enumerate(looked.cuts, start=1):
        image = Image(
            case_id=came.case_id,
            kind="cut",
            name=f"{photograph.name} #{number}",
            num_bytes=came.num_bytes,
            received_sha256=came.received_sha256,
            stored_sha256=found.stored.sha256,
            width=found.stored.width,
            height=found.stored.height,
            received_by=came.received_by,
            received_at=came.received_at,
        )
        cut = Cut(
            photograph_id=photograph.photograph_id,
            number=number,
            box=list(found.box),
            outline=found.outline,
            flags=",".join(found.flags),
        )
        cut.image = image
        session.add(cut)


def cuts_by_image(session: Session, images: list[Image]) -> dict[int, Cut]:
    """Of those images that were cut out of a photograph where, by the image's number."""
    ids = [image.image_id for image in images if image.kind == "cut"]
    if not ids:
        return {}
    found = select(Cut).where(Cut.image_id.in_(ids)).options(joinedload(Cut.photograph))
    return {cut.image_id: cut for cut in session.scalars(found)}


def origin_of(cut: Cut) -> Origin:
    """Where an image was cut out, as the prediction table says it."""
    photograph = cut.photograph
    x, y, width, height = cut.box
    return Origin(
        photograph.name,
        x,
        y,
        width,
        height,
        cut.flags,
        photograph.micrometres_per_pixel or 0.0,
        photograph.scale_source or "",
    )
