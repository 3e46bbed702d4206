"""A browser that is signed in: a cookie that ends after some hours without use, and after a day anyhow."""

from __future__ import annotations

import hmac
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import delete
from sqlalchemy.orm import Session, joinedload

from leukoscope.review.audit import record
from leukoscope.review.auth.rights import Actor
from leukoscope.review.auth.secrets import fresh, kept
from leukoscope.review.store.tables import LoginSession, User, utc_now

IDLE = timedelta(hours=2)
LASTS = timedelta(hours=24)
NOTE_EVERY = timedelta(minutes=1)
"""How often the last use is written down; writing at every request would make every reader a writer."""


class Opened(NamedTuple):
    """A new session and the cookie's value, known only here and now."""

    session: LoginSession
    token: str


def open_session(session: Session, user: User) -> Opened:
    """Sign a person in whose password was checked."""
    token, now = fresh(), utc_now()
    session.execute(delete(LoginSession).where(LoginSession.expires_at < now))
    opened = LoginSession(
        token_hash=kept(token), user_id=user.user_id, csrf_token=fresh(), expires_at=now + LASTS
    )
    session.add(opened)
    record(session, user.username, "signed in")
    return Opened(opened, token)


def find(session: Session, token: str) -> LoginSession | None:
    """The live session of a cookie; ``None`` where it is unknown, ended, unused for long, or its account
    closed."""
    whole = joinedload(LoginSession.user).joinedload(User.teams)  # every page asks: one query, not three
    found = session.get(LoginSession, kept(token), options=[whole]) if token else None
    now = utc_now()
    if found is None or found.expires_at < now or found.seen_at + IDLE < now:
        return None
    return None if found.user.disabled_at is not None else found


def is_to_be_noted(found: LoginSession) -> bool:
    """Whether its last use was noted long enough ago to note this one."""
    return found.seen_at + NOTE_EVERY < utc_now()


def is_own_form(expected: str, csrf_token: str) -> bool:
    """Whether a form carries the word of its session, in a time that tells nothing."""
    return hmac.compare_digest(expected.encode(), csrf_token.encode())


def close_session(session: Session, token: str, actor: Actor) -> None:
    """Sign out."""
    session.execute(delete(LoginSession).where(LoginSession.token_hash == kept(token)))
    record(session, actor.username, "signed out")
