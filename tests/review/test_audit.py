"""The trail breaks wherever somebody touches it, and says where."""

from __future__ import annotations

import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from leukoscope.review.audit import FIRST, Head, head, record, verify


@pytest.fixture
def trail(database):
    with database.write() as session:
        for number in range(6):
            record(session, "ada", "thing done", None, number=number, text='ä, \u2028 and "quotes"')
    return database


def found(database, *heads):
    with database.read() as session:
        return verify(session, heads)


def test_an_untouched_trail_holds_and_ends_at_its_head(trail):
    assert found(trail) == []
    with trail.read() as session:
        end = head(session)
    assert end.number == 6 and end.entry_hash != FIRST
    assert found(trail, end, Head(0, FIRST)) == []


TAMPERING = {
    "changed": ("UPDATE audit SET actor = 'eve' WHERE number = 3", [3]),
    "details": ("""UPDATE audit SET details = '[9]' WHERE number = 3""", [3]),
    "time": ("UPDATE audit SET written_at = '2020-01-01 00:00:00' WHERE number = 3", [3]),
    "missing": ("DELETE FROM audit WHERE number = 3", [3]),
    "first missing": ("DELETE FROM audit WHERE number = 1", [1]),
    "last missing": ("DELETE FROM audit WHERE number = 6", [6]),
    "rehashed": ("UPDATE audit SET entry_hash = 'f' WHERE number = 3", [3, 4]),
}


@pytest.mark.parametrize("how", TAMPERING)
def test_what_was_touched_is_found(trail, how):
    statement, places = TAMPERING[how]
    with trail.write() as session:
        session.execute(text(statement))
    assert sorted({place.number for place in found(trail)}) == places


def test_a_reordered_trail_is_found(trail):
    with trail.write() as session:
        for old, new in ((2, 99), (3, 2), (99, 3)):
            session.execute(text(f"UPDATE audit SET number = {new} WHERE number = {old}"))
    assert {2, 3} <= {place.number for place in found(trail)}


def test_an_end_that_was_cut_off_is_found_by_an_exported_head(trail):
    with trail.read() as session:
        end = head(session)
    with trail.write() as session:
        session.execute(text("DELETE FROM audit WHERE number > 4"))
        last = session.execute(text("SELECT entry_hash FROM audit WHERE number = 4")).scalar()
        session.execute(text("UPDATE audit_head SET number = 4, entry_hash = :last"), {"last": last})
    assert found(trail) == []
    assert [place.number for place in found(trail, end)] == [6]


def test_a_change_that_fails_leaves_no_entry(trail):
    with pytest.raises(RuntimeError), trail.write() as session:
        record(session, "ada", "thing begun")
        raise RuntimeError
    with trail.read() as session:
        assert head(session).number == 6


def test_many_writers_make_one_chain(trail):
    def work() -> None:
        for number in range(10):
            with trail.write() as session:
                record(session, "bob", "thing done", None, number=number)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found(trail) == []
    with trail.read() as session:
        assert head(session).number == 46


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=5),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(details=VALUES)
def test_what_json_holds_comes_back_with_its_hash(database, details):
    with database.write() as session:
        record(session, "ada", "thing done", None, details=details)
    assert found(database) == []
