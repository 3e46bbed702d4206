"""Reviewed cells as a cohort: what is in it, what is not, and that it can be split and trained on."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from sqlalchemy import select
from tests.review.conftest import new_case, upload
from tests.review.test_signing import case, enter, judge, server  # noqa: F401 - fixtures
from tests.review.test_work import act, approve_all, cells_of, sign_it

from leukoscope.cli.main import main
from leukoscope.cohort.manifest import Manifest
from leukoscope.cohort.splits import split
from leukoscope.cohort.synth import synthesize
from leukoscope.core.files import sha256_bytes
from leukoscope.errors import ImageError, UsageError
from leukoscope.review.auth.rights import Actor, ForbiddenError
from leukoscope.review.services.decisions import approve, decide
from leukoscope.review.services.learning import NOT_INDEPENDENT, count_reviewed, make_export, stream
from leukoscope.review.store.tables import AuditEntry, Image


def read(room, files, **fields) -> int:
    case_id = new_case(room, **fields)
    upload(room, case_id, files)
    assert room.worker.work_once()
    return case_id


def export_of(room, scope="reviewed", actor=None):
    with room.database.write() as session:
        return make_export(session, actor or room.signer, scope, room.images)


def unpacked(room, export, folder: Path) -> Path:
    """The manifest of an export that was sent and unpacked."""
    data = b"".join(stream(export, room.images))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        archive.extractall(folder)
    return folder / "manifest.parquet"


def test_the_cohort_is_what_people_said_and_who_said_it(room, read_case, tmp_path):
    judge(room, read_case)
    before = cells_of(room, read_case)
    for cell, word in zip(before, ["normal", "rejected", "blast", "indeterminate"], strict=False):
        act(room, decide, read_case, [cell.cell_id], word, actor=room.administrator)
    act(room, approve, read_case, "normal")
    export = export_of(room)
    manifest = Manifest.read(unpacked(room, export, tmp_path / "out"))
    cells = {f"case-{read_case}-cell-{cell.cell_id}": cell for cell in cells_of(room, read_case)}
    wanted = {
        name: cell
        for name, cell in cells.items()
        if cell.reviewed_at is not None and cell.decision in ("blast", "normal")
    }
    rows = {row["cell_id"]: row for row in manifest.frame.to_dicts()}
    assert rows.keys() == wanted.keys() and len(rows) == export.num_cells
    people = {room.signer.user_id: "sam", room.administrator.user_id: "ada"}
    with room.database.read() as session:
        images = {image.image_id: image for image in session.scalars(select(Image))}
    for name, cell in wanted.items():
        row, image = rows[name], images[cell.image_id]
        assert (row["label"], row["model_decision"]) == (cell.decision, cell.model_decision)
        assert (row["decided_by"], row["decided_at"]) == (people[cell.reviewed_by], cell.reviewed_at)
        assert row["decided_in_bulk"] is (row["decided_by"] == "sam")
        assert (row["subject_id"], row["case_id"]) == ("P-17", read_case)
        assert (row["sha256"], row["file_name"]) == (image.stored_sha256, image.name)
        assert sha256_bytes(manifest.read_bytes(row["path"])) == image.stored_sha256
        assert (row["cell_width"], row["quality"]) == (cell.row["cell_width"], cell.row["quality"] or "")
        assert row["blast_probability"] == cell.blast_probability
    left = Counter(cell.decision for cell in cells.values() if cell.reviewed_at is not None)
    expected = {f"called {word}": left[word] for word in ("rejected", "indeterminate")}
    assert export.left_out == expected and json.loads(manifest.metadata["left_out"]) == expected
    assert manifest.metadata["labels_from"] == "reviewers" and "not independent" in NOT_INDEPENDENT
    assert manifest.metadata["labels_note"] == NOT_INDEPENDENT
    assert NOT_INDEPENDENT in (tmp_path / "out" / "README.txt").read_text()


def test_counts_are_those_of_the_cells(room, read_case):
    judge(room, read_case)
    cells = cells_of(room, read_case)
    act(room, decide, read_case, [cell.cell_id for cell in cells[:5]], "rejected")
    act(room, approve, read_case, "blast")
    now = [cell for cell in cells_of(room, read_case) if cell.reviewed_at is not None]
    words = Counter(cell.decision for cell in now)
    with room.database.read() as session:
        counts = count_reviewed(session, room.signer, "reviewed")
        assert count_reviewed(session, room.signer, "signed")[:4] == (0, 0, 0, 0)
    assert counts[:4] == (1, 1, len(now), len(now) - 5)
    assert counts.decisions == {"normal": 0, "indeterminate": 0, **words}


def test_only_what_this_person_sees_and_only_signed_cases_unless_asked(room, cells):
    first, second = (read(room, cells[:6], subject_id="A"), read(room, cells[6:], subject_id="B"))
    for case_id in (first, second):
        judge(room, case_id)
        approve_all(room, case_id)
    sign_it(room, second)
    assert {row["case_id"] for row in rows_of(export_of(room, "signed"))} == {second}
    assert {row["case_id"] for row in rows_of(export_of(room, "reviewed"))} == {first, second}
    stranger = Actor(room.signer.user_id, "sam", "signer", frozenset(), room.signer.rights)
    with pytest.raises(UsageError, match="there is no cell to train on"):
        export_of(room, actor=stranger)
    reader = Actor(room.signer.user_id, "sam", "reader", room.signer.team_ids, frozenset({"read"}))
    with pytest.raises(ForbiddenError):
        export_of(room, actor=reader)
    with pytest.raises(UsageError, match="expected a scope"):
        export_of(room, "everything")


def rows_of(export) -> list[dict]:
    return pl.read_parquet(io.BytesIO(export.manifest)).to_dicts()


def test_a_picture_that_comes_again_counts_once_and_a_contradictory_one_not_at_all(room, cells, tmp_path):
    cases = [read(room, cells[:3], subject_id=name) for name in ("A", "A", "B")]
    said = [("blast", "blast", "blast"), ("blast", "normal", "blast"), ("normal", "blast", "blast")]
    for case_id, words in zip(cases, said, strict=True):
        for cell, word in zip(cells_of(room, case_id), words, strict=True):
            act(room, decide, case_id, [cell.cell_id], word)
    export = export_of(room)
    told = [
        (row["subject_id"], row["case_id"], row["label"], row["duplicate_group"]) for row in rows_of(export)
    ]
    assert told == [("A", cases[1], "blast", "A+B"), ("B", cases[2], "blast", "A+B")]
    assert len(export.sha256s) == 1
    assert export.left_out == {
        "the same picture of the same subject again": 3,
        "the same picture called blast here and normal there": 4,
    }
    manifest = Manifest.read(unpacked(room, export, tmp_path))
    assert {row["label"] for row in manifest.frame.to_dicts()} == {"blast"}


def test_without_a_cell_that_is_left_it_says_why(room, read_case):
    ids = [cell.cell_id for cell in cells_of(room, read_case)]
    act(room, decide, read_case, ids, "rejected")
    with pytest.raises(UsageError, match="no cell to train on; 12 called rejected"):
        export_of(room)


def test_the_trail_says_who_took_what(room, read_case):
    approve_all(room, read_case)
    act(room, decide, read_case, [cells_of(room, read_case)[0].cell_id], "blast")
    export = export_of(room)
    with room.database.read() as session:
        entry = session.scalars(select(AuditEntry).order_by(AuditEntry.number.desc())).first()
    assert (entry.actor, entry.action) == ("sam", "cells exported")
    assert entry.details["manifest_sha256"] == sha256_bytes(export.manifest)
    assert (entry.details["num_cells"], entry.details["case_ids"]) == (1, [read_case])


def test_the_zip_is_sent_an_image_at_a_time(room, read_case):
    cells = cells_of(room, read_case)
    act(room, decide, read_case, [cell.cell_id for cell in cells], "blast")
    export = export_of(room)
    sizes = [room.images.path(sha256).stat().st_size for sha256 in export.sha256s]
    pieces = [len(piece) for piece in stream(export, room.images)]
    assert len(pieces) == len(sizes) + 1
    assert max(pieces[1:-1]) < max(sizes) + 500


def test_an_image_that_changed_is_never_sent(room, read_case):
    cells = cells_of(room, read_case)
    act(room, decide, read_case, [cell.cell_id for cell in cells], "blast")
    export = export_of(room)
    room.images.path(export.sha256s[3]).write_bytes(b"other")
    with pytest.raises(ImageError, match="its hash differs"):
        list(stream(export, room.images))
    room.images.path(export.sha256s[3]).unlink()
    with pytest.raises(ImageError, match="no longer among the stored images"):
        export_of(room)


@pytest.fixture
def cohort(room, tmp_path) -> Path:
    """Cells of twelve people, reviewed and signed, as they come out."""
    drawn = synthesize(tmp_path / "drawn", subjects=12, cells_per_subject=4, unlabelled=0, seed=3)
    people = {}
    for path in sorted(drawn.rglob("UID_*.bmp")):
        people.setdefault(path.name.split("_")[1], []).append((path.name, path.read_bytes()))
    for name, files in people.items():
        case_id = read(room, files, subject_id=name)
        word = "blast" if files[0][0].endswith("_all.bmp") else "normal"
        act(room, decide, case_id, [cell.cell_id for cell in cells_of(room, case_id)], word)
        sign_it(room, case_id)
    return unpacked(room, export_of(room, "signed"), tmp_path / "cohort")


def test_the_cohort_is_checked_and_split_by_subject(cohort, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["data", "check", "cohort/manifest.parquet"]) == 0
    assert (
        main(
            [
                "data",
                "split",
                "cohort/manifest.parquet",
                "-o",
                "deep.parquet",
                "--protocol",
                "grouped-holdout",
            ]
        )
        == 0
    )
    capsys.readouterr()
    parts = Manifest.read(tmp_path / "deep.parquet")
    assert parts.metadata["labels_from"] == "reviewers" and not parts.is_leaky
    roles = parts.frame.group_by("subject_id").agg(pl.col("split").n_unique())
    assert roles["split"].to_list() == [1] * roles.height and roles.height >= 6
    assert {"decided_by", "decided_at", "model_decision"} <= set(parts.frame.columns)


@pytest.mark.slow
def test_a_model_is_trained_on_the_cohort(cohort, tmp_path, monkeypatch):
    monkeypatch.setenv("LEUKOSCOPE_CACHE", str(tmp_path / "cache"))
    from leukoscope.bundle.read import open_bundle
    from leukoscope.studies.run import train

    path = split(Manifest.read(cohort), protocol="grouped-holdout").write(tmp_path / "split.parquet")
    run = train("cnn-45px", path, tmp_path / "run", settings=["training.epochs=1", "training.batch_size=8"])
    info = open_bundle(run.bundle).info
    assert info.training_data.name == "cells reviewed in Leukoscope"
    assert info.training_data.counts["train"]["blast"].num_cells > 0


def test_the_page_counts_lists_and_gives_the_zip(server, case):  # noqa: F811
    word = enter(server, "sam")
    assert "No case is signed yet" in server.get("/learning").text
    judge(server.room, case)
    cells = cells_of(server.room, case)
    act(server.room, decide, case, [cells[0].cell_id], "normal")
    approve_all(server.room, case)
    page = server.get("/learning?scope=reviewed").text
    assert re.search(r"<dt>reviewed cells</dt><dd>12</dd>", page) and NOT_INDEPENDENT in page.replace(
        "&#39;", "'"
    )
    assert (
        f'href="/cases/{case}/cells/{cells[0].cell_id}"' in page and "Disagreements with the model: 1" in page
    )
    assert "There is none of this kind" in server.get("/learning?scope=reviewed&decision=rejected").text
    assert server.post("/learning/export", data={"scope": "reviewed"}).status_code == 403
    answer = server.post("/learning/export", data={"scope": "reviewed"}, headers=word)
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert "manifest.parquet" in archive.namelist()
    assert server.post("/learning/export", data={"scope": "signed"}, headers=word).status_code == 422
