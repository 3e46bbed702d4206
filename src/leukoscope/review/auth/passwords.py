"""Passwords: Argon2id as OWASP asks for it; never a limit on what may stand in one."""

from __future__ import annotations

import unicodedata
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from leukoscope.errors import UsageError

SHORTEST, LONGEST = 12, 1024
"""Characters. NIST SP 800-63B asks for length and against lists, not for digits and signs."""

_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
"""OWASP's Password Storage Cheat Sheet: Argon2id, 19 MiB, two passes, one lane."""


def hashed(password: str, *, username: str = "") -> str:
    """The hash to keep.

    Raises:
        UsageError: for one that is too short, too long, the username, or one character again and again.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise UsageError(
            f"expected a password of {SHORTEST} to {LONGEST} characters. Received: {len(password)}",
            hint="a few words in a row make a good one",
        )
    if len(set(password)) < 5 or (username and username.casefold() in password.casefold()):
        raise UsageError(
            "a password of few characters or with the username in it is soon guessed", hint="take other words"
        )
    return _hasher.hash(_typed(password))


def matches(kept: str | None, password: str) -> bool:
    """Whether this is the password; takes as long where there is no such account (``None``)."""
    try:
        return _hasher.verify(kept or _nobodys(), _typed(password[:LONGEST])) and kept is not None
    except (VerificationError, InvalidHashError):
        return False


def renewed(kept: str, password: str) -> str | None:
    """The hash of a password that matches, with the settings of the day; ``None`` where ``kept`` has them."""
    return _hasher.hash(_typed(password)) if _hasher.check_needs_rehash(kept) else None


def _typed(password: str) -> bytes:
    """The same bytes on every keyboard: an umlaut is one letter here and two signs there."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")


@cache
def _nobodys() -> str:
    return _hasher.hash("a password that opens nothing")
