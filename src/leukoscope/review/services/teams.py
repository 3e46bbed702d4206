"""Teams: whose cases are whose. They are made and renamed; none is deleted, for cases belong to them."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from leukoscope.errors import UsageError
from leukoscope.review.audit import record
from leukoscope.review.auth.rights import Actor, NotFoundError
from leukoscope.review.store.tables import Membership, Team, User
from leukoscope.review.words import one_line


class Peopled(NamedTuple):
    """A team and who is in it, closed accounts left out."""

    team: Team
    people: list[User]


def teams(session: Session, actor: Actor) -> list[Peopled]:
    """All teams by name, with their people by username.

    Raises:
        ForbiddenError: for anybody but an administrator.
    """
    actor.need("administer")
    belong = (
        select(Membership.team_id, User)
        .join(User, User.user_id == Membership.user_id)
        .where(User.disabled_at.is_(None))
        .order_by(User.username)
    )
    rows = session.execute(belong).all()
    found = session.scalars(select(Team).order_by(Team.name))
    return [Peopled(team, [user for team_id, user in rows if team_id == team.team_id]) for team in found]


def make_team(session: Session, actor: Actor, name: str) -> Team:
    """A new team, with nobody in it.

    Raises:
        ForbiddenError: for anybody but an administrator.
        UsageError: for no name, one too long, or one that is taken.
    """
    actor.need("administer")
    team = Team(name=_name(name))
    session.add(team)
    _flush(session, team)
    record(session, actor.username, "team made", team=team.name)
    return team


def rename_team(session: Session, actor: Actor, team_id: int, name: str) -> Team:
    """Another name for a team.

    Raises:
        ForbiddenError: for anybody but an administrator.
        NotFoundError: no such team.
        UsageError: as :func:`make_team`.
    """
    actor.need("administer")
    team = session.get(Team, team_id, with_for_update=True)
    if team is None:
        raise NotFoundError(f"there is no team {team_id}")
    before, team.name = team.name, _name(name)
    _flush(session, team)
    if team.name != before:
        record(session, actor.username, "team renamed", changes={"team": [before, team.name]})
    return team


def _name(text: str) -> str:
    return one_line(text, "a name of the team", most=100)


def _flush(session: Session, team: Team) -> None:
    name = team.name
    try:
        session.flush()
    except IntegrityError:
        raise UsageError(f"there is a team '{name}' already", hint="take another name") from None
