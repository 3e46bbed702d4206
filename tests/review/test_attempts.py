"""Passwords tried again and again: by account they lock it, by address they are slowed."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from tests.review.conftest import PASSWORD
from tests.review.programs import ADDRESS, serving

from leukoscope.review.auth import attempts, passwords
from leukoscope.review.auth.attempts import Attempts, TooManyError


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def count(made: Attempts, address: str, most: int = 100) -> int:
    """How many tries an address has before it is asked to wait."""
    for number in range(most):
        try:
            made.begin(address)
        except TooManyError:
            return number
    return most


def test_an_address_waits_until_its_tries_are_old_and_no_longer_for_trying():
    clock = Clock()
    made = Attempts(most=3, within=60, clock=clock)
    assert count(made, "192.0.2.7") == 3
    clock.now += 59
    with pytest.raises(TooManyError) as caught:
        made.begin("192.0.2.7")
    assert caught.value.seconds == 2
    clock.now += 1
    assert count(made, "192.0.2.7") == 3


def test_tries_are_counted_by_who_can_change_his_address_at_will():
    made = Attempts(most=3)
    assert count(made, "192.0.2.7") == 3 and count(made, "192.0.2.8") == 3
    assert count(made, "2001:db8::1") == 3 and count(made, "2001:db8::2") == 0
    assert count(made, "::ffff:192.0.2.7") == 0 and count(made, "::ffff:192.0.2.9") == 3


def test_what_succeeded_is_no_try():
    made = Attempts(most=3)
    for _ in range(20):
        made.begin("192.0.2.7")
        made.succeeded("192.0.2.7")
    assert count(made, "192.0.2.7") == 3


def test_memory_is_bounded_and_keeps_who_came_last(monkeypatch):
    monkeypatch.setattr(attempts, "MOST_ADDRESSES", 5)
    made = Attempts(most=1)
    for number in range(50):
        made.begin(f"192.0.2.{number}")
    assert len(made._tries) == 5
    assert count(made, "192.0.2.49") == 0 and count(made, "192.0.2.1") == 1


def test_one_password_at_many_accounts_meets_a_shut_door(url, tmp_path, tiny_bundle, monkeypatch):
    hashed = []
    with serving(tmp_path / "room", tiny_bundle, url) as served:
        room, client = served.room, TestClient(served.app, base_url=ADDRESS, follow_redirects=False)
        clock = Clock()
        room.attempts = Attempts(most=10, within=60, clock=clock)
        compared = passwords.matches
        monkeypatch.setattr(passwords, "matches", lambda *given: hashed.append(1) or compared(*given))

        def sign_in(username: str, password: str):
            return client.post("/sign-in", data={"username": username, "password": password})

        assert [sign_in("sam", PASSWORD).status_code for _ in range(20)] == [303] * 20
        hashed.clear()
        answers = [sign_in(f"somebody-{number}", "spring of 2026 again") for number in range(15)]
        assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 5 and len(hashed) == 10
        shut = sign_in("sam", PASSWORD)
        assert shut.status_code == 429 and shut.headers["retry-after"] == "61"
        assert "Too many passwords" in shut.text and "leukoscope" not in shut.cookies
        clock.now += 61
        assert sign_in("sam", PASSWORD).status_code == 303
