"""Cells of a tab: which ones in which order, their tiles, and who stands before and behind a cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import Session

from leukoscope.errors import UsageError
from leukoscope.review.services.parts import OPEN, PARTS, stored_apart
from leukoscope.review.store.tables import DECISIONS, Cell, Image

STRETCH = 120
MOST_TILES = 300
"""Tiles that are drawn at once, at most."""
THUMBNAILS = "thumbnails"
"""What they are called among the derived files."""

THUMBNAIL = 160
"""Pixels of a thumbnail's side: the largest that the gallery shows, twice the usual one for fine screens."""

ORDERS: dict[str, ColumnElement[Any]] = {
    "suspicion": Cell.blast_probability.desc().nulls_last(),
    "uncertainty": func.abs(func.coalesce(Cell.blast_probability, 0.5) - 0.5),
    "position": Cell.position.expression,
}


class View(NamedTuple):
    """Which cells of a case are looked at, and in which order.

    Attributes:
        tab: one of the decisions.
        order: one of :data:`ORDERS`.
        photograph: only cells of this one; empty for all.
        apart: only one of :data:`~leukoscope.review.services.parts.PARTS`; empty for all.
    """

    tab: str
    order: str = "suspicion"
    photograph: str = ""
    apart: str = ""


class Tile(NamedTuple):
    """A cell as the gallery shows it."""

    cell_id: int
    name: str
    decision: str
    model_decision: str
    reason: str | None
    blast_probability: float | None
    quality: str | None
    is_reviewed: bool
    sha256: str


class Stretch(NamedTuple):
    """Some tiles of a tab, where they begin, and how many the tab holds."""

    tiles: Sequence[Tile]
    start: int
    num_all: int


class Around(NamedTuple):
    """Where a cell stands in a tab: its place from 1 of ``num_all``, and who is before and behind it."""

    place: int
    num_all: int
    before: int | None
    after: int | None


def counts(session: Session, case_id: int, photograph: str = "") -> dict[str, tuple[int, int]]:
    """Of each tab how many cells it holds, and how many of these nobody has looked at."""
    unseen = func.count().filter(Cell.reviewed_at.is_(None))
    found = select(Cell.decision, func.count(), unseen).where(Cell.case_id == case_id).group_by(Cell.decision)
    if photograph:
        found = found.where(Cell.photograph == photograph)
    counted = {name: (num, waiting) for name, num, waiting in session.execute(found)}
    return {name: counted.get(name, (0, 0)) for name in DECISIONS}


def parts(session: Session, case_id: int, view: View) -> dict[str, tuple[int, int]]:
    """Of each part of a tab the same; empty where none of its cells is counted apart."""
    if view.tab != OPEN:
        return {}
    unseen = func.count().filter(Cell.reviewed_at.is_(None))
    mine = (Cell.case_id == case_id) & (Cell.decision == view.tab)
    found = select(Cell.apart, func.count(), unseen).where(mine).group_by(Cell.apart)
    if view.photograph:
        found = found.where(Cell.photograph == view.photograph)
    counted = {name: (num, waiting) for name, num, waiting in session.execute(found)}
    if not set(counted) - {""}:
        return {}
    return {name: counted.get(stored_apart(name), (0, 0)) for name in PARTS}


def cell_ids(session: Session, case_id: int, view: View) -> list[int]:
    """All cells of a view, in its order.

    Raises:
        UsageError: for an unknown tab or order.
    """
    return list(session.scalars(_ordered(select(Cell.cell_id), case_id, view)))


def around(session: Session, case_id: int, view: View, cell_id: int) -> Around | None:
    """Where a cell stands in a view; ``None`` where it is not in it."""
    ids = cell_ids(session, case_id, view)
    if cell_id not in ids:
        return None
    place = ids.index(cell_id)
    before = ids[place - 1] if place else None
    return Around(place + 1, len(ids), before, ids[place + 1] if place + 1 < len(ids) else None)


def stretch(
    session: Session,
    case_id: int,
    tab: str,
    order: str = "suspicion",
    *,
    photograph: str = "",
    apart: str = "",
    start: int = 0,
    num: int = STRETCH,
) -> Stretch:
    """Tiles of a tab from ``start`` on.

    Raises:
        UsageError: for an unknown tab or order, or places that are none.
    """
    if start < 0 or not 1 <= num <= 1000:
        raise UsageError(f"expected a start from 0 and 1 to 1,000 tiles. Received: {start}, {num}")
    view = View(tab, order, photograph, apart)
    shown = session.scalars(_ordered(select(Cell.cell_id), case_id, view).limit(num).offset(start))
    num_all = counts(session, case_id, photograph)[tab][0]
    return Stretch(_drawn(session, case_id, list(shown)), start, num_all)


def tiles(session: Session, case_id: int, wanted: Sequence[int]) -> list[Tile]:
    """The tiles of these cells, as far as they are of this case, in the order asked for.

    Raises:
        UsageError: for more than :data:`MOST_TILES`.
    """
    if len(wanted) > MOST_TILES:
        raise UsageError(f"expected at most {MOST_TILES} cells. Received: {len(wanted)}")
    return _drawn(session, case_id, wanted)


def _drawn(session: Session, case_id: int, wanted: Sequence[int]) -> list[Tile]:
    """By number, so that the database sorts numbers and not rows of a kilobyte."""
    found = session.execute(_tiles().where(Cell.case_id == case_id, Cell.cell_id.in_(wanted)))
    known = {tile.cell_id: tile for tile in map(_tile, found)}
    return [known[cell_id] for cell_id in wanted if cell_id in known]


def _ordered(query: Select[Any], case_id: int, view: View) -> Select[Any]:
    if view.tab not in DECISIONS or view.order not in ORDERS or view.apart not in ("", *PARTS):
        raise UsageError(
            f"expected a tab of {', '.join(DECISIONS)}, an order of {', '.join(ORDERS)}, a part of "
            f"{', '.join(PARTS)}. Received: {view.tab}, {view.order}, {view.apart}"
        )
    query = query.where(Cell.case_id == case_id, Cell.decision == view.tab)
    if view.photograph:
        query = query.where(Cell.photograph == view.photograph)
    if view.apart:
        query = query.where(Cell.apart == stored_apart(view.apart))
    return query.order_by(ORDERS[view.order], Cell.cell_id)


def _tiles() -> Select[Any]:
    columns = (Cell.cell_id, Image.name, Cell.decision, Cell.model_decision, Cell.reason)
    more = (Cell.blast_probability, Cell.row, Cell.reviewed_at.is_not(None), Image.stored_sha256)
    return select(*columns, *more).join(Image, Image.image_id == Cell.image_id)


def _tile(found: Any) -> Tile:
    return Tile(*found)._replace(quality=found.row.get("quality"))


def thumbnail(pixels: np.ndarray) -> bytes:
    """A WebP of at most :data:`THUMBNAIL` pixels a side, of pixels uint8 (H, W, 3) RGB."""
    height, width = pixels.shape[:2]
    scale = THUMBNAIL / max(height, width, THUMBNAIL)
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return bytes(cv2.imencode(".webp", small[:, :, ::-1], [cv2.IMWRITE_WEBP_QUALITY, 82])[1])
