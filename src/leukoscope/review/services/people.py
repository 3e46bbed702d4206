"""The people of the room, for who looks after it: listed, let in again, their links kept in view."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from leukoscope.errors import UsageError
from leukoscope.review.audit import record
from leukoscope.review.auth.accounts import set_password
from leukoscope.review.auth.links import Invited, make_link, reset_of
from leukoscope.review.auth.rights import Actor, NotFoundError
from leukoscope.review.store.tables import Invitation, User, utc_now

RESET_LASTS = timedelta(days=1)


def people(session: Session, actor: Actor) -> list[User]:
    """All accounts, the open ones first, by username.

    Raises:
        ForbiddenError: for anybody but an administrator.
    """
    actor.need("administer")
    found = select(User).options(selectinload(User.teams))
    return list(session.scalars(found.order_by(User.disabled_at.is_not(None), User.username)))


def person(session: Session, actor: Actor, user_id: int) -> User:
    """One account, with its teams.

    Raises:
        ForbiddenError: for anybody but an administrator.
        NotFoundError: no such account.
    """
    actor.need("administer")
    found = session.scalars(
        select(User).where(User.user_id == user_id).options(selectinload(User.teams))
    ).one_or_none()
    if found is None:
        raise NotFoundError(f"there is no account {user_id}")
    return found


def unlock(session: Session, actor: Actor, user_id: int) -> None:
    """Let a person try again at once whose account failures had locked.

    Raises:
        ForbiddenError: for anybody but an administrator.
        NotFoundError: no such account.
    """
    user = person(session, actor, user_id)
    user.num_failures, user.locked_until = 0, None
    record(session, actor.username, "account unlocked", username=user.username)


def invite_to_reset(session: Session, actor: Actor, user_id: int) -> Invited:
    """A link, open for a day, by which a person gives their account another password.

    Nobody else ever types it. Earlier links for the same account are closed; the old password holds until
    the link is used.

    Raises:
        ForbiddenError: for anybody but an administrator.
        NotFoundError: no such account.
        UsageError: when it is closed.
    """
    user = person(session, actor, user_id)
    if user.disabled_at is not None:
        raise UsageError("the account is closed", hint="open it first")
    _close_resets(session, user_id)
    made = make_link(session, RESET_LASTS, role=user.role, for_whom=user.full_name, user_id=user_id)
    record(session, actor.username, "password link made", username=user.username)
    return made


def reset_password(session: Session, token: str, password: str) -> User:
    """Use such a link: the account has this password, is unlocked, and signed out everywhere.

    Raises:
        NotFoundError: as :func:`reset_of`.
        UsageError: when the password is weak.
    """
    link = reset_of(session, token)
    user = session.get_one(User, link.user_id, with_for_update=True)
    set_password(session, user, password, how="password set by link")
    link.used_at = utc_now()
    return user


def _close_resets(session: Session, user_id: int) -> None:
    earlier = select(Invitation).where(Invitation.user_id == user_id, Invitation.used_at.is_(None))
    for link in session.scalars(earlier):
        link.used_at = utc_now()


def open_links(session: Session, actor: Actor) -> list[Invitation]:
    """Links that still open something, the newest first; those with ``user`` are for a password.

    Raises:
        ForbiddenError: for anybody but an administrator.
    """
    actor.need("administer")
    waiting = select(Invitation).where(Invitation.used_at.is_(None), Invitation.expires_at >= utc_now())
    return list(
        session.scalars(waiting.options(selectinload(Invitation.user)).order_by(Invitation.created_at.desc()))
    )


def withdraw(session: Session, actor: Actor, token_hash: str) -> None:
    """Close a link that was not used.

    Raises:
        ForbiddenError: for anybody but an administrator.
        NotFoundError: when there is no such link, or it was used or withdrawn.
    """
    actor.need("administer")
    link = session.get(Invitation, token_hash, with_for_update=True)
    if link is None or link.used_at is not None:
        raise NotFoundError("there is no such open link", hint="it may have been used just now")
    link.used_at = utc_now()
    username = link.user.username if link.user else ""
    record(
        session, actor.username, "link withdrawn", role=link.role, for_whom=link.for_whom, username=username
    )
