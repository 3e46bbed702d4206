"""``leukoscope serve``: what it says and keeps, what it refuses, how it closes."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys

import httpx
import pytest
from fastapi.testclient import TestClient
from tests.review.conftest import PASSWORD, new_url
from tests.review.served import Person, Served

from leukoscope.cli.main import main
from leukoscope.errors import UsageError
from leukoscope.review.app import create_app
from leukoscope.review.room import Room
from leukoscope.review.serve import _listen
from leukoscope.review.settings import ServerSettings


def refused(capsys, *words: object) -> str:
    """What a start that does not happen says: one line of error, one of hint; exit code 2."""
    capsys.readouterr()
    assert main(["serve", *map(str, words)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["error", "hint"], lines
    return " ".join(lines)


def test_it_says_130_where_ctrl_c_was_ignored_before(tmp_path, tiny_bundle):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as for what a script starts with &
    try:
        with Served(tmp_path / "room", tiny_bundle) as server:
            assert httpx.get(f"{server.address}/sign-in").status_code == 200
            assert server.end(signal.SIGINT) == 130
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_first_start_says_all_that_a_person_needs_and_ctrl_c_closes(tmp_path, tiny_bundle, capsys):
    home = {"XDG_DATA_HOME": str(tmp_path / "home")}
    with Served(None, tiny_bundle, environment=home) as server:
        folder = tmp_path / "home" / "leukoscope"
        assert f"data folder: {folder}" in server.said and (folder / "leukoscope.db").is_file()
        assert folder.stat().st_mode & 0o077 == 0
        first = server.link
        assert httpx.get(first).status_code == 200
        assert "another server has" in refused(capsys, tiny_bundle, "--port", 0, "--data-dir", folder)
        port = httpx.URL(first).port
        assert "cannot listen" in refused(capsys, "--data-dir", tmp_path / "other", "--port", port)
        assert not (tmp_path / "other").exists()
        assert server.end(signal.SIGINT) == 130
        assert server.said[-1].startswith("interrupted: the room is closed")
    with Served(folder, tiny_bundle) as server:
        assert server.link.split("/join/")[1] != first.split("/join/")[1]
        assert httpx.get(f"{server.address}/join/{first.split('/join/')[1]}").status_code == 404
        Person(server.address).join(server.link)
        assert server.end(signal.SIGTERM) == 130
    with Served(folder, tiny_bundle) as server:
        assert server.link is None
        Person(server.address).sign_in()


def certificate(folder, name: str) -> tuple[str, str]:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    cert, key = folder / f"{name}.crt", folder / f"{name}.key"
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -days 2"
    made = ["openssl", *words.split(), "-keyout", key, "-out", cert]
    subprocess.run(made, check=True, capture_output=True)
    return str(cert), str(key)


def test_with_a_certificate_it_answers_by_https_and_says_so_to_browsers(tmp_path, tiny_bundle):
    cert, key = certificate(tmp_path, "one")
    words = ("--host", "0.0.0.0", "--tls-cert", cert, "--tls-key", key)
    with Served(tmp_path / "room", tiny_bundle, *words) as server:
        port = httpx.URL(server.address).port
        assert server.address.startswith(f"https://{socket.gethostname()}:")
        person = Person(f"https://127.0.0.1:{port}", verify=False)
        person.join(server.link)
        answer = person.client.post("/sign-in", data={"username": "ada", "password": PASSWORD})
        cookie = answer.headers["set-cookie"]
        assert all(word in cookie for word in ("Secure", "HttpOnly", "SameSite=strict"))
        assert "max-age" in answer.headers["strict-transport-security"]


def test_a_certificate_without_its_key_is_one_clear_line(tmp_path, capsys):
    one, other = certificate(tmp_path, "one"), certificate(tmp_path, "other")
    folder = ("--data-dir", tmp_path / "room")
    assert "belong together" in refused(capsys, *folder, "--tls-cert", one[0])
    said = refused(capsys, *folder, "--tls-cert", one[0], "--tls-key", other[1])
    assert "is no key of" in said and "key values mismatch" in said
    missing = tmp_path / "none.pem"
    assert "none.pem: no such file" in refused(capsys, *folder, "--tls-cert", missing, "--tls-key", one[1])
    assert not (tmp_path / "room").exists()


REFUSED = {
    "an open address": (["--host", "0.0.0.0"], "nothing is encrypted"),
    "an open address without accounts": (
        ["--host", "0.0.0.0", "--behind-proxy", "--without-accounts"],
        "a proxy would see every case",
    ),
    "a port that is none": (["--port", "70000"], "from 0 to 65535"),
    "a host that is none": (["--host", "no.such.host.invalid", "--behind-proxy"], "cannot listen"),
    "no database": (["--database", "nonsense"], "expected a database URL"),
    "a server that is away": (
        ["--database", "postgresql+psycopg://nobody:secret@127.0.0.1:1/none"],
        "does it run",
    ),
    "no bundle": (["no-such.leuko"], "no-such.leuko"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_two_lines(case, capsys, tmp_path):
    words, said = REFUSED[case]
    words = ["--port", "0", *words] if "--port" not in words else words
    answer = refused(capsys, "--data-dir", tmp_path / "room", *words)
    assert said in answer and "secret" not in answer


def test_a_folder_that_cannot_be_written_is_two_lines(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot be used" in refused(capsys, "--port", 0, "--data-dir", tmp_path / "file" / "room")


def test_a_file_that_is_no_database_is_two_lines(capsys, tmp_path):
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "leukoscope.db").write_text("what is this?\n" * 400)
    assert "file is not a database" in refused(capsys, "--port", 0, "--data-dir", tmp_path / "room")


def test_a_database_of_a_newer_leukoscope_is_two_lines(capsys, tmp_path, tiny_bundle):
    Room(ServerSettings(data_dir=tmp_path / "room"), tiny_bundle).close()
    with sqlite3.connect(tmp_path / "room" / "leukoscope.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    assert "step 9999" in refused(capsys, tiny_bundle, "--port", 0, "--data-dir", tmp_path / "room")


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_a_database_keeps_to_its_data_folder(kind, tmp_path, tiny_bundle):
    url, drop = new_url(kind, tmp_path)
    Room(ServerSettings(data_dir=tmp_path / "one", database=url), tiny_bundle).close()
    with pytest.raises(UsageError, match="belongs to another data folder"):
        Room(ServerSettings(data_dir=tmp_path / "two", database=url), tiny_bundle)
    shutil.move(tmp_path / "one", tmp_path / "moved")
    Room(ServerSettings(data_dir=tmp_path / "moved", database=url), tiny_bundle).close()
    drop()


@pytest.mark.parametrize("package", ["uvicorn", "sqlalchemy", "python_multipart"])
@pytest.mark.parametrize("words", [["serve"], ["audit", "verify"]])
def test_without_the_extra_it_says_how_to_get_it(words, package, capsys, monkeypatch, tmp_path):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == package else found(name, *more)
    )
    assert main([*words, "--data-dir", str(tmp_path / "room")]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: the review room needs the extra 'serve', which is not installed",
        'hint: install it with: pip install "leukoscope[serve]"',
    ]


def test_without_the_driver_postgres_says_how_to_get_it(capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    words = ("--port", 0, "--data-dir", tmp_path / "room", "--database", "postgresql+psycopg://a@127.0.0.1/b")
    assert "leukoscope[postgres]" in refused(capsys, *words)


# What the server answers, without a process of its own.


def answering(folder, bundle, **settings) -> TestClient:
    room = Room(ServerSettings(data_dir=folder, **settings), bundle)
    client = TestClient(create_app(room), base_url="http://127.0.0.1", follow_redirects=False)
    client.room = room
    return client


@pytest.fixture
def server(tmp_path, tiny_bundle):
    with answering(tmp_path / "room", tiny_bundle) as client:
        yield client
    client.room.close()


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:80", "LOCALHOST"])
def test_this_machines_names_are_answered(server, host):
    assert server.get("/sign-in", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example:8000", "127.0.0.1.nip.io", "", "["])
def test_a_name_from_elsewhere_that_points_here_is_not(server, host):
    for path in ("/sign-in", "/static/room.css", "/api/v1/openapi.json"):
        answer = server.get(path, headers={"Host": host})
        assert answer.status_code == 421 and "default-src 'none'" in answer.headers["content-security-policy"]


def test_behind_a_proxy_cookies_are_for_https_alone_and_what_came_in_clear_is_refused(tmp_path, tiny_bundle):
    with answering(tmp_path / "room", tiny_bundle, behind_proxy=True, host="0.0.0.0") as client:
        named = {"Host": "lab.example", "X-Forwarded-Proto": "https"}
        link = f"/join/{client.room.first_link()}"
        form = {"username": "ada", "full_name": "Ada L.", "password": PASSWORD, "repeated": PASSWORD}
        assert client.get(link, headers=named | {"X-Forwarded-Proto": "http"}).status_code == 403
        other = client.post(link, data=form, headers=named | {"Origin": "https://evil.example"})
        assert other.status_code == 403
        answer = client.post(link, data=form, headers=named | {"Origin": "https://lab.example"})
        assert answer.status_code == 303 and "Secure" in answer.headers["set-cookie"]
        assert "max-age" in answer.headers["strict-transport-security"]
    client.room.close()


def test_without_accounts_everything_is_open_says_so_and_signs_nothing(tmp_path, tiny_bundle):
    with answering(tmp_path / "room", tiny_bundle, without_accounts=True) as client:
        assert client.room.first_link() is None
        front = client.get("/")
        word = re.search(r'data-csrf="([^"]+)"', front.text)[1]
        assert front.status_code == 200 and "set-cookie" not in front.headers
        form = {"subject_id": "P-17", "team_id": 1}
        assert client.post("/cases", data=form | {"csrf_token": "guessed"}).status_code == 403
        case = client.post("/cases", data=form | {"csrf_token": word}).headers["location"]
        for path in ("/", "/cases/new", case, "/nowhere"):
            text = client.get(path).text
            assert "Without accounts: whoever is at this machine" in text and "Sign out" not in text
        key = {"name": "a key that would outlive this", "scopes": ["read"], "days": 30, "csrf_token": word}
        assert client.post("/account/tokens", data=key).status_code == 403
        with pytest.raises(Exception, match="without accounts nobody may sign") as caught:
            client.room.local.need("sign")
        assert "--without-accounts" in caught.value.hint
        assert client.post("/sign-in", data={"username": "local", "password": "!"}).status_code == 401
    client.room.close()


def test_a_room_that_was_without_accounts_gets_its_first_one_later(tmp_path, tiny_bundle):
    Room(ServerSettings(data_dir=tmp_path / "room", without_accounts=True), tiny_bundle).close()
    with answering(tmp_path / "room", tiny_bundle) as client:
        form = {"username": "local", "full_name": "Eve", "password": PASSWORD, "repeated": PASSWORD}
        link = f"/join/{client.room.first_link()}"
        assert client.post(link, data=form).status_code == 422
        assert client.post(link, data=form | {"username": "ada"}).status_code == 303
        assert client.get("/").status_code == 200
    client.room.close()
    with pytest.raises(UsageError, match="has accounts"):
        Room(ServerSettings(data_dir=tmp_path / "room", without_accounts=True), tiny_bundle)


def test_a_database_that_goes_away_is_503_and_not_our_fault(server, monkeypatch):
    from sqlalchemy.exc import OperationalError

    def away(*_given):
        raise OperationalError("SELECT 1", {}, Exception("server closed the connection"))

    monkeypatch.setattr(type(server.room.database), "read", away)
    answer = server.get("/join/x")
    assert answer.status_code == 503 and "the database does not answer" in answer.text
    assert answer.headers["retry-after"] == "5"


def test_an_answer_does_not_wait_for_word_that_its_first_half_has_come(tmp_path):
    """Nagle's algorithm is off on what the server accepts: on, each answer takes 40 ms."""

    async def accepted(listening: socket.socket) -> int:
        found = asyncio.get_running_loop().create_future()

        async def came(_reader, writer) -> None:
            found.set_result(
                writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            )
            writer.close()

        async with await asyncio.start_server(came, sock=listening):
            _, writer = await asyncio.open_connection(*listening.getsockname()[:2])
            answer = await found
            writer.close()
        return answer

    assert asyncio.run(accepted(_listen(ServerSettings(data_dir=tmp_path, port=0))))
