"""The letters of the PDF: DejaVu Sans, which matplotlib brings along and which knows most scripts."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

PLAIN, BOLD = "DejaVuSans", "DejaVuSans-Bold"


@cache
def register() -> None:
    """Make both faces known to reportlab, once; matplotlib itself is not loaded."""
    for name in (PLAIN, BOLD):
        pdfmetrics.registerFont(TTFont(name, _folder() / f"{name}.ttf"))


def _folder() -> Path:
    found = find_spec("matplotlib")
    if found is None or not found.submodule_search_locations:
        raise RuntimeError("matplotlib, which this package depends on, is not installed")
    return Path(found.submodule_search_locations[0]) / "mpl-data" / "fonts" / "ttf"


def drawable(text: str) -> str:
    r"""The text with every letter that the face lacks written by its number, so that nothing is lost.

    >>> drawable("Zelle_ß_клетка_細胞")
    'Zelle_ß_клетка_\\u7d30\\u80de'
    """
    known = _known()
    if all(ord(letter) in known for letter in text):
        return text
    return "".join(letter if ord(letter) in known else rf"\u{ord(letter):04x}" for letter in text)


@cache
def _known() -> frozenset[int]:
    register()
    return frozenset(pdfmetrics.getFont(PLAIN).face.charToGlyph)


def width(text: str, size: float, face: str = PLAIN) -> float:
    """How wide a text is, in points."""
    return float(pdfmetrics.stringWidth(text, face, size))


def wrapped(text: str, room: float, size: float, face: str = PLAIN) -> list[str]:
    """The text in lines of at most ``room`` points, broken behind a blank or a dash where that can be."""
    lines = list[str]()
    while width(text, size, face) > room and len(text) > 1:
        cut = _fitting(text, room, size, face)
        soft = max(text.rfind(sign, 0, cut) for sign in " -_/.") + 1
        cut = soft if soft > cut // 3 else cut
        lines.append(text[:cut].rstrip())
        text = text[cut:].lstrip()
    return [*lines, text]


def _fitting(text: str, room: float, size: float, face: str) -> int:
    """How many letters fit, at least one."""
    least, most = 1, len(text)
    while least < most:
        middle = (least + most + 1) // 2
        least, most = (middle, most) if width(text[:middle], size, face) <= room else (least, middle - 1)
    return least
