"""Random words that open something: shown once, kept as hashes."""

from __future__ import annotations

import hashlib
import secrets


def fresh() -> str:
    """A new one: 256 bits, for an address, a cookie or a header."""
    return secrets.token_urlsafe(32)


def kept(token: str) -> str:
    """What is kept of it: a plain SHA-256, since nobody can guess 256 random bits."""
    return hashlib.sha256(token.encode()).hexdigest()
