"""A browser that is signed in: a cookie that ends when unused, and after some hours anyhow."""

from __future__ import annotations

import hmac
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import bindparam, delete, select
from sqlalchemy.orm import Session

from leukoscope.review.audit import record
from leukoscope.review.auth.rights import RIGHTS, Actor, NotFoundError
from leukoscope.review.auth.secrets import fresh, kept
from leukoscope.review.settings import room_settings
from leukoscope.review.store.tables import LoginSession, Membership, User, utc_now

NOTE_EVERY = timedelta(minutes=1)
"""How often the last use is written down; writing at every request would make every reader a writer."""


class Opened(NamedTuple):
    """A new session and the cookie's value, known only here and now."""

    session: LoginSession
    token: str


class Living(NamedTuple):
    """A session that is open, and who it is of."""

    token_hash: str
    csrf_token: str
    seen_at: datetime
    actor: Actor


# Every request asks: columns, not objects, and one row for each team.
_asked = (
    select(
        LoginSession.csrf_token,
        LoginSession.seen_at,
        LoginSession.expires_at,
        User.user_id,
        User.username,
        User.role,
        User.disabled_at,
        Membership.team_id,
    )
    .join(User, User.user_id == LoginSession.user_id)
    .outerjoin(Membership, Membership.user_id == User.user_id)
    .where(LoginSession.token_hash == bindparam("token_hash"))
)


def open_session(session: Session, user: User, *, before: str = "") -> Opened:
    """Sign a person in whose password was checked; the session of the cookie ``before`` ends."""
    token, now = fresh(), utc_now()
    ended = (LoginSession.expires_at < now) | (LoginSession.token_hash == kept(before))
    session.execute(delete(LoginSession).where(ended))
    lasts = timedelta(hours=room_settings(session).session_hours)
    opened = LoginSession(
        token_hash=kept(token),
        user_id=user.user_id,
        csrf_token=fresh(),
        created_at=now,
        expires_at=now + lasts,
    )
    session.add(opened)
    user.seen_at = now
    record(session, user.username, "signed in")
    return Opened(opened, token)


def find(session: Session, token: str) -> Living | None:
    """The live session of a cookie; ``None`` where it is unknown, ended, unused for long, or its account
    closed."""
    rows = session.execute(_asked, {"token_hash": kept(token)}).all() if token else []
    if not rows or rows[0].disabled_at is not None or rows[0].expires_at < utc_now():
        return None
    one = rows[0]
    teams = frozenset(row.team_id for row in rows if row.team_id is not None)
    actor = Actor(one.user_id, one.username, one.role, teams, RIGHTS[one.role])
    found = Living(kept(token), one.csrf_token, one.seen_at, actor)
    if is_to_be_noted(found) and found.seen_at < _used_since(session):  # asked only where it may be so
        return None
    return found


def _used_since(session: Session) -> datetime:
    return utc_now() - timedelta(minutes=room_settings(session).session_idle_minutes)


def is_to_be_noted(found: Living) -> bool:
    """Whether its last use was noted long enough ago to note this one."""
    return found.seen_at + NOTE_EVERY < utc_now()


def note_use(session: Session, token: str) -> None:
    """Write down that a session and its account were used now."""
    if found := session.get(LoginSession, kept(token)):
        found.seen_at = found.user.seen_at = utc_now()


def is_own_form(expected: str, csrf_token: str) -> bool:
    """Whether a form carries the word of its session, in a time that tells nothing."""
    return hmac.compare_digest(expected.encode(), csrf_token.encode())


def close_session(session: Session, token: str, actor: Actor) -> None:
    """Sign out."""
    session.execute(delete(LoginSession).where(LoginSession.token_hash == kept(token)))
    record(session, actor.username, "signed out")


def sessions_of(session: Session, actor: Actor) -> list[LoginSession]:
    """The live sessions of this person, the last used first."""
    mine = select(LoginSession).where(
        LoginSession.user_id == actor.user_id,
        LoginSession.expires_at >= utc_now(),
        LoginSession.seen_at >= _used_since(session),
    )
    return list(session.scalars(mine.order_by(LoginSession.seen_at.desc())))


def end_session(session: Session, actor: Actor, token_hash: str) -> None:
    """Sign one of this person's browsers out.

    Raises:
        NotFoundError: when there is no such session of this person.
    """
    found = session.get(LoginSession, token_hash)
    if found is None or found.user_id != actor.user_id:
        raise NotFoundError("there is no such session of yours", hint="it may have ended by itself")
    session.delete(found)
    record(session, actor.username, "session ended", begun=found.created_at.isoformat(timespec="seconds"))


def end_others(session: Session, actor: Actor, token: str) -> None:
    """Sign out all of this person's browsers but the one of this cookie."""
    others = (LoginSession.user_id == actor.user_id) & (LoginSession.token_hash != kept(token))
    session.execute(delete(LoginSession).where(others))
    record(session, actor.username, "other sessions ended")
