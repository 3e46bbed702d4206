"""Keys for programs: shown once, with scopes and an end."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from leukoscope.errors import UsageError
from leukoscope.review.audit import record
from leukoscope.review.auth.rights import LOCAL, SCOPES, Actor, ForbiddenError, NotFoundError
from leukoscope.review.auth.secrets import fresh, kept
from leukoscope.review.store.database import Database
from leukoscope.review.store.tables import ApiToken, User, utc_now
from leukoscope.review.words import one_line

PREFIX = "leuko_"
"""So that a key that lies about can be found by a search."""

MOST_DAYS = 366
NOTE_EVERY = timedelta(minutes=1)


class Issued(NamedTuple):
    """A new key and its text, known only here and now."""

    token: ApiToken
    text: str


def issue(session: Session, actor: Actor, name: str, scopes: list[str], *, days: int = 90) -> Issued:
    """A key for a program of this person.

    Raises:
        ForbiddenError: in a room without accounts, where nobody is known whose key it would be.
        UsageError: without a name, for unknown scopes or ones beyond the person's rights, or another length.
    """
    if actor.username == LOCAL:
        raise ForbiddenError(
            "without accounts there are no keys", hint="start the server without --without-accounts"
        )
    wanted = sorted(set(scopes))
    if not wanted or not set(wanted) <= set(SCOPES) & actor.rights:
        mine = ", ".join(scope for scope in SCOPES if scope in actor.rights)
        raise UsageError(f"expected scopes among {mine}. Received: {', '.join(wanted) or 'none'}")
    shown = one_line(name, "a name", most=100, hint="say which program the key is for")
    if not 1 <= days <= MOST_DAYS:
        raise UsageError(f"expected 1 to {MOST_DAYS} days. Received: {days}")
    text = PREFIX + fresh()
    expires_at = utc_now() + timedelta(days=days)
    token = ApiToken(
        token_hash=kept(text), user_id=actor.user_id, name=shown, scopes=wanted, expires_at=expires_at
    )
    session.add(token)
    session.flush()
    record(session, actor.username, "token issued", name=shown, scopes=wanted, days=days)
    return Issued(token, text)


def find(session: Session, text: str) -> ApiToken | None:
    """The live key; ``None`` where it is unknown, ended or revoked, or its account closed."""
    token = session.scalars(select(ApiToken).where(ApiToken.token_hash == kept(text))).first()
    if token is None or token.revoked_at is not None or token.expires_at < utc_now():
        return None
    return None if token.user.disabled_at is not None else token


def actor_of(session: Session, text: str) -> Actor | None:
    """Who asks with this key, with its scopes as far as its owner has these rights today; ``None`` as
    :func:`find`."""
    token = find(session, text)
    return None if token is None else Actor.of(token.user, token.scopes)


def caller(database: Database, text: str) -> Actor | None:
    """:func:`actor_of`, and the use of the key is written down, at most once a minute."""
    with database.read() as session:
        token = find(session, text)
        actor = None if token is None else Actor.of(token.user, token.scopes)
    if token is not None and (token.used_at is None or token.used_at + NOTE_EVERY < utc_now()):
        with database.write() as session:
            session.get_one(ApiToken, token.token_id).used_at = utc_now()
    return actor


def tokens_of(session: Session, actor: Actor, user_id: int) -> list[ApiToken]:
    """The keys of a person that can be used, the newest first: one's own, or anybody's for an administrator.

    Raises:
        ForbiddenError: for those of another, without the right to administer.
    """
    if user_id != actor.user_id:
        actor.need("administer")
    theirs = select(ApiToken).where(ApiToken.user_id == user_id, ApiToken.revoked_at.is_(None))
    live = theirs.where(ApiToken.expires_at >= utc_now())
    return list(session.scalars(live.order_by(ApiToken.token_id.desc())))


def revoke(session: Session, actor: Actor, token_id: int) -> None:
    """End a key: one's own, or anybody's as an administrator.

    Raises:
        NotFoundError: when there is no such key of this person.
    """
    token = session.get(ApiToken, token_id)
    if token is None or (token.user_id != actor.user_id and "administer" not in actor.rights):
        raise NotFoundError(f"there is no key {token_id} of yours")
    if token.revoked_at is None:
        token.revoked_at = utc_now()
        record(session, actor.username, "token revoked", name=token.name, username=token.user.username)


def revoke_all(session: Session, user: User) -> None:
    """End all keys of an account, in the transaction that says why."""
    theirs = (ApiToken.user_id == user.user_id) & ApiToken.revoked_at.is_(None)
    session.execute(update(ApiToken).where(theirs).values(revoked_at=utc_now()))
