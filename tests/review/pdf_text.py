"""The text of each page of a PDF: as much of the format as reportlab writes, read without it."""

from __future__ import annotations

import base64
import re
import zlib

_OBJECT = re.compile(rb"(\d+) 0 obj\b(.*?)endobj", re.DOTALL)
_SHOWN = re.compile(rb"/(F\d+(?:\+\d+)?) [\d.]+ Tf|\(((?:\\.|[^\\()])*)\) Tj", re.DOTALL)
_ESCAPED = re.compile(rb"\\([0-7]{1,3}|.)", re.DOTALL)
_SIGNS = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}


def pages_of(data: bytes) -> list[str]:
    """What can be read on each page, a line for each text that was drawn."""
    objects = {int(number): body for number, body in _OBJECT.findall(data)}
    fonts = {
        name: _letters(_stream(objects[int(number)]))
        for body in objects.values()
        for name, reference in re.findall(rb"/(F\d+\+\d+) (\d+) 0 R", body)
        for number in re.findall(rb"/ToUnicode (\d+) 0 R", objects[int(reference)])
    }
    tree = next(body for body in objects.values() if b"/Type /Pages" in body)
    kids = re.findall(rb"(\d+) 0 R", re.search(rb"/Kids \[(.*?)\]", tree, re.DOTALL)[1])
    return [_page(objects, int(kid), fonts) for kid in kids]


def _page(objects: dict[int, bytes], number: int, fonts: dict[bytes, dict[int, str]]) -> str:
    contents = int(re.search(rb"/Contents (\d+) 0 R", objects[number])[1])
    lines, letters = [], {}
    for font, text in _SHOWN.findall(_stream(objects[contents])):
        if font:
            letters = fonts.get(font, {})
        else:
            lines.append("".join(letters.get(code, chr(code)) for code in _bytes(text)))
    return "\n".join(lines)


def _stream(body: bytes) -> bytes:
    raw = re.search(rb"stream\r?\n(.*?)endstream", body, re.DOTALL)[1]
    if b"/ASCII85Decode" in body:
        raw = base64.a85decode(raw.strip().removesuffix(b"~>"))
    return zlib.decompress(raw) if b"/FlateDecode" in body else raw


def _letters(table: bytes) -> dict[int, str]:
    """From code to letter, by the table that a font brings for readers."""
    found = {}
    for part in re.findall(rb"beginbfchar(.*?)endbfchar", table, re.DOTALL):
        for code, letter in re.findall(rb"<([0-9A-F]+)> <([0-9A-F]+)>", part, re.IGNORECASE):
            found[int(code, 16)] = bytes.fromhex(letter.decode()).decode("utf-16-be")
    return found


def _bytes(text: bytes) -> bytes:
    def sign(match: re.Match[bytes]) -> bytes:
        what = match[1]
        return bytes([int(what, 8)]) if what[:1].isdigit() else _SIGNS.get(what, what)

    return _ESCAPED.sub(sign, text)
