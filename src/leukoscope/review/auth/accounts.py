"""Accounts: made by invitation, opened with a password, locked after failures, never deleted."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from leukoscope.errors import LeukoscopeError, UsageError
from leukoscope.review.audit import record
from leukoscope.review.auth import passwords
from leukoscope.review.auth.links import Invited, invitation_of, make_link
from leukoscope.review.auth.rights import LOCAL, Actor, NotFoundError
from leukoscope.review.auth.tokens import revoke_all
from leukoscope.review.settings import room_settings
from leukoscope.review.store.tables import ROLES, Invitation, LoginSession, Team, User, utc_now
from leukoscope.review.words import one_line

__all__ = [
    "INVITATION_LASTS",
    "Invited",
    "Knock",
    "SignInError",
    "accept",
    "admit",
    "check_password",
    "has_accounts",
    "invitation_of",
    "invite",
    "invite_first",
    "is_locked",
    "knock",
    "refused",
    "set_account",
    "set_password",
]

INVITATION_LASTS = timedelta(days=3)

_USERNAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class SignInError(LeukoscopeError):
    """A sign-in that did not happen; the message is the same for every reason that would help a guesser."""


class Knock(NamedTuple):
    """Somebody at the door.

    Attributes:
        username: whom they say they are; empty for what no account can be called.
        matched: the kept hash that their password fits, ``None`` where it fits none.
        renewed: a stronger hash of the same password, where the kept one is of weaker settings.
    """

    username: str
    matched: str | None
    renewed: str | None


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
    teams = list(session.scalars(select(Team)))
    return _invite(session, "system", "administrator", teams, days=INVITATION_LASTS.days)


def invite(
    session: Session, actor: Actor, role: str, team_ids: list[int], *, days: int = 3, for_whom: str = ""
) -> Invited:
    """A link for one account of this role in these teams.

    Args:
        session: a writing one.
        actor: who invites.
        role: of the account.
        team_ids: whose cases it will see; an administrator may be in no team.
        days: until the link is too old, 1 to 30.
        for_whom: a note for the list of open invitations.

    Raises:
        ForbiddenError: for anybody but an administrator.
        UsageError: for an unknown role or team, no team, other days, or a note of several lines.
    """
    actor.need("administer")
    teams = _teams(session, team_ids)
    if role not in ROLES or not 1 <= days <= 30:
        raise UsageError(f"expected a role of {', '.join(ROLES)} and 1 to 30 days. Received: {role}, {days}")
    if not teams and role != "administrator":
        raise UsageError(f"a {role} without a team would see no case", hint="choose at least one team")
    note = one_line(for_whom, "a note", most=200, least=0)
    return _invite(session, actor.username, role, teams, days=days, for_whom=note)


def _invite(
    session: Session, actor: str, role: str, teams: list[Team], *, days: int, for_whom: str = ""
) -> Invited:
    team_ids = [team.team_id for team in teams]
    made = make_link(session, timedelta(days=days), role=role, team_ids=team_ids, for_whom=for_whom)
    names = [team.name for team in teams]
    record(session, actor, "person invited", role=role, teams=names, for_whom=for_whom)
    return made


def _teams(session: Session, team_ids: list[int]) -> list[Team]:
    found = list(session.scalars(select(Team).where(Team.team_id.in_(team_ids)).order_by(Team.name)))
    if len(found) != len(set(team_ids)):
        raise UsageError(f"expected known teams. Received: {team_ids}")
    return found


def accept(session: Session, token: str, *, username: str, full_name: str, password: str) -> User:
    """Make the account that a link is for.

    Raises:
        NotFoundError: as :func:`invitation_of`.
        UsageError: for a username that is taken or no word, no name, or a weak password.
    """
    invitation = invitation_of(session, token)
    name = username.strip().casefold()
    if not _USERNAME.fullmatch(name) or name in ("system", LOCAL):
        raise UsageError(
            f"expected a username of letters a-z, digits, dot, dash, underscore. Received: {username!r}",
            hint="for example m.curie",
        )
    shown = one_line(full_name, "a name", most=200, hint="it stands on signed reports")
    teams = list(session.scalars(select(Team).where(Team.team_id.in_(invitation.team_ids))))
    password_hash = passwords.hashed(password, username=name)
    user = User(
        username=name, full_name=shown, role=invitation.role, password_hash=password_hash, teams=teams
    )
    session.add(user)
    invitation.used_at = utc_now()
    try:
        session.flush()
    except IntegrityError:
        raise UsageError(f"the username '{name}' is taken", hint="take another") from None
    names = [team.name for team in user.teams]
    record(session, name, "account made", role=user.role, full_name=shown, teams=names)
    return user


def knock(session: Session, username: str, password: str) -> Knock:
    """Compare a password with the kept hash, which takes as long where nobody has this name.

    That takes some hundredths of a second, and changes nothing: do it before the transaction that others
    would have to wait for.
    """
    name = username.strip().casefold()
    name = name if _USERNAME.fullmatch(name) else ""
    kept = session.scalar(select(User.password_hash).where(User.username == name))
    if not passwords.matches(kept, password) or kept is None:
        return Knock(name, None, None)
    return Knock(name, kept, passwords.renewed(kept, password))


def admit(session: Session, came: Knock) -> User | None:
    """The account of who knocked, ``None`` where name or password are wrong or it is locked or closed.

    Whatever the reason, one entry is written. Failures are counted in the caller's transaction, which must
    therefore end before :class:`SignInError` is raised; while an account is locked they lock it no longer.
    """
    user = session.scalars(select(User).where(User.username == came.username).with_for_update()).first()
    if user is None:  # what was typed is not kept: it may be a password in the wrong field
        record(session, "system", "sign-in refused", reason="no such account")
        return None
    if user.disabled_at is not None or is_locked(user):
        reason = "closed" if user.disabled_at is not None else "locked"
        record(session, user.username, "sign-in refused", reason=reason)
        return None
    if came.matched is None or came.matched != user.password_hash:
        _count_failure(session, user)
        return None
    user.num_failures, user.locked_until = 0, None
    user.password_hash = came.renewed or user.password_hash
    return user


def check_password(session: Session, username: str, password: str) -> User | None:
    """:func:`knock` and :func:`admit` in one writing session, for who is known to be at a form of ours."""
    return admit(session, knock(session, username, password))


def is_locked(user: User) -> bool:
    """Whether failures keep this account shut now."""
    return user.locked_until is not None and user.locked_until > utc_now()


def refused() -> SignInError:
    """What is said to whoever could not sign in."""
    return SignInError(
        "the username or the password is wrong, or the account is locked",
        hint="after several failures an account is locked for some minutes; an administrator can unlock it",
    )


def _count_failure(session: Session, user: User) -> None:
    settings = room_settings(session)
    user.num_failures += 1
    locks = user.num_failures >= settings.failures_until_locked
    if locks:
        user.num_failures = 0
        user.locked_until = utc_now() + timedelta(minutes=settings.locked_minutes)
    record(session, user.username, "sign-in refused", reason="wrong password", locked=locks)


def set_password(session: Session, user: User, new: str, *, how: str = "password changed") -> None:
    """Another password for a person who has just shown who they are; all sessions of the account end.

    Raises:
        UsageError: when it is weak.
    """
    user.password_hash = passwords.hashed(new, username=user.username)
    user.num_failures, user.locked_until = 0, None
    _end_sessions(session, user)
    record(session, user.username, how)


def set_account(
    session: Session,
    actor: Actor,
    user_id: int,
    *,
    role: str | None = None,
    team_ids: list[int] | None = None,
    disabled: bool | None = None,
) -> User:
    """Change an account's role or teams, close it or open it again.

    Another role and closing end its sessions; closing revokes its keys, too. Other teams count from the next
    request on.

    Raises:
        ForbiddenError: for anybody but an administrator.
        NotFoundError: no such account.
        UsageError: for an unknown role or team, or when nobody would be left to administer.
    """
    actor.need("administer")
    _administrators(session)
    user = session.get(User, user_id, with_for_update=True)
    if user is None:
        raise NotFoundError(f"there is no account {user_id}")
    before = _facts(user)
    if role is not None and role not in ROLES:
        raise UsageError(f"expected a role of {', '.join(ROLES)}. Received: {role}")
    user.role = role or user.role
    if team_ids is not None:
        user.teams = _teams(session, team_ids)
    if disabled is not None and disabled != (user.disabled_at is not None):
        user.disabled_at = utc_now() if disabled else None
    session.flush()
    _keep_an_administrator(session)
    after = _facts(user)
    changes = {name: [before[name], after[name]] for name in before if before[name] != after[name]}
    if changes.keys() & {"role", "account"}:
        _end_sessions(session, user)
    if disabled:
        revoke_all(session, user)
    if changes:
        record(session, actor.username, "account changed", username=user.username, changes=changes)
    return user


def _facts(user: User) -> dict[str, Any]:
    return {
        "role": user.role,
        "teams": [team.name for team in user.teams],
        "account": "open" if user.disabled_at is None else "closed",
    }


def _administrators(session: Session) -> list[int]:
    """Who can administer, locked against other writers: two may not leave at the same moment."""
    able = select(User.user_id).where(User.role == "administrator", User.disabled_at.is_(None))
    return list(session.scalars(able.order_by(User.user_id).with_for_update()))


def _keep_an_administrator(session: Session) -> None:
    if not _administrators(session):
        raise UsageError("nobody would be left to administer", hint="make somebody else administrator first")


def _end_sessions(session: Session, user: User) -> None:
    session.execute(delete(LoginSession).where(LoginSession.user_id == user.user_id))
