"""Keys for programs: shown once, with scopes and an end."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from leukoscope.errors import UsageError
from leukoscope.review.audit import record
from leukoscope.review.auth.rights import SCOPES, Actor, NotFoundError
from leukoscope.review.auth.secrets import fresh, kept
from leukoscope.review.store.tables import ApiToken, utc_now

PREFIX = "leuko_"
"""So that a key that lies about can be found by a search."""

MOST_DAYS = 366


class Issued(NamedTuple):
    """A new key and its text, known only here and now."""

    token: ApiToken
    text: str


def issue(session: Session, actor: Actor, name: str, scopes: list[str], *, days: int = 90) -> Issued:
    """A key for a program of this person.

    Raises:
        UsageError: without a name, for unknown scopes or ones beyond the person's rights, or another length.
    """
    wanted = sorted(set(scopes))
    if not wanted or not set(wanted) <= set(SCOPES) & actor.rights:
        mine = ", ".join(scope for scope in SCOPES if scope in actor.rights)
        raise UsageError(f"expected scopes among {mine}. Received: {', '.join(wanted) or 'none'}")
    if not 1 <= len(name.strip()) <= 100 or not 1 <= days <= MOST_DAYS:
        raise UsageError(f"expected a name and 1 to {MOST_DAYS} days. Received: {name!r}, {days}")
    text = PREFIX + fresh()
    expires_at = utc_now() + timedelta(days=days)
    token = ApiToken(
        token_hash=kept(text), user_id=actor.user_id, name=name.strip(), scopes=wanted, expires_at=expires_at
    )
    session.add(token)
    session.flush()
    record(session, actor.username, "token issued", name=token.name, scopes=wanted)
    return Issued(token, text)


def actor_of(session: Session, text: str) -> Actor | None:
    """Who asks with this key; ``None`` where it is unknown, ended or revoked, or its account closed."""
    token = session.scalars(select(ApiToken).where(ApiToken.token_hash == kept(text))).first()
    if token is None or token.revoked_at is not None or token.expires_at < utc_now():
        return None
    return None if token.user.disabled_at is not None else Actor.of(token.user, token.scopes)


def revoke(session: Session, actor: Actor, token_id: int) -> None:
    """End a key: one's own, or anybody's as an administrator.

    Raises:
        NotFoundError: when there is no such key of this person.
    """
    token = session.get(ApiToken, token_id)
    if token is None or (token.user_id != actor.user_id and "administer" not in actor.rights):
        raise NotFoundError(f"there is no key {token_id} of yours")
    token.revoked_at = token.revoked_at or utc_now()
    record(session, actor.username, "token revoked", name=token.name)
