"""Passwords: Argon2id, with the library's settings of the day; never a limit on what may stand in one."""

from __future__ import annotations

from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from leukoscope.errors import UsageError

SHORTEST, LONGEST = 12, 1024
"""Characters. NIST SP 800-63B asks for length and against lists, not for digits and signs."""

_hasher = PasswordHasher()


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
    return _hasher.hash(password)


def matches(kept: str | None, password: str) -> bool:
    """Whether this is the password; takes as long where there is no such account (``None``)."""
    try:
        return _hasher.verify(kept or _nobodys(), password[:LONGEST]) and kept is not None
    except (VerifyMismatchError, InvalidHashError):
        return False


def is_outdated(kept: str) -> bool:
    """Whether the hash was made with weaker settings than those of the day."""
    return _hasher.check_needs_rehash(kept)


@cache
def _nobodys() -> str:
    return _hasher.hash("a password that opens nothing")
