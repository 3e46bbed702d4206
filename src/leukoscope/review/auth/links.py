"""Links that open something once: a new account, or another password for one that is there."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from leukoscope.review.auth.rights import NotFoundError
from leukoscope.review.auth.secrets import fresh, kept
from leukoscope.review.store.tables import Invitation, utc_now


class Invited(NamedTuple):
    """A link, and the word that opens it: known only here and now."""

    invitation: Invitation
    token: str


def make_link(session: Session, lasts: timedelta, **fields: Any) -> Invited:
    """A link that is open for so long; ``fields`` are those of :class:`Invitation`."""
    token = fresh()
    made = Invitation(token_hash=kept(token), expires_at=utc_now() + lasts, **fields)
    session.add(made)
    session.flush()
    return Invited(made, token)


def invitation_of(session: Session, token: str) -> Invitation:
    """The open invitation of this link.

    Raises:
        NotFoundError: when it is unknown, used or too old.
    """
    found = _open_one(session, token)
    if found is None or found.user_id is not None:
        raise NotFoundError("this link is used or too old", hint="ask an administrator for another")
    return found


def reset_of(session: Session, token: str) -> Invitation:
    """The open link to another password; its ``user`` is whose.

    Raises:
        NotFoundError: when it is unknown, used or too old, or the account is closed.
    """
    found = _open_one(session, token)
    if found is None or found.user is None or found.user.disabled_at is not None:
        raise NotFoundError("this link is used or too old", hint="ask an administrator for another")
    return found


def _open_one(session: Session, token: str) -> Invitation | None:
    found = session.get(Invitation, kept(token), with_for_update=True)
    is_open = found is not None and found.used_at is None and found.expires_at >= utc_now()
    return found if is_open else None
