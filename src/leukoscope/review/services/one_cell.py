"""One cell: what is known of it, and the history of its decisions."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from leukoscope.review.auth.rights import Actor, NotFoundError, case_for
from leukoscope.review.services.decisions import UNDO
from leukoscope.review.services.photographs import cut_of
from leukoscope.review.store.tables import Case, Cell, Cut, Decision, Image, User


class Step(NamedTuple):
    """One step in the history of a cell: who did what when.

    Attributes:
        decided_at: when.
        who: full name.
        username: of the account.
        words: what was done.
        num_cells: that it was done to, with this one.
        is_undone: it was taken back since.
    """

    decided_at: datetime
    who: str
    username: str
    words: str
    num_cells: int
    is_undone: bool


class Look(NamedTuple):
    """A cell with its case, its image and its history, the first step first; and where it was cut out, if it
    was."""

    case: Case
    cell: Cell
    image: Image
    steps: list[Step]
    cut: Cut | None = None


def look(session: Session, actor: Actor, case_id: int, cell_id: int) -> Look:
    """What is known of a cell.

    Raises:
        NotFoundError: when there is no such cell in a case of this person.
    """
    case = case_for(session, actor, case_id)
    cell = session.get(Cell, cell_id)
    if cell is None or cell.case_id != case_id:
        raise NotFoundError(f"there is no cell {cell_id} in case {case_id}", hint="go back to the case")
    image = session.get_one(Image, cell.image_id)
    cut = cut_of(session, cell) if image.kind == "cut" else None
    return Look(case, cell, image, _steps(session, cell_id), cut)


def _steps(session: Session, cell_id: int) -> list[Step]:
    mine = select(Decision.action_id).where(Decision.cell_id == cell_id)
    several = select(Decision.action_id, func.count()).where(Decision.action_id.in_(mine))
    num_cells = dict(session.execute(several.group_by(Decision.action_id)).all())
    found = select(Decision, User).join(User, User.user_id == Decision.user_id)
    return [
        Step(
            step.decided_at,
            user.full_name,
            user.username,
            _words(step),
            num_cells[step.action_id],
            step.is_undone,
        )
        for step, user in session.execute(
            found.where(Decision.cell_id == cell_id).order_by(Decision.decision_id)
        )
    ]


def _words(step: Decision) -> str:
    if step.kind == UNDO:
        return f"took a step back: {step.decision} again"
    if step.kind != "mark":
        return f"approved it with the rest of its tab, as {step.decision}"
    if step.before == step.decision:
        return f"confirmed it as {step.decision}"
    return f"called it {step.decision}; it was {step.before}"
