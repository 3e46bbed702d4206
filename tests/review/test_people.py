"""People, teams, settings, models, the trail, for who looks after them; changes with before and after."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from sqlalchemy import select, text
from tests.review.conftest import PASSWORD, new_case

from leukoscope.errors import ConfigError, UsageError
from leukoscope.review.audit import Head
from leukoscope.review.auth import accounts, sessions, tokens
from leukoscope.review.auth.links import invitation_of, reset_of
from leukoscope.review.auth.rights import Actor, ForbiddenError, NotFoundError, visible_cases
from leukoscope.review.services.models import models
from leukoscope.review.services.people import (
    invite_to_reset,
    open_links,
    people,
    reset_password,
    unlock,
    withdraw,
)
from leukoscope.review.services.teams import make_team, rename_team, teams
from leukoscope.review.services.trail import Wanted, check, end_of, named, trail
from leukoscope.review.settings import RoomSettings, change_room_settings, fits, room_settings
from leukoscope.review.store.tables import AuditEntry, Case, User, utc_now


def do(room, what, *given, actor=None, **more):
    with room.database.write() as session:
        return what(session, actor or room.administrator, *given, **more)


def last(room) -> AuditEntry:
    with room.database.read() as session:
        return session.scalars(select(AuditEntry).order_by(AuditEntry.number.desc())).first()


# People


def test_everybody_is_listed_with_what_one_needs_to_know(room):
    with room.database.write() as session:
        sessions.open_session(session, session.get(User, room.signer.user_id))
    do(room, accounts.set_account, room.signer.user_id, disabled=True)
    found = do(room, people)
    assert [(one.username, one.role, bool(one.disabled_at)) for one in found] == [
        ("ada", "administrator", False),
        ("sam", "signer", True),
    ]
    assert found[1].seen_at is not None and found[1].teams[0].name == "Laboratory"


def test_only_an_administrator_looks_after_people_teams_and_settings(room):
    for what, *given in (
        (people,),
        (open_links,),
        (unlock, 1),
        (invite_to_reset, 1),
        (withdraw, "x"),
        (teams,),
        (make_team, "x"),
        (rename_team, 1, "x"),
        (change_room_settings, {}),
        (models, room.bundles),
        (trail, Wanted()),
        (named,),
        (end_of,),
        (check,),
        (accounts.set_account, 1),
        (tokens.tokens_of, 1),
    ):
        with pytest.raises(ForbiddenError):
            do(room, what, *given, actor=room.signer)


def test_a_change_of_an_account_is_told_with_before_and_after(room):
    night = do(room, make_team, "Night shift").team_id
    both = [*room.administrator.team_ids, night]
    do(room, accounts.set_account, room.signer.user_id, role="reader", team_ids=both)
    assert last(room).details == {
        "username": "sam",
        "changes": {"role": ["signer", "reader"], "teams": [["Laboratory"], ["Laboratory", "Night shift"]]},
    }
    before = last(room).number
    do(room, accounts.set_account, room.signer.user_id, role="reader", team_ids=both)
    assert last(room).number == before


def test_two_administrators_cannot_both_leave_at_one_moment(room):
    do(room, accounts.set_account, room.signer.user_id, role="administrator")
    outcomes = []

    def leave(user_id: int) -> None:
        try:
            do(room, accounts.set_account, user_id, role="reader")
            outcomes.append("left")
        except UsageError as error:
            outcomes.append(error.message)

    ids = (room.signer.user_id, room.administrator.user_id)
    threads = [threading.Thread(target=leave, args=(user_id,)) for user_id in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["left", "nobody would be left to administer"]


def test_a_link_for_a_password_opens_it_once_and_makes_no_account(room):
    with room.database.write() as session:
        before = sessions.open_session(session, session.get(User, room.signer.user_id)).token
    earlier = do(room, invite_to_reset, room.signer.user_id).token
    token = do(room, invite_to_reset, room.signer.user_id).token
    with room.database.read() as session:
        for wrong in (earlier, "made up"):
            with pytest.raises(NotFoundError):
                reset_of(session, wrong)
        with pytest.raises(NotFoundError):
            invitation_of(session, token)
        assert accounts.check_password(session, "sam", PASSWORD) is not None
    with room.database.write() as session, pytest.raises(UsageError, match="12 to 1024"):
        reset_password(session, token, "short")
    with room.database.write() as session:
        reset_password(session, token, "other words in a row")
    with room.database.write() as session:
        assert accounts.check_password(session, "sam", PASSWORD) is None
        assert accounts.check_password(session, "sam", "other words in a row") is not None
        assert sessions.find(session, before) is None
        with pytest.raises(NotFoundError):
            reset_of(session, token)


def test_an_invitation_changes_no_password(room):
    token = do(room, accounts.invite, "reader", list(room.administrator.team_ids)).token
    with room.database.write() as session, pytest.raises(NotFoundError):
        reset_password(session, token, "other words in a row")


def test_a_closed_account_gets_no_link_and_one_given_before_opens_nothing(room):
    token = do(room, invite_to_reset, room.signer.user_id).token
    do(room, accounts.set_account, room.signer.user_id, disabled=True)
    with room.database.read() as session, pytest.raises(NotFoundError):
        reset_of(session, token)
    with pytest.raises(UsageError, match="is closed"):
        do(room, invite_to_reset, room.signer.user_id)


def test_open_links_are_listed_and_withdrawn(room):
    made = do(room, accounts.invite, "reader", list(room.administrator.team_ids), for_whom="Bob", days=7)
    do(room, invite_to_reset, room.signer.user_id)
    assert {one.for_whom for one in do(room, open_links)} == {"Bob", "Sam S."}
    do(room, withdraw, made.invitation.token_hash)
    assert [one.for_whom for one in do(room, open_links)] == ["Sam S."]
    assert last(room).action == "link withdrawn" and last(room).details["for_whom"] == "Bob"
    with room.database.write() as session, pytest.raises(NotFoundError):
        accounts.accept(session, made.token, username="bob", full_name="Bob", password=PASSWORD)
    with pytest.raises(NotFoundError, match="no such open link"):
        do(room, withdraw, made.invitation.token_hash)


def test_who_is_invited_is_in_a_team_but_for_administrators(room):
    with pytest.raises(UsageError, match="without a team"):
        do(room, accounts.invite, "reader", [])
    for role, team_ids, days in (
        ("king", [1], 3),
        ("reader", [1], 0),
        ("reader", [1], 31),
        ("reader", [9], 3),
    ):
        with pytest.raises(UsageError):
            do(room, accounts.invite, role, team_ids, days=days)
    assert do(room, accounts.invite, "administrator", []).invitation.team_ids == []


def test_who_was_locked_out_is_let_in(room):
    for _ in range(5):
        with room.database.write() as session:
            accounts.check_password(session, "sam", "wrong words in a row")
    with room.database.write() as session:
        assert accounts.check_password(session, "sam", PASSWORD) is None
    do(room, unlock, room.signer.user_id)
    with room.database.write() as session:
        assert accounts.check_password(session, "sam", PASSWORD) is not None


# Sessions and keys of one's own


def test_a_person_ends_their_own_sessions_and_no_other(room):
    with room.database.write() as session:
        sam, ada = (session.get(User, actor.user_id) for actor in (room.signer, room.administrator))
        here, there, third = (sessions.open_session(session, sam).token for _ in range(3))
        other = sessions.open_session(session, ada)
    mine = do(room, sessions.sessions_of, actor=room.signer)
    assert len(mine) == 3 and {one.user_id for one in mine} == {room.signer.user_id}
    with pytest.raises(NotFoundError):
        do(room, sessions.end_session, other.session.token_hash, actor=room.signer)

    def live() -> list[bool]:
        with room.database.read() as session:
            return [sessions.find(session, word) is not None for word in (here, there, third, other.token)]

    with room.database.read() as session:
        ending = sessions.find(session, there).token_hash
    do(room, sessions.end_session, ending, actor=room.signer)
    assert live() == [True, False, True, True]
    do(room, sessions.end_others, here, actor=room.signer)
    assert live() == [True, False, False, True]


def test_nobody_revokes_the_key_of_another_but_an_administrator(room):
    ours = do(room, tokens.issue, "ours", ["read"])
    theirs = do(room, tokens.issue, "theirs", ["read"], actor=room.signer)
    with pytest.raises(NotFoundError):
        do(room, tokens.revoke, ours.token.token_id, actor=room.signer)
    do(room, tokens.revoke, theirs.token.token_id)
    assert last(room).details == {"name": "theirs", "username": "sam"}
    assert do(room, tokens.tokens_of, room.signer.user_id) == []


# Teams


def test_teams_are_made_renamed_and_never_called_alike(room):
    night = do(room, make_team, " Night shift ")
    assert night.name == "Night shift" and last(room).action == "team made"
    for name in ("", " ", "Laboratory", "x" * 101, "two\nlines", "nul\0"):
        with pytest.raises(UsageError):
            do(room, make_team, name)
    with pytest.raises(UsageError, match="'Laboratory' already"):
        do(room, rename_team, night.team_id, "Laboratory")
    do(room, rename_team, night.team_id, "Night")
    assert last(room).details == {"changes": {"team": ["Night shift", "Night"]}}
    with pytest.raises(NotFoundError):
        do(room, rename_team, 99, "x")
    found = {one.team.name: [user.username for user in one.people] for one in do(room, teams)}
    assert found == {"Laboratory": ["ada", "sam"], "Night": []}


def test_another_team_counts_at_once_and_shows_its_cases_alone(room):
    case_id = new_case(room)
    night = do(room, make_team, "Night").team_id
    do(room, accounts.set_account, room.signer.user_id, team_ids=[night])
    with room.database.read() as session:
        moved = Actor.of(session.get(User, room.signer.user_id))
        assert session.scalars(visible_cases(moved)).all() == []
        assert session.get(Case, case_id) is not None


# Settings


def test_a_change_of_settings_is_kept_and_told_with_before_and_after(room):
    do(room, change_room_settings, {"laboratory": "Haematology 2", "session_hours": 8})
    with room.database.read() as session:
        assert room_settings(session) == RoomSettings(laboratory="Haematology 2", session_hours=8)
    assert last(room).details == {"changes": {"laboratory": ["", "Haematology 2"], "session_hours": [24, 8]}}


@pytest.mark.parametrize(
    "changes",
    [
        {"session_hours": 0},
        {"session_idle_minutes": 10_000},
        {"failures_until_locked": 1},
        {"locked_minutes": "many"},
        {"pseudonym_pattern": "(a"},
        {"pseudonym_pattern": "a)|(b"},
        {"pseudonym_pattern": ""},
        {"laboratory": "two\nlines"},
        {"laboratory": "x" * 201},
        {"bundle_id": "unknown"},
        {"colour": "red"},
    ],
)
def test_settings_that_cannot_be_are_refused_and_change_nothing(room, changes):
    before = last(room).number
    with pytest.raises((UsageError, ConfigError)):
        do(room, change_room_settings, {"laboratory": "new", **changes})
    with room.database.read() as session:
        assert room_settings(session) == RoomSettings() and last(room).number == before


def test_the_pattern_decides_what_a_pseudonym_is(room):
    do(room, change_room_settings, {"pseudonym_pattern": r"(?:PT|HD)-\d{4}"})
    assert new_case(room, subject_id=" PT-0042 ")
    for word in ("P-17", "PT-00421", "xPT-0042", "PT-0042\nAnna"):
        with pytest.raises(UsageError, match="no pseudonym"):
            new_case(room, subject_id=word)


def test_no_pattern_keeps_the_room_busy():
    """These would not end today where a regular expression may go back."""
    for pattern in ("(a+)+b", "(a|a)*b", "(a|aa)+b", "(.*a){20}b"):
        assert not fits(pattern, "a" * 60)
    with pytest.raises(UsageError, match="no regular expression"):
        fits(r"(a)\1", "aa")


def test_a_pseudonym_is_never_longer_than_what_is_kept():
    assert fits(".*", "x" * 64) and not fits(".*", "x" * 65)


# Models


def test_models_are_listed_with_their_cases_and_one_that_is_damaged_is_said(room):
    new_case(room), new_case(room)
    (found,) = do(room, models, room.bundles)
    assert (found.num_cases, found.problem) == (2, "") and found.info.name == room.bundle.name
    folder = room.bundles._path(room.bundle.bundle_id)
    (folder / "bundle.json").write_text("{}")
    room.bundles._predictors.clear()
    (found,) = do(room, models, room.bundles)
    assert found.info is None and found.problem and found.metrics == {}


# The trail


def read(room, actor=None, **wanted):
    with room.database.read() as session:
        return trail(session, actor or room.administrator, Wanted(**wanted))


def test_the_trail_is_read_newest_first_page_by_page(room):
    for number in range(7):
        do(room, make_team, f"Team {number}")
    numbers, before = [], None
    while True:
        found = read(room, per_page=3, before=before)
        numbers += [line.entry.number for line in found.lines]
        if (before := found.before) is None:
            break
    assert numbers == list(range(last(room).number, 0, -1))


def test_the_trail_is_narrowed(room):
    case_id = new_case(room)
    do(room, make_team, "Night")
    today = utc_now().date()

    def actions(**wanted) -> list[str]:
        return [line.entry.action for line in read(room, **wanted).lines]

    assert actions(case_id=case_id) == ["case made"] == actions(action="case made")
    assert set(actions(person="sam")) == {"account made", "case made"}
    assert actions(since=today, until=today) == actions()
    assert actions(since=today + timedelta(days=1)) == [] == actions(until=today - timedelta(days=1))
    people_named, actions_named = do(room, named)
    assert people_named == ["ada", "sam", "system"] and "team made" in actions_named


def test_the_trail_tells_nothing_of_a_case_to_who_may_not_see_it(room):
    case_id = new_case(room, subject_id="P-SECRET")
    assert read(room, case_id=case_id).lines[0].details["subject_id"] == "P-SECRET"
    do(room, accounts.set_account, room.administrator.user_id, team_ids=[])
    with room.database.read() as session:
        outside = Actor.of(session.get(User, room.administrator.user_id))
    (line,) = read(room, outside, case_id=case_id).lines
    assert (line.entry.action, line.details) == ("case made", None)
    assert read(room, outside, action="account made").lines[0].details is not None


def test_a_check_says_what_was_touched_and_misses_what_was_exported(room):
    end = do(room, end_of)
    assert do(room, check, end).breaks == []
    assert do(room, check, Head(end.number, "f" * 64)).breaks != []
    assert do(room, check, Head(end.number + 5, "f" * 64)).breaks != []
    with room.database.write() as session:
        session.execute(text("UPDATE audit SET actor = 'eve' WHERE number = 2"))
    assert [place.number for place in do(room, check).breaks] == [2]
