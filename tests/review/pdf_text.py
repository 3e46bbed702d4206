"""The text of each page of a PDF."""

from __future__ import annotations

from io import BytesIO

from pypdf import PdfReader


def pages_of(data: bytes) -> list[str]:
    """What a reader finds on each page, a line for each text that was drawn."""
    return [page.extract_text() for page in PdfReader(BytesIO(data)).pages]
