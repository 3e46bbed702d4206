"""Accounts by invitation, sessions that end, keys with scopes, and a lock after failures."""

from __future__ import annotations

import importlib.util
from datetime import timedelta

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select
from tests.review.conftest import PASSWORD

from leukoscope.errors import UsageError
from leukoscope.review.audit import head, record, verify
from leukoscope.review.auth import accounts, links, passwords, sessions, tokens
from leukoscope.review.auth.rights import Actor, ForbiddenError, NotFoundError, case_for, visible_cases
from leukoscope.review.settings import change_room_settings
from leukoscope.review.store import tables
from leukoscope.review.store.tables import Case, StoredBundle, Team, User


@pytest.fixture
def later(monkeypatch):
    """``later(hours=3)`` moves the clock of accounts, sessions and tokens."""

    def move(**by) -> None:
        moment = tables.utc_now() + timedelta(**by)
        for module in (accounts, links, sessions, tokens):
            monkeypatch.setattr(module, "utc_now", lambda: moment)

    return move


def make_user(database, administrator, role="reader", username="bob", team_ids=None) -> User:
    with database.write() as session:
        teams = team_ids or list(administrator.team_ids)
        invited = accounts.invite(session, administrator, role, teams)
    with database.write() as session:
        return accounts.accept(
            session, invited.token, username=username, full_name="Bob B.", password=PASSWORD
        )


def test_the_first_account_is_an_administrator_of_the_first_team(database, administrator):
    assert administrator.role == "administrator" and len(administrator.team_ids) == 1
    with database.write() as session, pytest.raises(UsageError, match="accounts already"):
        accounts.invite_first(session)


def test_a_link_makes_one_account_once_and_not_for_ever(database, later):
    with database.write() as session:
        first = accounts.invite_first(session).token
        second = accounts.invite_first(session).token
    with database.write() as session, pytest.raises(NotFoundError, match="used or too old"):
        accounts.invitation_of(session, first)
    with database.write() as session:
        accounts.accept(session, second, username="Ada", full_name="Ada L.", password=PASSWORD)
    for token in (second, "made up"):
        with database.write() as session, pytest.raises(NotFoundError):
            accounts.accept(session, token, username="eve", full_name="Eve", password=PASSWORD)


def test_a_link_grows_old(database, administrator, later):
    with database.write() as session:
        token = accounts.invite(session, administrator, "reader", list(administrator.team_ids)).token
    later(days=4)
    with database.write() as session, pytest.raises(NotFoundError):
        accounts.invitation_of(session, token)


@pytest.mark.parametrize(
    ("username", "password", "said"),
    [
        ("bo b", PASSWORD, "letters a-z"),
        ("system", PASSWORD, "letters a-z"),
        ("ADA", PASSWORD, "is taken"),
        ("bob", "short", "12 to 1024"),
        ("bob", "aaaaaaaaaaaaaaaa", "soon guessed"),
        ("bob.smith", "i am bob.smith!", "soon guessed"),
    ],
)
def test_what_no_account_can_be_is_said(database, administrator, username, password, said):
    with database.write() as session:
        token = accounts.invite(session, administrator, "reader", list(administrator.team_ids)).token
    with database.write() as session, pytest.raises(UsageError, match=said):
        accounts.accept(session, token, username=username, full_name="Bob", password=password)
    with database.read() as session:
        assert accounts.invitation_of(session, token).used_at is None


def test_only_an_administrator_invites(database, administrator):
    reader = Actor.of(make_user(database, administrator))
    with database.write() as session, pytest.raises(ForbiddenError, match="'bob' may not administer"):
        accounts.invite(session, reader, "administrator", list(reader.team_ids))


def sign_in(database, password) -> bool:
    with database.write() as session:
        return accounts.check_password(session, "Ada", password) is not None


def test_five_failures_lock_for_a_while_whoever_knocks(database, administrator, later):
    assert sign_in(database, PASSWORD)
    assert not any(sign_in(database, "wrong words in a row") for _ in range(5))
    assert not sign_in(database, PASSWORD)
    later(minutes=16)
    assert sign_in(database, PASSWORD)


def test_knocking_at_a_locked_door_does_not_keep_it_locked(database, administrator, later):
    for _ in range(5):
        sign_in(database, "wrong words in a row")
    later(minutes=14)
    assert not any(sign_in(database, "wrong words in a row") for _ in range(20))
    later(minutes=16)
    assert sign_in(database, PASSWORD)


def test_what_the_administrator_sets_is_obeyed(database, administrator, later):
    with database.write() as session:
        change_room_settings(session, administrator, {"failures_until_locked": 3, "locked_minutes": 60})
    assert not any(sign_in(database, "wrong words in a row") for _ in range(3))
    later(minutes=30)
    assert not sign_in(database, PASSWORD)
    later(minutes=61)
    assert sign_in(database, PASSWORD)


REFUSED = {
    "nobody": "no such account",
    "no name at all": "no such account",
    "ada\0": "no such account",
    "Ada": "wrong password",
    "shut": "closed",
}


def test_who_is_refused_costs_the_same_whoever_they_say_they_are(database, administrator, monkeypatch):
    """One hash and one entry each, so that neither words nor time tell which names there are."""
    shut = make_user(database, administrator, username="shut")
    with database.write() as session:
        accounts.set_account(session, administrator, shut.user_id, disabled=True)
    hashes, entries = [], []
    monkeypatch.setattr(passwords, "_hasher", counting(passwords._hasher, hashes))
    for name in REFUSED:
        with database.write() as session:
            before = head(session).number
            assert accounts.check_password(session, name, "wrong words in a row") is None
            entries.append(head(session).number - before)
    assert hashes == ["verify"] * len(REFUSED) and entries == [1] * len(REFUSED)
    with database.read() as session:
        last = select(tables.AuditEntry).order_by(tables.AuditEntry.number.desc()).limit(len(REFUSED))
        told = [(entry.actor, entry.details["reason"]) for entry in session.scalars(last)]
    names = ["system", "system", "system", "ada", "shut"]
    assert told[::-1] == list(zip(names, REFUSED.values(), strict=True))


def counting(hasher, calls):
    class Counting:
        def verify(self, *given):
            calls.append("verify")
            return hasher.verify(*given)

        def __getattr__(self, name):
            return getattr(hasher, name)

    return Counting()


def test_nobody_waits_while_a_password_is_compared(database, administrator, monkeypatch):
    """Else a few who knock would keep everybody from writing, who has one lock on SQLite."""

    def written_meanwhile(kept, password):
        with database.write() as session:
            record(session, "ada", "thing done")
        return True

    monkeypatch.setattr(passwords, "matches", written_meanwhile)
    with database.read() as session:
        came = accounts.knock(session, "ada", PASSWORD)
    with database.write() as session:
        assert accounts.admit(session, came).username == "ada"


def test_a_password_that_was_changed_meanwhile_opens_nothing(database, administrator):
    with database.read() as session:
        came = accounts.knock(session, "ada", PASSWORD)
    with database.write() as session:
        accounts.set_password(session, session.get(User, administrator.user_id), "other words in a row")
    with database.write() as session:
        assert accounts.admit(session, came) is None


def test_a_weak_hash_is_made_anew_at_the_next_sign_in(database, administrator, monkeypatch):
    with database.read() as session:
        weak = session.get(User, administrator.user_id).password_hash
    monkeypatch.setattr(passwords, "_hasher", PasswordHasher(time_cost=2, memory_cost=128, parallelism=1))
    assert sign_in(database, PASSWORD)
    with database.read() as session:
        kept = session.get(User, administrator.user_id).password_hash
    assert kept != weak and "m=128,t=2,p=1" in kept
    assert sign_in(database, PASSWORD) and not sign_in(database, "wrong words in a row")


def test_passwords_are_kept_as_owasp_asks_for_it():
    spec = importlib.util.find_spec("leukoscope.review.auth.passwords")
    fresh = importlib.util.module_from_spec(spec)  # the tests' own hashes are quick ones
    spec.loader.exec_module(fresh)
    assert fresh.hashed(PASSWORD).startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_an_umlaut_is_one_letter_on_every_keyboard():
    kept = passwords.hashed("drei gr\u00fcne \u00c4pfel am Baum")
    assert passwords.matches(kept, "drei gru\u0308ne A\u0308pfel am Baum")
    assert not passwords.matches(kept, "drei grune Apfel am Baum")
    assert not passwords.matches(kept, "\ud800" * 20)


def test_a_success_forgives_earlier_failures(database, administrator):
    for _ in range(3):
        assert not any(sign_in(database, "wrong words in a row") for _ in range(4))
        assert sign_in(database, PASSWORD)


def test_a_session_lasts_as_long_as_the_administrator_says(database, administrator, later):
    with database.write() as session:
        changes = {"session_idle_minutes": 5, "session_hours": 1}
        change_room_settings(session, administrator, changes)
        user = session.get(User, administrator.user_id)
        words = [sessions.open_session(session, user).token for _ in range(2)]

    def lives(word) -> bool:
        with database.write() as session:
            return sessions.find(session, word) is not None

    for minutes in range(4, 57, 4):
        later(minutes=minutes)
        with database.write() as session:
            sessions.note_use(session, words[0])
        assert lives(words[0]) and lives(words[1]) == (minutes < 5)
    later(minutes=61)
    assert not lives(words[0])


def test_sessions_end_when_idle_when_old_and_when_the_account_closes(database, administrator, later):
    def token() -> str:
        with database.write() as session:
            return sessions.open_session(session, session.get(User, administrator.user_id)).token

    def lives(word: str) -> bool:
        with database.read() as session:
            return sessions.find(session, word) is not None

    first = token()
    assert lives(first) and not lives("") and not lives("made up")
    later(hours=3)
    assert not lives(first)
    second = token()
    later(hours=3 + 25)
    assert not lives(second)


def test_a_changed_account_is_signed_out_everywhere(database, administrator):
    user = make_user(database, administrator)
    with database.write() as session:
        word = sessions.open_session(session, session.get(User, user.user_id)).token
    with database.write() as session:
        accounts.set_account(session, administrator, user.user_id, role="signer")
    with database.read() as session:
        assert sessions.find(session, word) is None
        assert session.get(User, user.user_id).role == "signer"


def test_somebody_must_be_left_to_administer(database, administrator):
    for change in ({"disabled": True}, {"role": "reader"}):
        with database.write() as session, pytest.raises(UsageError, match="nobody would be left"):
            accounts.set_account(session, administrator, administrator.user_id, **change)


def test_a_key_opens_what_it_is_for_until_it_ends(database, administrator, later):
    with database.write() as session:
        issued = tokens.issue(session, administrator, "robot", ["read"], days=2)

    def actor() -> Actor | None:
        with database.read() as session:
            return tokens.actor_of(session, issued.text)

    assert actor().rights == {"read"}
    with pytest.raises(ForbiddenError):
        actor().need("review")
    later(days=3)
    assert actor() is None


def test_a_key_is_never_for_more_than_its_owner_may_today(database, administrator):
    user = make_user(database, administrator, role="signer")
    with database.write() as session:
        key = tokens.issue(session, Actor.of(user), "robot", ["read", "sign"]).text

    def rights() -> frozenset[str]:
        with database.read() as session:
            return tokens.actor_of(session, key).rights

    assert rights() == {"read", "sign"}
    for role, left in (("reader", {"read"}), ("administrator", {"read"}), ("signer", {"read", "sign"})):
        with database.write() as session:
            accounts.set_account(session, administrator, user.user_id, role=role)
        assert rights() == left


def test_the_use_of_a_key_is_noted_once_a_minute(database, administrator, later):
    with database.write() as session:
        key = tokens.issue(session, administrator, "robot", ["read"]).text

    def used_at():
        assert tokens.caller(database, key).username == "ada"
        with database.read() as session:
            return tokens.find(session, key).used_at

    first = used_at()
    assert first is not None and used_at() == first
    later(minutes=2)
    assert used_at() > first
    assert tokens.caller(database, "made up") is None


def test_an_account_that_is_opened_again_has_no_keys(database, administrator):
    user = make_user(database, administrator)
    with database.write() as session:
        key = tokens.issue(session, Actor.of(user), "robot", ["read"]).text
    for disabled in (True, False):
        with database.write() as session:
            accounts.set_account(session, administrator, user.user_id, disabled=disabled)
    with database.read() as session:
        assert tokens.find(session, key) is None


def test_a_revoked_key_and_one_of_a_closed_account_open_nothing(database, administrator):
    user = make_user(database, administrator)
    with database.write() as session:
        one = tokens.issue(session, Actor.of(user), "one", ["read"])
        two = tokens.issue(session, Actor.of(user), "two", ["read"])
        tokens.revoke(session, Actor.of(user), one.token.token_id)
    with database.read() as session:
        assert tokens.actor_of(session, one.text) is None
        assert tokens.actor_of(session, two.text) is not None
    with database.write() as session:
        accounts.set_account(session, administrator, user.user_id, disabled=True)
    with database.read() as session:
        assert tokens.actor_of(session, two.text) is None


def test_nobody_gives_a_key_more_than_they_have(database, administrator):
    reader = Actor.of(make_user(database, administrator))
    for scopes in (["sign"], ["read", "administer"], [], ["fly"]):
        with database.write() as session, pytest.raises(UsageError, match="scopes among read, review"):
            tokens.issue(session, reader, "robot", scopes)


def test_a_case_of_another_team_is_not_there(database, administrator):
    with database.write() as session:
        session.add_all([Team(name="Elsewhere"), StoredBundle(bundle_id="b", name="b", demonstration=True)])
        session.flush()
        elsewhere = session.query(Team).filter_by(name="Elsewhere").one().team_id
        case = Case(
            team_id=elsewhere,
            subject_id="P-1",
            bundle_id="b",
            operating_point="x",
            created_by=administrator.user_id,
        )
        session.add(case)
        session.flush()
        case_id = case.case_id
    guest = Actor.of(make_user(database, administrator, team_ids=[elsewhere]))
    with database.read() as session:
        assert case_for(session, guest, case_id).subject_id == "P-1"
        assert session.scalars(visible_cases(administrator)).all() == []
        for missing in (case_id, case_id + 1):
            with pytest.raises(NotFoundError, match="no case"):
                case_for(session, administrator, missing)


def test_all_of_it_is_in_the_trail(database, administrator):
    make_user(database, administrator)
    sign_in(database, "wrong words in a row")
    with database.read() as session:
        assert verify(session) == []
        actions = session.scalars(
            tables.AuditEntry.__table__.select().with_only_columns(tables.AuditEntry.action)
        ).all()
    assert sorted(set(actions)) == ["account made", "person invited", "sign-in refused"]
