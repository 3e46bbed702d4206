"""Which key does what: one key each, none twice, in the trail."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from leukoscope.errors import UsageError
from leukoscope.review.services.preferences import ACTIONS, NAMED_KEYS, change_keys, keys_of
from leukoscope.review.store.tables import AuditEntry, User


def change(room, **keys) -> dict[str, str]:
    with room.database.write() as session:
        return change_keys(session, room.signer, keys)


def keys(room) -> dict[str, str]:
    with room.database.read() as session:
        return keys_of(session.get_one(User, room.signer.user_id))


def test_the_usual_keys_are_those_of_the_manual_and_none_means_two_things(room):
    usual = keys(room)
    assert {usual[name] for name in ("blast", "normal", "indeterminate", "rejected")} == set("bnir")
    assert usual["choose"] == "space" and usual["look"] == "enter" and usual["help"] == "?"
    assert len(set(usual.values())) == len(ACTIONS)
    assert all(len(key) == 1 or key in NAMED_KEYS for key in usual.values())


def test_a_key_is_changed_kept_recorded_and_brought_back(room):
    assert change(room, blast="J", choose="x")["blast"] == "j"
    assert keys(room)["blast"] == "j" and keys(room)["choose"] == "x" and keys(room)["normal"] == "n"
    assert change(room, blast="n", normal="b")["normal"] == "b"
    assert change(room, blast="", normal="", choose=" ") == {n: a.key for n, a in ACTIONS.items()}
    with room.database.read() as session:
        wanted = select(AuditEntry).where(AuditEntry.action == "keys changed").order_by(AuditEntry.number)
        entries = list(session.scalars(wanted))
        assert next(entry.details["keys"] for entry in entries) == {"blast": "j", "choose": "x"}
        assert {entry.actor for entry in entries} == {room.signer.username} and len(entries) == 3


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"blast": "n"}, "cannot mean two things: call it blast"),
        ({"blast": "F13"}, "expected one letter"),
        ({"blast": "escape"}, "expected one letter"),
        ({"fly": "f"}, "Received: fly"),
    ],
)
def test_a_key_that_cannot_be_changes_nothing(room, changes, said):
    before = keys(room)
    with pytest.raises(UsageError, match=said):
        change(room, undo="u", **changes)
    assert keys(room) == before
