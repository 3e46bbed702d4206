"""What people said of cells: where they contradict the model, and what they approved with a whole tab."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, case, func, or_, select
from sqlalchemy.orm import Session, aliased

from leukoscope.errors import UsageError
from leukoscope.review.auth.rights import Actor, visible
from leukoscope.review.services.decisions import UNDO
from leukoscope.review.store.tables import DECISIONS, Case, Cell, Decision, Image, User

PAGE = 60
BULK = "bulk approval"


def approved_in_bulk() -> Select[int]:
    """The cells whose last standing step was the approval of a whole tab."""
    step, later = aliased(Decision), aliased(Decision)
    stands = (later.kind != UNDO) & ~later.is_undone
    overtaken = select(later.decision_id).where(
        later.cell_id == step.cell_id, later.decision_id > step.decision_id, stands
    )
    return select(step.cell_id).where(step.kind == BULK, ~step.is_undone, ~overtaken.exists())


class Sought(NamedTuple):
    """Which disagreements.

    Attributes:
        case_id: of this case alone.
        signed: of signed cases alone.
        model: the model's word; empty for any but ``indeterminate``, which contradicts nothing.
        decision: the person's word; empty for any.
        text: in the pseudonym or the name of the file.
        page: from 1.
        per_page: how many.
    """

    case_id: int | None = None
    signed: bool = False
    model: str = ""
    decision: str = ""
    text: str = ""
    page: int = 1
    per_page: int = PAGE


class Disagreement(NamedTuple):
    """One of them."""

    cell_id: int
    case_id: int
    subject_id: str
    name: str
    sha256: str
    model_decision: str
    reason: str | None
    blast_probability: float | None
    decision: str
    username: str
    reviewed_at: datetime


class Found(NamedTuple):
    """Disagreements of one page, and how many there are on all."""

    cells: Sequence[Disagreement]
    num_all: int
    page: int
    num_pages: int


def disagreements(session: Session, actor: Actor, sought: Sought) -> Found:
    """Those that this person sees, the most certain errors first.

    Raises:
        ForbiddenError: for who may not read.
        UsageError: for unknown words, or a page that is none.
    """
    actor.need("read")
    if {sought.model, sought.decision} - {"", *DECISIONS} or sought.page < 1 or sought.per_page < 1:
        raise UsageError(f"expected words of {', '.join(DECISIONS)}, a page from 1. Received: {sought}")
    query = _narrowed(select(*_COLUMNS), actor, sought)
    num_all = session.scalar(select(func.count()).select_from(query.subquery())) or 0
    ordered = query.order_by(_certainty().desc(), Cell.cell_id)
    shown = ordered.limit(sought.per_page).offset((sought.page - 1) * sought.per_page)
    cells = [Disagreement(*row) for row in session.execute(shown)]
    return Found(cells, num_all, sought.page, max(1, -(-num_all // sought.per_page)))


_COLUMNS: tuple[Any, ...] = (
    *(Cell.cell_id, Cell.case_id, Case.subject_id, Image.name, func.coalesce(Image.stored_sha256, "")),
    *(
        Cell.model_decision,
        Cell.reason,
        Cell.blast_probability,
        Cell.decision,
        User.username,
        Cell.reviewed_at,
    ),
)


def _narrowed(query: Select[Any], actor: Actor, sought: Sought) -> Select[Any]:
    query = (
        query.join(Case, Case.case_id == Cell.case_id)
        .join(Image, Image.image_id == Cell.image_id)
        .join(User, User.user_id == Cell.reviewed_by)
        .where(visible(actor), Cell.decision != Cell.model_decision)
    )
    model = Cell.model_decision == sought.model if sought.model else Cell.model_decision != "indeterminate"
    query = query.where(model)
    if sought.case_id is not None:
        query = query.where(Cell.case_id == sought.case_id)
    if sought.signed:
        query = query.where(Case.state == "signed")
    if sought.decision:
        query = query.where(Cell.decision == sought.decision)
    if word := sought.text.strip():
        found = [column.icontains(word, autoescape=True) for column in (Case.subject_id, Image.name)]
        query = query.where(or_(*found))
    return query


def _certainty() -> ColumnElement[Any]:
    """How sure the model was of what a person then called otherwise."""
    p = func.coalesce(Cell.blast_probability, 0.5)
    return case((Cell.model_decision == "normal", 1 - p), else_=p)
