"""Cells of a case for programs, a page at a time, each with its file and who looked at it."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from leukoscope.errors import UsageError
from leukoscope.review.auth.rights import Actor, case_for
from leukoscope.review.services.gallery import ORDERS
from leukoscope.review.store.tables import DECISIONS, Cell, Image, User


class Wanted(NamedTuple):
    """Which cells of a case, in which order.

    Attributes:
        tab: called so now; empty for all.
        photograph: cut from this one; ``None`` for all.
        is_reviewed: looked at by somebody or not; ``None`` for both.
        apart: counted apart as this; ``None`` for all.
        order: a key of :data:`ORDERS`.
        start: how many to leave out.
        num: how many to give.
    """

    tab: str = ""
    photograph: str | None = None
    is_reviewed: bool | None = None
    apart: str | None = None
    order: str = "position"
    start: int = 0
    num: int = 100


class Found(NamedTuple):
    """A cell, the file that it came from, and who looked at it last."""

    cell: Cell
    image: Image
    reviewer: str | None


def listed_cells(session: Session, actor: Actor, case_id: int, wanted: Wanted) -> tuple[list[Found], int]:
    """Some cells of a case, and how many there are of this kind.

    Raises:
        NotFoundError: when there is no such case for this person.
        UsageError: for an unknown tab or order.
    """
    case_for(session, actor, case_id)
    if wanted.tab not in ("", *DECISIONS) or wanted.order not in ORDERS:
        raise UsageError(
            f"expected a tab of {', '.join(DECISIONS)}, an order of {', '.join(ORDERS)}. "
            f"Received: {wanted.tab}, {wanted.order}"
        )
    query = _narrowed(_found().where(Cell.case_id == case_id), wanted)
    num_all = session.scalar(select(func.count()).select_from(query.subquery())) or 0
    shown = query.order_by(ORDERS[wanted.order], Cell.cell_id).limit(wanted.num).offset(wanted.start)
    return [Found(*row) for row in session.execute(shown)], num_all


def _found() -> Select[Cell, Image, str]:
    return (
        select(Cell, Image, User.username)
        .join(Image, Image.image_id == Cell.image_id)
        .outerjoin(User, User.user_id == Cell.reviewed_by)
    )


def _narrowed(query: Select[Cell, Image, str], wanted: Wanted) -> Select[Cell, Image, str]:
    if wanted.tab:
        query = query.where(Cell.decision == wanted.tab)
    if wanted.photograph is not None:
        query = query.where(Cell.photograph == wanted.photograph)
    if wanted.apart is not None:
        query = query.where(Cell.apart == wanted.apart)
    if wanted.is_reviewed is not None:
        looked = Cell.reviewed_at.is_not(None)
        query = query.where(looked if wanted.is_reviewed else ~looked)
    return query
