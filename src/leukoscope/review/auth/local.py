"""A room without accounts, on one's own machine: whoever is there is the same local person."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from leukoscope.errors import UsageError
from leukoscope.review.audit import record
from leukoscope.review.auth.accounts import has_accounts
from leukoscope.review.auth.rights import LOCAL, Actor
from leukoscope.review.store.tables import Team, User

NO_PASSWORD = "!"
"""A hash that no password has."""


def local_actor(session: Session) -> Actor:
    """The local person: sees every case and reviews it, and cannot sign, for nobody knows who it is.

    Raises:
        UsageError: when the room has accounts, whose cases are not everybody's.
    """
    if has_accounts(session):
        raise UsageError(
            "this room has accounts; without them anybody at this machine would see their cases",
            hint="leave --without-accounts out, or name another folder with --data-dir",
        )
    user = session.scalars(select(User).where(User.username == LOCAL)).first()
    if user is None:
        name = "somebody at this machine"
        user = User(username=LOCAL, full_name=name, role="reader", password_hash=NO_PASSWORD)
        session.add(user)
    user.teams = list(session.scalars(select(Team).order_by(Team.team_id))) or [Team(name="Laboratory")]
    session.flush()
    record(session, "system", "opened without accounts")
    return Actor.of(user)
