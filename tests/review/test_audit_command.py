"""``leukoscope audit``: what was done to the trail behind the room's back is found, on both databases."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from sqlalchemy import text

from leukoscope.cli.main import main
from leukoscope.review.audit import hash_of, record
from leukoscope.review.store.database import Database
from leukoscope.review.store.tables import AuditEntry

TAMPERING = {
    "changed": (["UPDATE audit SET actor = 'eve' WHERE number = 4"], "entry 4: was changed"),
    "missing": (["DELETE FROM audit WHERE number IN (3, 4)"], "entry 3: entries 3 to 4 are missing"),
    "reordered": (
        [f"UPDATE audit SET number = {new} WHERE number = {old}" for old, new in ((2, 99), (3, 2), (99, 3))],
        "entry 2: does not follow the entry before it",
    ),
    "cut off": (["DELETE FROM audit WHERE number > 4"], "is named as the last entry, and is not"),
}


@pytest.fixture
def trail(database, url):
    """The URL of a room with six entries."""
    with database.write() as session:
        for number in range(6):
            record(session, "ada", "thing done", None, number=number, text='ä and "quotes"')
    return url


def audit(capsys, *words: object):
    capsys.readouterr()
    code = main(["audit", *map(str, words)])
    ran = capsys.readouterr()
    return code, ran.out, ran.err


def change(url: str, *statements: str, **values: object) -> None:
    database = Database(url)
    with database.write() as session:
        for statement in statements:
            session.execute(text(statement), values)
    database.close()


def test_a_trail_that_holds(trail, capsys, tmp_path):
    assert audit(capsys, "verify", "--database", trail) == (0, "the trail of 6 entries holds\n", "")
    head = tmp_path / "head.json"
    assert audit(capsys, "export", "--database", trail, "-o", head)[0] == 0
    code, out, _ = audit(capsys, "verify", "--database", trail, "--head", head, "--head", head)
    assert (code, out) == (0, "the trail of 6 entries holds, and 2 exported ends are in it\n")
    shown = json.loads(audit(capsys, "export", "--database", trail)[1])
    assert shown == json.loads(head.read_text()) and set(shown) == {"number", "entry_hash", "written_at"}


@pytest.mark.parametrize("how", TAMPERING)
def test_what_was_touched_is_named(trail, how, capsys):
    statements, said = TAMPERING[how]
    change(trail, *statements)
    code, out, _ = audit(capsys, "verify", "--database", trail)
    assert code == 1 and said in out and out.endswith("does NOT hold\n")
    code, out, _ = audit(capsys, "verify", "--database", trail, "--json")
    found = json.loads(out)
    assert code == 1 and not found["holds"]
    assert said.removeprefix("entry ") in {f"{one['number']}: {one['what']}" for one in found["breaks"]} | {
        one["what"] for one in found["breaks"]
    }


def test_an_end_cut_off_with_care_is_found_by_an_export_or_a_signed_report(trail, capsys, tmp_path):
    head, report = tmp_path / "head.json", tmp_path / "report.json"
    audit(capsys, "export", "--database", trail, "-o", head)
    report.write_text(json.dumps({"case": {}, "audit": json.loads(head.read_text())}))
    last = "(SELECT entry_hash FROM audit WHERE number = 4)"
    change(
        trail,
        "DELETE FROM audit WHERE number > 4",
        f"UPDATE audit_head SET number = 4, entry_hash = {last}",
    )
    assert audit(capsys, "verify", "--database", trail)[0] == 0
    for file in (head, report):
        code, out, _ = audit(capsys, "verify", "--database", trail, "--head", file)
        assert code == 1 and "entry 6: was exported, and is missing" in out


def test_all_entries_are_exported_with_hashes_that_anybody_can_check(trail, database, capsys, tmp_path):
    file = tmp_path / "entries.jsonl"
    assert audit(capsys, "export", "--database", trail, "--entries", file)[0] == 0
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert [line["number"] for line in lines] == [1, 2, 3, 4, 5, 6]
    with database.read() as session:
        for line in lines:
            entry = session.get(AuditEntry, line["number"])
            assert line["entry_hash"] == hash_of(entry) and line["details"] == entry.details


def test_the_program_in_the_documentation_checks_an_export(trail, capsys, tmp_path, monkeypatch):
    page = (Path(__file__).parents[2] / "docs" / "review-room.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    audit(capsys, "export", "--database", trail, "--entries", "trail.jsonl")
    exec(program, {})
    lines = Path("trail.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    Path("trail.jsonl").write_text("".join(lines[:2] + lines[3:]), encoding="utf-8")
    with pytest.raises(AssertionError):
        exec(program, {})


def test_where_there_is_no_room_nothing_is_made(capsys, tmp_path):
    code, _, err = audit(capsys, "verify", "--data-dir", tmp_path / "none")
    assert code == 2 and "there is no room" in err and len(err.splitlines()) == 2
    assert list(tmp_path.iterdir()) == []
    Database(f"sqlite:///{tmp_path / 'empty.db'}").close()
    code, _, err = audit(capsys, "verify", "--database", f"sqlite:///{tmp_path / 'empty.db'}")
    assert code == 2 and "no room of this Leukoscope" in err


@pytest.mark.parametrize("content", ["", "[]", "7", '{"number": "x", "entry_hash": "y"}', '{"audit": 3}'])
def test_a_file_that_is_no_head_is_two_lines(trail, content, capsys, tmp_path):
    file = tmp_path / "head.json"
    file.write_text(content)
    code, _, err = audit(capsys, "verify", "--database", trail, "--head", file)
    assert code == 2 and "expected an end of the trail" in err and len(err.splitlines()) == 2
