"""Accounts by invitation, sessions that end, keys with scopes, and a lock after failures."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.review.conftest import PASSWORD

from leukoscope.errors import UsageError
from leukoscope.review.audit import verify
from leukoscope.review.auth import accounts, links, sessions, tokens
from leukoscope.review.auth.rights import Actor, ForbiddenError, NotFoundError, case_for, visible_cases
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


def test_a_success_forgives_earlier_failures(database, administrator):
    for _ in range(3):
        assert not any(sign_in(database, "wrong words in a row") for _ in range(4))
        assert sign_in(database, PASSWORD)


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
