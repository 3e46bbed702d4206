"""What a page of the PDF is filled with: tables of thousands of rows and sheets of pictures, cut at any row.

reportlab's own table lays out the whole rest again for each page; with 5,000 rows that takes minutes.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, NamedTuple

from reportlab.lib.colors import Color, HexColor
from reportlab.lib.units import mm
from reportlab.lib.utils import ImageReader
from reportlab.platypus import Flowable

from leukoscope.review.reports.fonts import BOLD, PLAIN, drawable, width, wrapped
from leukoscope.review.reports.pictures import Draw
from leukoscope.review.reports.sections import Picture, Table

INK, SOFT, LINE, WASH = (HexColor(code) for code in ("#1b1d23", "#565c68", "#d5d9e0", "#f1f2f5"))
SIZE, LEADING, PAD = 7.0, 8.4, 1.8
PICTURE, LETTERS = 22 * mm, 5.6


class _Line(NamedTuple):
    """A row, its texts broken into lines, and how high it is."""

    texts: tuple[tuple[str, ...], ...]
    height: float


class _Layout(NamedTuple):
    """What all parts of a table share: widths of the columns, the head, which stand right, which are soft."""

    columns: tuple[float, ...]
    head: _Line | None
    numbers: frozenset[int]
    soft: frozenset[int]

    def line(self, texts: Sequence[str], face: str = PLAIN) -> _Line:
        """A row, laid out."""
        broken = tuple(
            tuple(wrapped(drawable(text), room - 2 * PAD, SIZE, face))
            for text, room in zip(texts, self.columns, strict=True)
        )
        return _Line(broken, max(map(len, broken)) * LEADING + 2 * PAD)


def table(found: Table, room: float) -> Rows:
    """A table of this width whose head stands on every page."""
    layout = _Layout(_shared(found.widths, room), None, found.numbers, frozenset())
    return Rows(layout._replace(head=layout.line(found.head, BOLD)), [layout.line(row) for row in found.rows])


def facts(found: Sequence[tuple[str, str]], room: float) -> Rows:
    """Names and values, without a head."""
    layout = _Layout(_shared((0.26, 0.74), room), None, frozenset(), frozenset({0}))
    return Rows(layout, [layout.line(row) for row in found])


def _shared(widths: Sequence[float], room: float) -> tuple[float, ...]:
    return tuple(share * room / sum(widths) for share in widths)


class Rows(Flowable):  # type: ignore[misc]
    """Rows that are laid out already."""

    def __init__(self, layout: _Layout, lines: Sequence[_Line]) -> None:
        super().__init__()
        self._layout, self._lines, self.width = layout, lines, sum(layout.columns)
        self._head = layout.head.height if layout.head else 0.0

    def wrap(self, _room: float, _height: float) -> tuple[float, float]:
        """How much room it takes."""
        self.height = self._head + sum(line.height for line in self._lines)
        return self.width, self.height

    def split(self, _room: float, height: float) -> list[Flowable]:
        """What fits, and the rest."""
        left, num = height - self._head, 0
        while num < len(self._lines) and left >= self._lines[num].height:
            left -= self._lines[num].height
            num += 1
        return [Rows(self._layout, part) for part in (self._lines[:num], self._lines[num:])] if num else []

    def draw(self) -> None:
        """Onto the page."""
        top = self.height
        if self._layout.head:
            top = self._draw_line(self._layout.head, top, BOLD, SOFT)
        for line in self._lines:
            top = self._draw_line(line, top, PLAIN, INK)

    def _draw_line(self, line: _Line, top: float, face: str, ink: Color) -> float:
        canvas, bottom = self.canv, top - line.height
        if face == BOLD:
            canvas.setFillColor(WASH)
            canvas.rect(0, bottom, self.width, line.height, stroke=0, fill=1)
        canvas.setStrokeColor(LINE)
        canvas.setLineWidth(0.4)
        canvas.line(0, bottom, self.width, bottom)
        canvas.setFont(face, SIZE)
        left = 0.0
        for column, (texts, room) in enumerate(zip(line.texts, self._layout.columns, strict=True)):
            canvas.setFillColor(SOFT if column in self._layout.soft else ink)
            for place, text in enumerate(texts):
                y = top - PAD - SIZE - place * LEADING
                if column in self._layout.numbers:
                    canvas.drawRightString(left + room - PAD, y, text)
                else:
                    canvas.drawString(left + PAD, y, text)
            left += room
        return bottom


class Sheet(Flowable):  # type: ignore[misc]
    """Pictures in rows, each with its lines below."""

    def __init__(self, pictures: Sequence[Picture], room: float, draw: Draw) -> None:
        super().__init__()
        self._pictures, self.width, self._draw = pictures, room, draw
        self._columns = int(room // (PICTURE + 2 * mm))
        self._step = room / self._columns
        self._row = PICTURE + 4 * LETTERS * 1.2 + 2 * mm

    @property
    def _num_rows(self) -> int:
        return -(-len(self._pictures) // self._columns)

    def wrap(self, _room: float, _height: float) -> tuple[float, float]:
        """How much room it takes."""
        self.height = self._num_rows * self._row
        return self.width, self.height

    def split(self, _room: float, height: float) -> list[Flowable]:
        """Whole rows that fit, and the rest."""
        num = int(height // self._row) * self._columns
        parts = (self._pictures[:num], self._pictures[num:])
        return [Sheet(part, self.width, self._draw) for part in parts] if num else []

    def draw(self) -> None:
        """Onto the page."""
        for place, picture in enumerate(self._pictures):
            row, column = divmod(place, self._columns)
            self._draw_one(picture, column * self._step, self.height - row * self._row)

    def _draw_one(self, picture: Picture, left: float, top: float) -> None:
        canvas: Any = self.canv
        data = self._draw(picture.sha256)
        bottom = top - PICTURE
        if data is None:
            canvas.setStrokeColor(LINE)
            canvas.rect(left, bottom, PICTURE, PICTURE)
        else:
            canvas.drawImage(ImageReader(io.BytesIO(data)), left, bottom, PICTURE, PICTURE)
        canvas.setFillColor(INK)
        canvas.setFont(PLAIN, LETTERS)
        y = bottom
        for line in self._caption(picture, missing=data is None):
            y -= LETTERS * 1.2
            canvas.drawString(left, y, line)

    def _caption(self, picture: Picture, *, missing: bool) -> list[str]:
        lines = [*picture.lines, *(["picture not there"] if missing else [])]
        room = self._step - 1 * mm
        broken = [part for line in lines[1:] for part in wrapped(drawable(line), room, LETTERS)]
        name = drawable(lines[0])
        if width(name, LETTERS) > room:
            name = "…" + next(
                name[cut:] for cut in range(len(name)) if width("…" + name[cut:], LETTERS) <= room
            )
        return [name, *broken]
