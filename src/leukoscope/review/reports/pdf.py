"""A report as PDF: A4, header and footer on every page, the same bytes for the same signed report."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any
from xml.sax.saxutils import escape

from reportlab.lib.enums import TA_LEFT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    CondPageBreak,
    Flowable,
    Frame,
    PageTemplate,
    Paragraph,
    Spacer,
)

from leukoscope.review.reports.flow import INK, LINE, SOFT, Sheet, facts, table
from leukoscope.review.reports.fonts import BOLD, PLAIN, drawable, register, wrapped
from leukoscope.review.reports.pictures import Draw
from leukoscope.review.reports.sections import NOT_SIGNED, Document, Section, sections, stamps, title

MARGIN, HEAD, FOOT = 15 * mm, 22 * mm, 20 * mm
ROOM = A4[0] - 2 * MARGIN


def pdf(report: Document, sha256: str, draw: Draw) -> bytes:
    """The report as a PDF; a draft has a watermark on every page.

    Args:
        report: as :func:`~leukoscope.review.reports.document.document` makes it.
        sha256: of its canonical JSON.
        draw: the JPEG of an image by its hash, ``None`` where there is none.
    """
    register()
    stream = io.BytesIO()
    template = BaseDocTemplate(
        stream,
        pagesize=A4,
        invariant=1,
        title=drawable(
            f"{title(report)} of case {report['case']['case_id']}, {report['case']['subject_id']}"
        ),
        author=drawable(report["laboratory"]),
        subject=report["notice"],
        creator="Leukoscope",
        lang="en",
    )
    frame = Frame(MARGIN, FOOT, ROOM, A4[1] - HEAD - FOOT, 0, 0, 0, 0)
    template.addPageTemplates(PageTemplate("page", [frame], onPage=_marker(report)))
    template.build(list(_story(report, sha256, draw)), canvasmaker=_canvas(report, sha256))
    return stream.getvalue()


def _marker(report: Document) -> Any:
    """Draws the watermark below what comes."""

    def mark(canvas: Canvas, _template: BaseDocTemplate) -> None:
        if report.get("signature"):
            return
        canvas.saveState()
        canvas.setFillGray(0.93)
        canvas.setFont(BOLD, 52)
        canvas.translate(A4[0] / 2, A4[1] / 2)
        canvas.rotate(52)
        canvas.drawCentredString(0, -18, NOT_SIGNED.upper())
        canvas.restoreState()

    return mark


def _canvas(report: Document, sha256: str) -> type[Canvas]:
    """A canvas that knows at the end how many pages there are, and then writes header and footer."""

    class Numbered(Canvas):  # type: ignore[misc]
        def __init__(self, *given: Any, **more: Any) -> None:
            super().__init__(*given, **more)
            self._pages = list[dict[str, Any]]()

        def showPage(self) -> None:  # noqa: N802 - as reportlab calls it
            self._pages.append(dict(self.__dict__))
            self._startPage()

        def save(self) -> None:
            pages = self._pages
            for number, page in enumerate(pages, 1):
                self.__dict__.update(page)
                _edges(self, report, sha256, f"page {number} of {len(pages)}")
                super().showPage()
            super().save()

    return Numbered


def _edges(canvas: Canvas, report: Document, sha256: str, number: str) -> None:
    case, right = report["case"], A4[0] - MARGIN
    top, bottom = A4[1] - HEAD + 4 * mm, FOOT - 5 * mm
    canvas.setStrokeColor(LINE)
    canvas.setLineWidth(0.6)
    canvas.line(MARGIN, top, right, top)
    canvas.line(MARGIN, bottom, right, bottom)
    canvas.setFont(BOLD, 8.5)
    canvas.setFillColor(INK)
    subject = wrapped(drawable(f"{case['subject_id']} · case {case['case_id']}"), ROOM * 0.6, 8.5, BOLD)[0]
    canvas.drawString(MARGIN, top + 2 * mm, subject)
    canvas.setFont(PLAIN, 8)
    canvas.setFillColor(SOFT)
    laboratory = wrapped(drawable(report["laboratory"] or "Leukoscope"), ROOM * 0.38, 8)[0]
    canvas.drawRightString(right, top + 2 * mm, laboratory)
    canvas.drawString(MARGIN, bottom - 4 * mm, report["notice"])
    canvas.drawRightString(right, bottom - 4 * mm, number)
    canvas.setFont(PLAIN, 6.5)
    canvas.drawString(MARGIN, bottom - 7.5 * mm, f"{title(report)}, SHA-256 {sha256}")


def _story(report: Document, sha256: str, draw: Draw) -> Iterator[Flowable]:
    yield Paragraph(_text(f"{title(report)}: {report['case']['subject_id']}"), _style(15, BOLD, after=4))
    for stamp in stamps(report):
        yield Paragraph(_text(stamp), _style(9, BOLD, after=3))
    for section in sections(report, sha256):
        yield from _section(section, draw)


def _section(section: Section, draw: Draw) -> Iterator[Flowable]:
    yield CondPageBreak(35 * mm)
    yield Spacer(0, 4 * mm)
    yield Paragraph(_text(section.title), _style(10.5, BOLD, after=2))
    for words in section.words:
        yield Paragraph(_text(words), _style(8, PLAIN, after=3))
    if section.facts:
        yield facts(section.facts, ROOM)
        yield Spacer(0, 2 * mm)
    if section.pictures:
        yield Sheet(section.pictures, ROOM, draw)
    if section.table is not None:
        yield table(section.table, ROOM)


def _text(words: str) -> str:
    return escape(drawable(words))


def _style(size: float, face: str, *, after: float) -> ParagraphStyle:
    return ParagraphStyle(
        f"{face} {size}",
        fontName=face,
        fontSize=size,
        leading=size * 1.3,
        textColor=INK,
        alignment=TA_LEFT,
        spaceAfter=after,
        splitLongWords=1,
    )
