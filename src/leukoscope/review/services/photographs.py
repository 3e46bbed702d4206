"""Photographs of smears in a case: noted as they come, listed with what was found in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session, joinedload

from leukoscope.cells.scale import Scale
from leukoscope.cells.segmentation.found import FLAGS
from leukoscope.cohort.smears import SmearSettings
from leukoscope.review.auth.rights import Actor, NotFoundError, case_for
from leukoscope.review.services.looking import Others
from leukoscope.review.services.uploads import PHOTOGRAPH
from leukoscope.review.settings import room_settings
from leukoscope.review.store.tables import Cell, Cut, Image, Photograph

HOW_KNOWN = {
    "given": "given at upload",
    "red-cells": "by its red cells",
    "other-photographs": "by the red cells of the case's photographs of the same size",
    "red-cells-roughly": "roughly, by heaps and chains of red cells",
    "assumed": "assumed, as nothing is known",
}
"""The sources of a scale in words."""


def note_photographs(
    session: Session, case_id: int, images: Sequence[Image], pixel_size: float | None
) -> list[Photograph]:
    """Note those of these images that are photographs, and how they will be read.

    That is as the first one of the case: a case keeps the numbers that it was first read with. Of the first
    one it is what the room's settings say now.

    Raises:
        UsageError: for a pixel size that cannot be.
    """
    came = [image for image in images if image.kind == PHOTOGRAPH]
    if not came:
        return []
    SmearSettings(pixel_size=pixel_size)
    there = list(session.scalars(_of(case_id)))
    names = {photograph.name for photograph in there}
    treatment = _treatment(session, there)
    noted = []
    for image in came:
        name = _unique(image.name, names)
        names.add(name)
        settings = treatment | {"pixel_size": pixel_size}
        noted.append(Photograph(photograph_id=image.image_id, case_id=case_id, name=name, settings=settings))
    session.add_all(noted)
    session.flush()
    return noted


def _treatment(session: Session, there: Sequence[Photograph]) -> dict[str, Any]:
    if there:
        return {name: there[0].settings[name] for name in ("flat_field", "normalise")}
    settings = room_settings(session)
    return {"flat_field": settings.flat_field, "normalise": settings.normalise}


def _unique(name: str, taken: set[str]) -> str:
    """The name, with a number behind it where another photograph has it."""
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name} ({number})"
    return found


def _of(case_id: int) -> Select[Photograph]:
    return select(Photograph).where(Photograph.case_id == case_id).order_by(Photograph.photograph_id)


def has_smears(session: Session, case_id: int) -> bool:
    """Whether photographs came for a case, so that cells may be counted apart."""
    return session.scalars(select(1).where(Photograph.case_id == case_id).limit(1)).first() is not None


def photographs_of(session: Session, case_id: int) -> list[Photograph]:
    """All photographs of a case with their images, in the order in which they came."""
    return list(session.scalars(_of(case_id).options(joinedload(Photograph.image))))


def photograph_of(session: Session, actor: Actor, case_id: int, photograph_id: int) -> Photograph:
    """One of them, with its image.

    Raises:
        NotFoundError: when there is no such photograph in a case of this person.
    """
    case_for(session, actor, case_id)
    found = session.scalars(
        _of(case_id).where(Photograph.photograph_id == photograph_id).options(joinedload(Photograph.image))
    ).one_or_none()
    if found is None:
        raise NotFoundError(
            f"there is no photograph {photograph_id} in case {case_id}", hint="go back to the case"
        )
    return found


def others_of(session: Session, photograph: Photograph) -> Others:
    """By which photographs of its case the scale of one may be known."""
    kept = select(Image.stored_sha256).where(Image.kind == PHOTOGRAPH, Image.stored_sha256.is_not(None))
    mine = kept.where(Image.case_id == photograph.case_id).order_by(Image.image_id)
    own = photograph.image
    earlier = select(Photograph).join(Image, Image.image_id == Photograph.photograph_id)
    alike = earlier.where(
        Photograph.case_id == photograph.case_id,
        Photograph.scale_source == "other-photographs",
        *(Image.width == own.width, Image.height == own.height),
    )
    found = session.scalars(alike.order_by(Photograph.read_at, Photograph.photograph_id).limit(1)).first()
    sha256s = [sha256 or "" for sha256 in session.scalars(mine)]
    if found is None or found.micrometres_per_pixel is None:
        return Others(sha256s)
    return Others(sha256s, Scale(found.micrometres_per_pixel, "other-photographs", found.num_red_cells))


def cut_of(session: Session, cell: Cell) -> Cut | None:
    """Where a cell was cut out, with the photograph and its image; ``None`` for one that came by itself."""
    found = select(Cut).where(Cut.image_id == cell.image_id)
    return session.scalars(
        found.options(joinedload(Cut.photograph).joinedload(Photograph.image))
    ).one_or_none()


def cuts_of(session: Session, photograph_id: int) -> list[tuple[Cut, Cell | None]]:
    """All that was cut out of a photograph, by number, each with its cell where it was read."""
    found = select(Cut, Cell).outerjoin(Cell, Cell.image_id == Cut.image_id)
    ordered = found.where(Cut.photograph_id == photograph_id).order_by(Cut.number)
    return [(cut, cell) for cut, cell in session.execute(ordered)]


def how_known(photograph: Photograph) -> str:
    """How the scale of a photograph that was read is known, in words."""
    words = HOW_KNOWN.get(photograph.scale_source or "", photograph.scale_source or "")
    num = photograph.num_red_cells
    return f"{words} ({num:,} measured)" if num else words


def reason(photograph: Photograph) -> str | None:
    """Why a photograph shows no cell; ``None`` where it does, or was not looked through yet."""
    if photograph.problem:
        return photograph.problem
    return "no white cell was found in it" if photograph.read_at and not photograph.num_cells else None


def flags_in_words(flags: str) -> list[str]:
    """What the flags of a cut say.

    >>> flags_in_words("lobed")
    ['lobed: the nucleus is in several lobes: no lymphoid cell']
    """
    return [f"{name}: {FLAGS.get(name, name)}" for name in flags.split(",") if name]
