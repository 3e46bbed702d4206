"""A report as one HTML file that opens anywhere: style and pictures inside it, nothing from elsewhere."""

from __future__ import annotations

import base64
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, Template

from leukoscope.review.reports.pictures import Draw
from leukoscope.review.reports.sections import Document, sections, stamps, title

HERE = Path(__file__).parent.parent


def html(report: Document, sha256: str, draw: Draw) -> bytes:
    """The report as a file to keep.

    Args:
        report: as :func:`~leukoscope.review.reports.document.document` makes it.
        sha256: of its canonical JSON.
        draw: the JPEG of an image by its hash, ``None`` where there is none.
    """

    def source(image: str) -> str:
        data = draw(image)
        return "" if data is None else f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"

    text = _template().render(
        report=report,
        title=title(report),
        stamps=stamps(report),
        sections=sections(report, sha256),
        sha256=sha256,
        source=source,
        style=(HERE / "static" / "report.css").read_text(encoding="utf-8"),
    )
    return text.encode()


@cache
def _template() -> Template:
    found = Environment(loader=FileSystemLoader(HERE / "templates"), autoescape=True, trim_blocks=True)
    return found.get_template("report_file.html")
