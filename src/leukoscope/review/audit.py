"""The trail of everything that was done: entries are only added, each chained to the last by its hash.

An entry is written in the transaction of the change that it tells of, so that there is never one without the
other. ``entry_hash`` is the SHA-256 of the entry's canonical JSON, the hash before it included; a changed,
missing or reordered entry breaks the chain from there on. Entries cut off at the end leave the chain whole:
the head that was exported or printed on a report shows them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from leukoscope.errors import UsageError
from leukoscope.review.store.tables import AuditEntry, AuditHead, utc_now

FIRST = "0" * 64
"""The hash before the first entry."""


class Head(NamedTuple):
    """The end of the trail: how many entries there are, and the hash of the last."""

    number: int
    entry_hash: str


class Break(NamedTuple):
    """Where the trail does not hold, and how."""

    number: int
    what: str


def record(
    session: Session, actor: str, action: str, case_id: int | None = None, /, **details: Any
) -> AuditEntry:
    """Add an entry, in the caller's transaction.

    Args:
        session: a writing one.
        actor: the username; ``"system"`` for what nobody asked for.
        action: what was done, as ``"case signed"``.
        case_id: to which case.
        details: values that JSON can hold.

    Returns:
        The entry, numbered and chained.
    """
    head = session.execute(select(AuditHead).with_for_update()).scalar_one()
    entry = AuditEntry(
        number=head.number + 1,
        written_at=utc_now(),
        actor=actor,
        action=action,
        case_id=case_id,
        details=details,
        previous_hash=head.entry_hash,
    )
    entry.entry_hash = hash_of(entry)
    session.add(entry)
    head.number, head.entry_hash = entry.number, entry.entry_hash
    session.flush()
    return entry


def head(session: Session) -> Head:
    """Where the trail ends now."""
    row = session.execute(select(AuditHead)).scalar_one()
    return Head(row.number, row.entry_hash)


def head_document(session: Session) -> dict[str, Any]:
    """The same as it is exported: number, hash and time of the last entry; :func:`read_head` takes it."""
    end = head(session)
    last = session.get(AuditEntry, end.number)
    return {**end._asdict(), "written_at": last and _written(last.written_at)}


def read_head(path: Path) -> Head:
    """An end of the trail from a file: as it was exported, or as a signed report in JSON names it.

    Raises:
        UsageError: when there is none in it.
    """
    try:
        return parse_head(path.read_text(encoding="utf-8"), where=str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}", hint="check the path") from None


def parse_head(text: str, *, where: str = "the text") -> Head:
    """The same from a file's content; ``where`` it stood, for the message.

    Raises:
        UsageError: when there is none in it.
    """
    try:
        found = json.loads(text)
        found = found.get("audit", found)
        return Head(int(found["number"]), str(found["entry_hash"]))
    except (ValueError, LookupError, TypeError, AttributeError):
        raise UsageError(
            f"{where}: expected an end of the trail, with number and entry_hash",
            hint="give what leukoscope audit export wrote, or a signed report in JSON",
        ) from None


def lines(session: Session) -> Iterator[str]:
    """Every entry as a line of JSON, its hashes with it, in order."""
    for entry in _entries(session):
        yield _canonical(_document(entry) | {"entry_hash": entry.entry_hash}) + "\n"


def _entries(session: Session) -> Iterable[AuditEntry]:
    ordered = select(AuditEntry).order_by(AuditEntry.number)
    return session.scalars(ordered.execution_options(yield_per=1000))


def hash_of(entry: AuditEntry) -> str:
    """SHA-256 of an entry's canonical JSON: keys sorted, no blanks, UTF-8, times to the microsecond."""
    return hashlib.sha256(_canonical(_document(entry)).encode()).hexdigest()


def _canonical(document: dict[str, Any]) -> str:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _document(entry: AuditEntry) -> dict[str, Any]:
    return {
        "number": entry.number,
        "written_at": _written(entry.written_at),
        "actor": entry.actor,
        "action": entry.action,
        "case_id": entry.case_id,
        "details": entry.details,
        "previous_hash": entry.previous_hash,
    }


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def verify(session: Session, heads: Iterable[Head] = ()) -> list[Break]:
    """Every place where the trail does not hold; an empty list where it does.

    Args:
        session: to read with.
        heads: ends of the trail as they were exported or printed earlier; each must still be in it.
    """
    breaks, expected, number = list[Break](), FIRST, 0
    wanted = {head.number: head.entry_hash for head in heads if head.number}
    for entry in _entries(session):
        number += 1
        if entry.number != number:
            breaks.append(Break(number, f"entries {number} to {entry.number - 1} are missing"))
            number = entry.number
        elif entry.previous_hash != expected:
            breaks.append(Break(number, "does not follow the entry before it"))
        if hash_of(entry) != entry.entry_hash:
            breaks.append(Break(number, "was changed"))
        if wanted.pop(number, entry.entry_hash) != entry.entry_hash:
            breaks.append(Break(number, "is not the entry whose hash was exported"))
        expected = entry.entry_hash
    breaks += [Break(place, "was exported, and is missing") for place in sorted(wanted)]
    end = head(session)
    if end != Head(number, expected):
        breaks.append(Break(end.number, "is named as the last entry, and is not"))
    return breaks
