"""What a person says of cells: one, many, a whole tab; taken back step by step; every step in the history."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session, aliased, defer

from leukoscope.errors import UsageError
from leukoscope.review.audit import record
from leukoscope.review.auth.rights import Actor, NotFoundError, case_for
from leukoscope.review.services.cases import settle
from leukoscope.review.services.intake import ConflictError, check_open
from leukoscope.review.services.parts import PARTS, stored_apart
from leukoscope.review.store.tables import DECISIONS, Case, Cell, Decision, utc_now

UNDO = "undo"
MOST_AT_ONCE = 10_000
_UNREAD = defer(Cell.row)
"""Of thousands of cells, what takes longest to load, and is not needed to decide on them."""


def decide(session: Session, actor: Actor, case_id: int, cell_ids: Sequence[int], decision: str) -> str:
    """Call these cells so; they count as reviewed.

    Args:
        session: a writing one.
        actor: who decides.
        case_id: whose cells they are.
        cell_ids: at least one.
        decision: one of :data:`DECISIONS`; the one that a cell has confirms it.

    Returns:
        The id of the action, for :func:`undo`.

    Raises:
        UsageError: for an unknown decision or no cell.
        NotFoundError: when a cell is not in this case, or the case not this person's to see.
        ConflictError: when the case is signed or its images are being read.
    """
    if decision not in DECISIONS or not cell_ids:
        raise UsageError(f"expected a decision of {', '.join(DECISIONS)}, and cells. Received: {decision}")
    case = _reviewable(session, actor, case_id)
    wanted = set(cell_ids)
    cells = _found(session, case_id, sorted(wanted))
    if len(cells) != len(wanted):
        missing = min(wanted - {cell.cell_id for cell in cells})
        raise NotFoundError(f"there is no cell {missing} in case {case_id}")
    return _apply(session, actor, case, cells, decision, kind="mark")


def _found(session: Session, case_id: int, wanted: Sequence[int]) -> list[Cell]:
    """These cells of a case, as far as there are any; a query holds only so many numbers."""
    query = select(Cell).where(Cell.case_id == case_id).order_by(Cell.cell_id).options(_UNREAD)
    parts = [wanted[start : start + MOST_AT_ONCE] for start in range(0, len(wanted), MOST_AT_ONCE)]
    return [cell for part in parts for cell in session.scalars(query.where(Cell.cell_id.in_(part)))]


def approve(
    session: Session, actor: Actor, case_id: int, tab: str, photograph: str = "", *, apart: str = ""
) -> str | None:
    """Confirm every cell of a tab that nobody has looked at, in one step that the trail calls bulk.

    With ``photograph`` only the cells of that one, with ``apart`` one of :data:`PARTS` of the tab.

    Returns:
        The id of the action, ``None`` where no cell was waiting.

    Raises:
        UsageError, NotFoundError, ConflictError: as :func:`decide`.
    """
    if tab not in DECISIONS:
        raise UsageError(f"expected a tab of {', '.join(DECISIONS)}. Received: {tab}")
    if apart not in ("", *PARTS):
        raise UsageError(f"expected a part of {', '.join(PARTS)}. Received: {apart}")
    case = _reviewable(session, actor, case_id)
    waiting = select(Cell).where(Cell.case_id == case_id, Cell.decision == tab, Cell.reviewed_at.is_(None))
    if photograph:
        waiting = waiting.where(Cell.photograph == photograph)
    if apart:
        waiting = waiting.where(Cell.apart == stored_apart(apart))
    cells = list(session.scalars(waiting.order_by(Cell.cell_id).options(_UNREAD)))
    if not cells:
        return None
    return _apply(session, actor, case, cells, tab, kind="bulk approval")


def undo(session: Session, actor: Actor, case_id: int) -> str | None:
    """Take this person's last step in a case back; again for the one before.

    Returns:
        The id of the step that was taken back, ``None`` where there is none.

    Raises:
        NotFoundError: as :func:`decide`.
        ConflictError: as :func:`decide`, and when somebody has decided on one of these cells since.
    """
    case = _reviewable(session, actor, case_id)
    last = _last_steps(session, actor, case_id)
    if not last:
        return None
    step, later = aliased(Decision), aliased(Decision)
    since = (later.cell_id == step.cell_id) & (later.decision_id > step.decision_id) & _stands(later)
    overtaken = select(step.cell_id).join(later, since).where(step.action_id == last[0].action_id).limit(1)
    if session.scalars(overtaken).first() is not None:
        raise ConflictError(
            "somebody has decided on one of these cells since", hint="decide on it by hand, cell by cell"
        )
    _take_back(session, actor, case, last)
    return last[0].action_id


def _reviewable(session: Session, actor: Actor, case_id: int) -> Case:
    actor.need("review")
    case = case_for(session, actor, case_id, lock=True)
    check_open(case)
    if case.state == "running":
        raise ConflictError("the images of this case are being read", hint="wait until they are")
    return case


def _stands(step: type[Decision]) -> ColumnElement[bool]:
    """Whether a step is one of the history and was not taken back."""
    return (step.kind != UNDO) & ~step.is_undone


def _last_steps(session: Session, actor: Actor, case_id: int) -> list[Decision]:
    """The steps of this person's last action in a case that stands, in the order of the cells."""
    mine = (Decision.case_id == case_id) & (Decision.user_id == actor.user_id) & _stands(Decision)
    last = select(Decision.action_id).where(mine).order_by(Decision.decision_id.desc()).limit(1)
    steps = select(Decision).where(Decision.action_id == last.scalar_subquery())
    return list(session.scalars(steps.order_by(Decision.cell_id)))


def _apply(
    session: Session, actor: Actor, case: Case, cells: Sequence[Cell], decision: str, *, kind: str
) -> str:
    now, action_id = utc_now(), uuid.uuid4().hex
    for cell in cells:
        step = _step(actor, cell, action_id, kind, decision)
        cell.decision, cell.reviewed_by, cell.reviewed_at = decision, actor.user_id, now
        session.add(step)
    _finish(
        session, actor, case, [(cell.cell_id, decision) for cell in cells], action_id=action_id, kind=kind
    )
    return action_id


def _take_back(session: Session, actor: Actor, case: Case, steps: Sequence[Decision]) -> None:
    action_id = uuid.uuid4().hex
    cells = {cell.cell_id: cell for cell in _found(session, case.case_id, [step.cell_id for step in steps])}
    for step in steps:
        cell = cells[step.cell_id]
        session.add(_step(actor, cell, action_id, UNDO, step.before))
        cell.decision, cell.reviewed_by, cell.reviewed_at = step.before, step.before_by, step.before_at
        step.is_undone = True
    done = [(step.cell_id, step.before) for step in steps]
    _finish(session, actor, case, done, action_id=action_id, kind=UNDO)


def _step(actor: Actor, cell: Cell, action_id: str, kind: str, decision: str) -> Decision:
    return Decision(
        case_id=cell.case_id,
        cell_id=cell.cell_id,
        user_id=actor.user_id,
        action_id=action_id,
        kind=kind,
        before=cell.decision,
        before_by=cell.reviewed_by,
        before_at=cell.reviewed_at,
        decision=decision,
    )


def _finish(
    session: Session, actor: Actor, case: Case, done: Sequence[tuple[int, str]], *, action_id: str, kind: str
) -> None:
    session.flush()
    settle(session, case)
    record(
        session,
        actor.username,
        "cells decided",
        case.case_id,
        kind=kind,
        action_id=action_id,
        num_cells=len(done),
        decisions=sorted({decision for _, decision in done}),
        cells_sha256=fingerprint(done),
    )


def fingerprint(done: Sequence[tuple[int, str]]) -> str:
    """SHA-256 over cells and what they were called, so that the trail vouches for the table of decisions.

    >>> fingerprint([(2, "blast"), (1, "normal")]) == fingerprint([(1, "normal"), (2, "blast")])
    True
    """
    lines = "".join(f"{cell_id} {decision}\n" for cell_id, decision in sorted(done))
    return hashlib.sha256(lines.encode()).hexdigest()


def cells_of(session: Session, action_id: str) -> list[int]:
    """The cells that an action was done to."""
    return list(session.scalars(select(Decision.cell_id).where(Decision.action_id == action_id)))


def history(session: Session, cell_id: int) -> list[Decision]:
    """All steps of a cell, the first one first."""
    steps = select(Decision).where(Decision.cell_id == cell_id).order_by(Decision.decision_id)
    return list(session.scalars(steps))
