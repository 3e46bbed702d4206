"""Who may do what.

A role says what a person may do, a team whose cases they see. An administrator looks after accounts and
settings and sees cases only as a member of a team, like anybody.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.orm import Session

from leukoscope.errors import LeukoscopeError
from leukoscope.review.store.tables import Case, User

RIGHTS = {
    "reader": frozenset({"read", "review"}),
    "signer": frozenset({"read", "review", "sign"}),
    "administrator": frozenset({"read", "review", "administer", "audit"}),
}
"""What each role may do: see cases, make and review them, sign and reopen, look after the room, read the
trail."""

LOCAL = "local"
"""Whoever is at the machine, in a room without accounts; nobody's username."""

SCOPES = ("read", "review", "sign", "administer", "audit")
"""What an API token may be for; never more than its owner may."""


class ForbiddenError(LeukoscopeError):
    """Asked for by somebody who may not."""


class NotFoundError(LeukoscopeError):
    """Not there, or not for this person: which of the two is not said."""


@dataclass(frozen=True)
class Actor:
    """Who asks, through a browser or a token.

    Attributes:
        user_id: whose account.
        username: as the trail names them.
        role: of the account.
        team_ids: whose cases they see.
        rights: what they may do here: those of the role, cut to the scopes of a token.
    """

    user_id: int
    username: str
    role: str
    team_ids: frozenset[int]
    rights: frozenset[str]

    @classmethod
    def of(cls, user: User, scopes: list[str] | None = None) -> Actor:
        """The rights of an account; ``scopes`` of a token, ``None`` for a browser."""
        rights = RIGHTS[user.role] if scopes is None else RIGHTS[user.role] & set(scopes)
        teams = frozenset(team.team_id for team in user.teams)
        return cls(user.user_id, user.username, user.role, teams, rights)

    def need(self, right: str) -> None:
        """Raise :class:`ForbiddenError` without this right."""
        if right not in self.rights and self.username == LOCAL:
            raise ForbiddenError(
                f"without accounts nobody may {right} here: it is not known who you are",
                hint="start leukoscope serve without --without-accounts, and make an account",
            )
        if right not in self.rights:
            raise ForbiddenError(
                f"'{self.username}' may not {right} here", hint="ask an administrator for another role"
            )


def visible(actor: Actor) -> ColumnElement[bool]:
    """Which cases this person sees, as a condition on :class:`Case`."""
    return Case.team_id.in_(actor.team_ids)


def visible_cases(actor: Actor) -> Select[Case]:
    """The cases that this person sees."""
    actor.need("read")
    return select(Case).where(visible(actor))


def case_for(session: Session, actor: Actor, case_id: int, *, lock: bool = False) -> Case:
    """One case, locked against other writers where asked.

    Raises:
        NotFoundError: when there is none, or it is not this person's to see.
    """
    query = visible_cases(actor).where(Case.case_id == case_id)
    case = session.scalars(query.with_for_update() if lock else query).one_or_none()
    if case is None:
        raise NotFoundError(f"there is no case {case_id} that you may see", hint="look in the worklist")
    return case
