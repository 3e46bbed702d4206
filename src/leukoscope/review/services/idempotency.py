"""What is asked twice under one key is done once, and answered the same.

A key belongs to one person. It is claimed before the work, and the answer is kept in the transaction of the
work, so that there is never one without the other. Work that failed leaves its key free; a claim whose server
died is free again when the next one begins, or after :data:`CLAIM_LASTS`. An answer ends after a day.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import IO, Any

from sqlalchemy import delete, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from leukoscope.errors import UsageError
from leukoscope.review.auth.rights import Actor
from leukoscope.review.services.intake import ConflictError
from leukoscope.review.store.database import Database
from leukoscope.review.store.tables import Answer, utc_now

ANSWER_LASTS = timedelta(days=1)
CLAIM_LASTS = timedelta(minutes=15)
"""Longer than the largest upload takes; if it took longer, the later of the two would keep nothing."""

_AT_WORK = 0
"""Status of a claim."""


class Once:
    """A claim on a key, or what was answered under it before.

    Attributes:
        earlier: the answer of before, ``None`` where the work is to be done.
    """

    def __init__(self, claim: tuple[int, str] | None, earlier: Any = None) -> None:
        self._claim, self.earlier = claim, earlier

    def keep(self, session: Session, body: Any) -> None:
        """Keep the answer, in the transaction of the work; ``body`` is what JSON can hold.

        Raises:
            ConflictError: when somebody else has answered under this key meanwhile.
        """
        if self._claim is None:
            return
        at_work = (
            (Answer.user_id == self._claim[0]) & (Answer.key == self._claim[1]) & (Answer.status == _AT_WORK)
        )
        kept = session.execute(
            update(Answer).where(at_work).values(status=200, body=body, answered_at=utc_now())
        )
        if kept.rowcount != 1:  # type: ignore[attr-defined]
            raise _taken()


@contextmanager
def once(database: Database, actor: Actor, key: str | None, request_sha256: str) -> Iterator[Once]:
    """Do what the block does under a key, unless it was done before.

    Args:
        database: where answers are kept.
        actor: who asks.
        key: ``None`` where none was given: the block then works as if this was not there.
        request_sha256: of all that makes the request what it is.

    Raises:
        UsageError: when the key was used for another request.
        ConflictError: while the same request is being worked on.
    """
    if key is None:
        yield Once(None)
        return
    with database.write() as session:
        earlier = _claim(session, actor.user_id, key, request_sha256)
    if earlier is not None:
        yield Once(None, earlier)
        return
    try:
        yield Once((actor.user_id, key))
    except BaseException:
        with database.write() as session:
            _let_go(session, actor.user_id, key)
        raise


def _claim(session: Session, user_id: int, key: str, request_sha256: str) -> Any:
    now = utc_now()
    old = Answer.answered_at < now - ANSWER_LASTS
    dead = (Answer.status == _AT_WORK) & (Answer.answered_at < now - CLAIM_LASTS)
    session.execute(delete(Answer).where(old | dead))
    found = session.get(Answer, (user_id, key))
    if found is None:
        session.add(
            Answer(user_id=user_id, key=key, request_sha256=request_sha256, status=_AT_WORK, body=None)
        )
        try:
            session.flush()
        except IntegrityError:
            raise _taken() from None
        return None
    if found.request_sha256 != request_sha256:
        raise UsageError(
            "this idempotency key was used for another request",
            hint="take a new key for each request, and the same key only to send that request again",
        )
    if found.status == _AT_WORK:
        raise _taken()
    return found.body


def forget_claims(session: Session) -> None:
    """Free the keys of work that nobody does any more; only for the one server of a room, as it begins."""
    session.execute(delete(Answer).where(Answer.status == _AT_WORK))


def _taken() -> ConflictError:
    return ConflictError(
        "this request is being worked on", hint="wait a little, and send it again with its key"
    )


def _let_go(session: Session, user_id: int, key: str) -> None:
    mine = (Answer.user_id == user_id) & (Answer.key == key) & (Answer.status == _AT_WORK)
    session.execute(delete(Answer).where(mine))


def fingerprint(what: str, files: Iterable[tuple[str, IO[bytes]]] = ()) -> str:
    """SHA-256 over what is asked and over names and content of its files; streams are rewound."""
    parts = [what]
    for name, stream in files:
        parts += [name, hashlib.file_digest(stream, "sha256").hexdigest()]  # type: ignore[arg-type]
        stream.seek(0)
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()
