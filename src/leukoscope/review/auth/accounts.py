"""Accounts: made by invitation, opened with a password, locked after failures, never deleted."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from leukoscope.errors import LeukoscopeError, UsageError
from leukoscope.review.audit import record
from leukoscope.review.auth import passwords
from leukoscope.review.auth.rights import LOCAL, Actor, NotFoundError
from leukoscope.review.auth.secrets import fresh, kept
from leukoscope.review.store.tables import ROLES, Invitation, LoginSession, Team, User, utc_now

INVITATION_LASTS = timedelta(days=3)
FAILURES_UNTIL_LOCKED = 5
LOCKED_FOR = timedelta(minutes=15)

_USERNAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class SignInError(LeukoscopeError):
    """A sign-in that did not happen; the message is the same for every reason that would help a guesser."""


class Invited(NamedTuple):
    """An invitation, and the word that opens it: known only here and now."""

    invitation: Invitation
    token: str


def has_accounts(session: Session) -> bool:
    """Whether anybody can sign in: before that, the console shows a link."""
    people = select(func.count()).select_from(User).where(User.username != LOCAL)
    return session.scalar(people) != 0


def invite_first(session: Session) -> Invited:
    """The link for the first account, an administrator of a first team; earlier ones are closed.

    Raises:
        UsageError: when there is an account.
    """
    if has_accounts(session):
        raise UsageError("there are accounts already", hint="ask an administrator for an invitation")
    for earlier in session.scalars(select(Invitation).where(Invitation.used_at.is_(None))):
        earlier.used_at = utc_now()
    if session.scalar(select(func.count()).select_from(Team)) == 0:
        session.add(Team(name="Laboratory"))
        session.flush()
    teams = list(session.scalars(select(Team.team_id)))
    return _invite(session, "system", "administrator", teams)


def invite(session: Session, actor: Actor, role: str, team_ids: list[int]) -> Invited:
    """A link for one account of this role in these teams.

    Raises:
        ForbiddenError: for anybody but an administrator.
        UsageError: for an unknown role or team, or no team.
    """
    actor.need("administer")
    known = set(session.scalars(select(Team.team_id)))
    if role not in ROLES or not team_ids or not set(team_ids) <= known:
        raise UsageError(
            f"expected a role of {', '.join(ROLES)} and at least one team. Received: {role}, {team_ids}"
        )
    return _invite(session, actor.username, role, sorted(set(team_ids)))


def _invite(session: Session, actor: str, role: str, team_ids: list[int]) -> Invited:
    token = fresh()
    expires_at = utc_now() + INVITATION_LASTS
    invitation = Invitation(token_hash=kept(token), role=role, team_ids=team_ids, expires_at=expires_at)
    session.add(invitation)
    record(session, actor, "person invited", role=role, team_ids=team_ids)
    return Invited(invitation, token)


def invitation_of(session: Session, token: str) -> Invitation:
    """The open invitation of this link.

    Raises:
        NotFoundError: when it is unknown, used or too old.
    """
    found = session.get(Invitation, kept(token), with_for_update=True)
    if found is None or found.used_at is not None or found.expires_at < utc_now():
        raise NotFoundError("this link is used or too old", hint="ask an administrator for another")
    return found


def accept(session: Session, token: str, *, username: str, full_name: str, password: str) -> User:
    """Make the account that a link is for.

    Raises:
        NotFoundError: as :func:`invitation_of`.
        UsageError: for a username that is taken or no word, no name, or a weak password.
    """
    invitation = invitation_of(session, token)
    name, full_name = username.strip().casefold(), full_name.strip()
    if not _USERNAME.fullmatch(name) or name in ("system", LOCAL):
        raise UsageError(
            f"expected a username of letters a-z, digits, dot, dash, underscore. Received: {username!r}",
            hint="for example m.curie",
        )
    if not 1 <= len(full_name) <= 200:
        raise UsageError("expected a name of 1 to 200 characters", hint="it stands on signed reports")
    if session.scalars(select(User).where(User.username == name)).first() is not None:
        raise UsageError(f"the username '{name}' is taken", hint="take another")
    teams = list(session.scalars(select(Team).where(Team.team_id.in_(invitation.team_ids))))
    password_hash = passwords.hashed(password, username=name)
    user = User(
        username=name, full_name=full_name, role=invitation.role, password_hash=password_hash, teams=teams
    )
    session.add(user)
    invitation.used_at = utc_now()
    session.flush()
    record(session, name, "account made", role=user.role, full_name=full_name)
    return user


def check_password(session: Session, username: str, password: str) -> User | None:
    """The account of this name and password, ``None`` where they are wrong or it is locked or closed.

    Failures are counted in the caller's transaction, which must therefore end before :class:`SignInError` is
    raised.
    """
    name = username.strip().casefold()
    user = session.scalars(select(User).where(User.username == name).with_for_update()).first()
    right = passwords.matches(user.password_hash if user else None, password)
    if user is None or user.disabled_at is not None:
        return None
    if user.locked_until is not None and user.locked_until > utc_now():
        record(session, name, "sign-in refused", reason="locked")
        return None
    if not right:
        _count_failure(session, user)
        return None
    user.num_failures, user.locked_until = 0, None
    if passwords.is_outdated(user.password_hash):
        user.password_hash = passwords.hashed(password)
    return user


def refused() -> SignInError:
    """What is said to whoever could not sign in."""
    minutes = int(LOCKED_FOR.total_seconds() // 60)
    return SignInError(
        "the username or the password is wrong, or the account is locked",
        hint=f"after {FAILURES_UNTIL_LOCKED} failures an account is locked for {minutes} minutes",
    )


def _count_failure(session: Session, user: User) -> None:
    user.num_failures += 1
    locks = user.num_failures >= FAILURES_UNTIL_LOCKED
    if locks:
        user.num_failures, user.locked_until = 0, utc_now() + LOCKED_FOR
    record(session, user.username, "sign-in refused", reason="wrong password", locked=locks)


def set_password(session: Session, user: User, new: str) -> None:
    """Another password for a person who has just given the old one; all sessions of the account end.

    Raises:
        UsageError: when it is weak.
    """
    user.password_hash = passwords.hashed(new, username=user.username)
    _end_sessions(session, user)
    record(session, user.username, "password changed")


def set_account(
    session: Session,
    actor: Actor,
    user_id: int,
    *,
    role: str | None = None,
    team_ids: list[int] | None = None,
    disabled: bool | None = None,
) -> User:
    """Change an account's role or teams, close it or open it again; its sessions end.

    Raises:
        ForbiddenError: for anybody but an administrator.
        NotFoundError: no such account.
        UsageError: for an unknown role or team, or when nobody would be left to administer.
    """
    actor.need("administer")
    user = session.get(User, user_id, with_for_update=True)
    if user is None:
        raise NotFoundError(f"there is no account {user_id}")
    if role is not None:
        if role not in ROLES:
            raise UsageError(f"expected a role of {', '.join(ROLES)}. Received: {role}")
        user.role = role
    if team_ids is not None:
        user.teams = list(session.scalars(select(Team).where(Team.team_id.in_(team_ids))))
        if len(user.teams) != len(set(team_ids)):
            raise UsageError(f"expected known teams. Received: {team_ids}")
    if disabled is not None:
        user.disabled_at = utc_now() if disabled else None
    session.flush()
    _keep_an_administrator(session)
    _end_sessions(session, user)
    changes = {"role": role, "team_ids": team_ids, "disabled": disabled}
    given = {name: value for name, value in changes.items() if value is not None}
    record(session, actor.username, "account changed", username=user.username, changes=given)
    return user


def _keep_an_administrator(session: Session) -> None:
    left = select(func.count()).select_from(User)
    if session.scalar(left.where(User.role == "administrator", User.disabled_at.is_(None))) == 0:
        raise UsageError("nobody would be left to administer", hint="make somebody else administrator first")


def _end_sessions(session: Session, user: User) -> None:
    for open_one in session.scalars(select(LoginSession).where(LoginSession.user_id == user.user_id)):
        session.delete(open_one)
