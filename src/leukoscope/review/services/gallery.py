"""Cells of a tab, sorted, a stretch at a time; thumbnails that a browser may keep for good."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from leukoscope.errors import UsageError
from leukoscope.review.store.tables import DECISIONS, Cell, Image

STRETCH = 120
THUMBNAIL = 160
"""Pixels of a thumbnail's side: the largest that the gallery shows, twice the usual one for fine screens."""

_SUSPICION = func.coalesce(Cell.blast_probability, -1.0)
ORDERS: dict[str, ColumnElement[Any]] = {
    "suspicion": _SUSPICION.desc(),
    "uncertainty": func.abs(func.coalesce(Cell.blast_probability, 0.5) - 0.5),
    "position": Cell.position.expression,
}


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


def counts(session: Session, case_id: int) -> dict[str, tuple[int, int]]:
    """Of each tab how many cells it holds, and how many of these nobody has looked at."""
    unseen = func.count().filter(Cell.reviewed_at.is_(None))
    found = select(Cell.decision, func.count(), unseen).where(Cell.case_id == case_id).group_by(Cell.decision)
    counted = {name: (num, waiting) for name, num, waiting in session.execute(found)}
    return {name: counted.get(name, (0, 0)) for name in DECISIONS}


def stretch(
    session: Session, case_id: int, tab: str, order: str = "suspicion", *, start: int = 0, num: int = STRETCH
) -> Stretch:
    """Tiles of a tab from ``start`` on.

    Raises:
        UsageError: for an unknown tab or order, or places that are none.
    """
    if tab not in DECISIONS or order not in ORDERS or start < 0 or not 1 <= num <= 1000:
        raise UsageError(
            f"expected a tab of {', '.join(DECISIONS)}, an order of {', '.join(ORDERS)}. "
            f"Received: {tab}, {order}"
        )
    mine = (Cell.case_id == case_id) & (Cell.decision == tab)
    num_all = session.scalar(select(func.count()).select_from(Cell).where(mine)) or 0
    found = (
        select(Cell, Image.name, Image.stored_sha256)
        .join(Image, Image.image_id == Cell.image_id)
        .where(mine)
        .order_by(ORDERS[order], Cell.cell_id)
        .limit(num)
        .offset(start)
    )
    tiles = [_tile(cell, name, sha256 or "") for cell, name, sha256 in session.execute(found)]
    return Stretch(tiles, start, num_all)


def _tile(cell: Cell, name: str, sha256: str) -> Tile:
    return Tile(
        cell.cell_id,
        name,
        cell.decision,
        cell.model_decision,
        cell.reason,
        cell.blast_probability,
        cell.row.get("quality"),
        cell.reviewed_at is not None,
        sha256,
    )


def thumbnail(pixels: np.ndarray) -> bytes:
    """A WebP of at most :data:`THUMBNAIL` pixels a side, of pixels uint8 (H, W, 3) RGB."""
    height, width = pixels.shape[:2]
    scale = THUMBNAIL / max(height, width, THUMBNAIL)
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return bytes(cv2.imencode(".webp", small[:, :, ::-1], [cv2.IMWRITE_WEBP_QUALITY, 82])[1])
