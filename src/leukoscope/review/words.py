"""What people type as one line: names, notes."""

from __future__ import annotations

from leukoscope.errors import UsageError


def one_line(text: str, what: str, *, most: int, least: int = 1, hint: str = "") -> str:
    """The text without blanks around it.

    Raises:
        UsageError: for one that is too short or too long, or holds signs that no screen shows.
    """
    line = text.strip()
    if not least <= len(line) <= most or not line.isprintable():
        length = f"{least} to {most}" if least else f"at most {most}"
        raise UsageError(f"expected {what} of {length} characters, in one line", hint=hint)
    return line
