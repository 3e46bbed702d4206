"""What is written is read back; what was touched since is refused."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leukoscope.bundle import read
from leukoscope.bundle.export import export_bundle
from leukoscope.bundle.format import INFO, MODEL, MODEL_DATA, NOVELTY, SUBJECTS, BundleInfo
from leukoscope.bundle.privacy import salted
from leukoscope.bundle.read import open_bundle, verify_bundle
from leukoscope.bundle.write import write_bundle
from leukoscope.errors import BundleError, BundleIntegrityError, BundleVersionError

FILES = ("CARD.md", MODEL, NOVELTY, SUBJECTS)
ROWS = pl.DataFrame(
    {"subject_id": ["1", "H2"], "sha256": ["a" * 64, "c" * 64], "role": ["train", "calibration"]}
)


@pytest.fixture
def bundle(tiny_bundle, tmp_path) -> Path:
    """A bundle that a test may spoil."""
    return Path(shutil.copytree(tiny_bundle, tmp_path / "mine.leuko"))


def relist(bundle: Path, name: str, data: bytes) -> None:
    """Put other bytes into a bundle and list their hash: what somebody with bad intentions would do."""
    (bundle / name).write_bytes(data)
    info = json.loads((bundle / INFO).read_text())
    info["files"][name] = hashlib.sha256(data).hexdigest()
    (bundle / INFO).write_text(json.dumps(info))


def zipped(bundle: Path, target: Path, before: str = "") -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for file in bundle.iterdir():
            archive.write(file, before + file.name)
    return target


def test_a_folder_is_read_back_as_it_was_written(tiny_bundle):
    bundle = open_bundle(tiny_bundle)
    assert bundle.info.name == "tiny" and bundle.info.calibration.temperature == 2.0
    assert bundle.onnx == (tiny_bundle / MODEL).read_bytes()
    assert bundle.subjects.rows() == [
        ("1", "a" * 64, "train"),
        ("1", "b" * 64, "validation"),
        ("H2", "c" * 64, "calibration"),
    ]
    assert np.array_equal(bundle.novelty, np.eye(3))
    assert "Research use only" in bundle.card
    assert set(bundle.info.files) == {file.name for file in tiny_bundle.iterdir()} - {INFO}


def test_a_zip_is_the_same_bundle(make_bundle, tiny_bundle, tmp_path):
    folder, archive = open_bundle(tiny_bundle), open_bundle(make_bundle(tmp_path / "tiny.leuko.zip"))
    assert archive.info == folder.info and archive.bundle_id == folder.bundle_id
    assert archive.onnx == folder.onnx and archive.subjects.equals(folder.subjects)


def test_a_zip_that_holds_the_folder_is_read_too(tiny_bundle, tmp_path):
    archive = zipped(tiny_bundle, tmp_path / "a.zip", before="tiny.leuko/")
    assert open_bundle(archive).bundle_id == open_bundle(tiny_bundle).bundle_id
    assert verify_bundle(archive).holds


def test_the_zip_is_the_same_to_the_byte_every_time(make_bundle, tmp_path):
    first, second = (make_bundle(tmp_path / name).read_bytes() for name in ("a.zip", "b.zip"))
    assert first == second


def test_the_id_changes_with_any_threshold_and_any_file(make_bundle, tiny_bundle, tmp_path):
    other = open_bundle(make_bundle(tmp_path / "other.leuko", views=8))
    again = open_bundle(make_bundle(tmp_path / "again.leuko"))
    first = open_bundle(tiny_bundle)
    assert first.bundle_id == again.bundle_id != other.bundle_id
    text = (tiny_bundle / INFO).read_bytes()
    assert first.bundle_id == hashlib.sha256(text).hexdigest()[:16]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("as_zip", [False, True])
def test_one_altered_byte_in_any_file_is_found(bundle, tmp_path, name, as_zip):
    data = bytearray((bundle / name).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / name).write_bytes(data)
    place = zipped(bundle, tmp_path / "b.zip") if as_zip else bundle
    with pytest.raises(BundleIntegrityError, match=name):
        open_bundle(place)
    report = verify_bundle(place)
    assert not report.holds
    assert [file.name for file in report.files if file.state == "altered"] == [name]


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_found(bundle, name):
    (bundle / name).unlink()
    with pytest.raises(BundleIntegrityError, match=f"{name} is missing"):
        open_bundle(bundle)
    assert (name, "missing") in verify_bundle(bundle).files


def test_verify_reports_a_file_or_folder_that_is_not_listed(bundle):
    (bundle / "extra.pkl").write_bytes(b"x")
    (bundle / "more").mkdir()
    report = verify_bundle(bundle)
    assert not report.holds
    assert [name for name, state in report.files if state == "unlisted"] == ["extra.pkl", "more/"]


def test_a_file_altered_after_opening_is_found_when_it_is_read(bundle):
    opened = open_bundle(bundle)
    (bundle / SUBJECTS).write_bytes(b"other")
    with pytest.raises(BundleIntegrityError, match=SUBJECTS):
        _ = opened.subjects


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"a": NaN', "\xff", "[" * 100_000])
def test_a_damaged_document_is_said_to_be_damaged(bundle, text):
    (bundle / INFO).write_text(text, encoding="latin-1")
    with pytest.raises(BundleIntegrityError):
        open_bundle(bundle)


@given(st.data())
def test_a_document_with_any_one_value_spoilt_is_refused_or_still_the_document(tiny_bundle, data):
    document = json.loads((tiny_bundle / INFO).read_text())
    key = data.draw(st.sampled_from(sorted(document)))
    document[key] = data.draw(st.sampled_from([None, [], {}, "text", -1, [1], {"x": 1}, True]))
    try:
        info = read._parse(json.dumps(document).encode(), Path("b"))
    except (BundleIntegrityError, BundleVersionError):
        return
    assert isinstance(info, BundleInfo)


@pytest.mark.parametrize("key", ["name", "classes", "calibration", "preprocess", "files", "operating_points"])
def test_a_missing_key_is_named(bundle, key):
    document = json.loads((bundle / INFO).read_text())
    del document[key]
    (bundle / INFO).write_text(json.dumps(document))
    with pytest.raises(BundleIntegrityError, match=key if key != "files" else MODEL):
        open_bundle(bundle)


def test_a_newer_schema_is_refused_before_its_unknown_keys_are_looked_at(bundle):
    document = json.loads((bundle / INFO).read_text()) | {"schema_version": 3, "quantum": True}
    (bundle / INFO).write_text(json.dumps(document))
    with pytest.raises(BundleVersionError, match="schema 3") as caught:
        open_bundle(bundle)
    assert "update" in caught.value.hint


class Burglar:
    def __reduce__(self):
        return (Path.touch, (Path("burgled"),))


def test_nothing_is_unpickled(bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    buffer = io.BytesIO()
    np.savez(buffer, embeddings=np.array([Burglar()], dtype=object))
    relist(bundle, NOVELTY, buffer.getvalue())
    with pytest.raises(BundleIntegrityError, match="no embeddings"):
        _ = open_bundle(bundle).novelty
    relist(bundle, NOVELTY, pickle.dumps(Burglar()))
    with pytest.raises(BundleIntegrityError):
        _ = open_bundle(bundle).novelty
    assert not (tmp_path / "burgled").exists()


def test_subjects_that_are_no_table_are_damage(bundle):
    relist(bundle, SUBJECTS, b"PAR1 not really PAR1")
    with pytest.raises(BundleIntegrityError, match="no table"):
        _ = open_bundle(bundle).subjects
    buffer = io.BytesIO()
    ROWS.drop("role").write_parquet(buffer)
    relist(bundle, SUBJECTS, buffer.getvalue())
    with pytest.raises(BundleIntegrityError, match="lacks role"):
        _ = open_bundle(bundle).subjects


def test_references_that_unpack_to_gigabytes_are_refused(bundle, monkeypatch):
    monkeypatch.setattr(read, "MAX_NOVELTY_BYTES", 1000)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, embeddings=np.zeros((100, 100), np.float16))
    relist(bundle, NOVELTY, buffer.getvalue())
    with pytest.raises(BundleIntegrityError, match="unpacks to more"):
        _ = open_bundle(bundle).novelty


@pytest.mark.parametrize(
    "name", ["../evil.txt", "/evil.txt", "a/../../evil.txt", "..\\evil.txt", "C:evil.txt"]
)
def test_a_zip_whose_names_lead_out_is_refused(tiny_bundle, tmp_path, name):
    (tmp_path / "inner").mkdir()
    archive = zipped(tiny_bundle, tmp_path / "inner" / "b.zip")
    with zipfile.ZipFile(archive, "a") as more:
        more.writestr(name, "evil")
    with pytest.raises(BundleIntegrityError):
        open_bundle(archive)
    assert not list(tmp_path.rglob("evil.txt"))


def test_a_zip_of_too_many_files_or_bytes_is_refused(tiny_bundle, tmp_path, monkeypatch):
    archive = zipped(tiny_bundle, tmp_path / "b.zip")
    with zipfile.ZipFile(archive, "a") as more:
        for number in range(100):
            more.writestr(f"{number}.txt", "")
    with pytest.raises(BundleIntegrityError, match="more files"):
        open_bundle(archive)
    monkeypatch.setattr("leukoscope.bundle.files.MAX_ZIP_BYTES", 1000)
    with pytest.raises(BundleIntegrityError, match="more files or bytes"):
        open_bundle(zipped(tiny_bundle, tmp_path / "c.zip"))


def test_a_file_larger_than_its_kind_may_be_is_refused(bundle, monkeypatch):
    monkeypatch.setattr(read, "MAX_MODEL_BYTES", 100)
    with pytest.raises(BundleIntegrityError, match="larger than 100"):
        open_bundle(bundle)
    monkeypatch.setattr(read, "MAX_INFO_BYTES", 100)
    with pytest.raises(BundleIntegrityError, match="larger than 100"):
        open_bundle(bundle)


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.9])
def test_a_zip_cut_short_is_refused(make_bundle, tmp_path, cut):
    archive = make_bundle(tmp_path / "b.zip")
    data = archive.read_bytes()
    archive.write_bytes(data[: int(len(data) * cut)])
    with pytest.raises(BundleIntegrityError):
        open_bundle(archive)


def test_what_is_no_bundle_says_so(tmp_path):
    with pytest.raises(BundleError, match="no such bundle"):
        open_bundle(tmp_path / "none.leuko")
    with pytest.raises(BundleError, match=r"holds no bundle\.json"):
        open_bundle(tmp_path)
    (tmp_path / "text.zip").write_text("text")
    with pytest.raises(BundleIntegrityError, match="nor a zip"):
        open_bundle(tmp_path / "text.zip")


def test_a_bundle_is_replaced_as_a_whole_and_nothing_else_is(make_bundle, tiny_bundle, tmp_path):
    target = make_bundle(tmp_path / "m.leuko", views=8)
    (target / "stale.txt").write_text("stale")
    make_bundle(target)
    assert open_bundle(target).bundle_id == open_bundle(tiny_bundle).bundle_id
    assert verify_bundle(target).holds
    assert [file.name for file in tmp_path.iterdir()] == ["m.leuko"]
    foreign = tmp_path / "thesis"
    foreign.mkdir()
    (foreign / "chapter.tex").write_text("x")
    with pytest.raises(BundleError, match="something else"):
        make_bundle(foreign)
    assert (foreign / "chapter.tex").read_text() == "x"


def test_a_bundle_that_cannot_be_finished_leaves_nothing(tiny_bundle, tmp_path):
    info = open_bundle(tiny_bundle).info
    endless = info.model_copy(update={"recipe": {"rate": float("nan")}})
    with pytest.raises(BundleError, match="cannot be written"):
        write_bundle(tmp_path / "m.leuko", endless, onnx=b"", subjects=ROWS, novelty=np.eye(3))
    infinite = info.ruler.model_copy(update={"intercept": float("inf")})
    with pytest.raises(BundleError, match="cannot be written"):
        write_bundle(
            tmp_path / "m.leuko",
            info.model_copy(update={"ruler": infinite}),
            onnx=b"",
            subjects=ROWS,
            novelty=np.eye(3),
        )
    with pytest.raises(BundleError, match="role"):
        write_bundle(
            tmp_path / "m.leuko",
            info,
            onnx=b"",
            subjects=ROWS.with_columns(role=pl.lit("test")),
            novelty=np.eye(3),
        )
    with pytest.raises(BundleError, match="go together"):
        write_bundle(tmp_path / "m.leuko", info, onnx=b"", subjects=ROWS)
    assert not list(tmp_path.iterdir())


def test_tensors_beside_a_large_graph_are_listed_and_hashed(tiny_bundle, tmp_path):
    tensors = tmp_path / "tensors"
    tensors.write_bytes(b"0123" * 1000)
    info = open_bundle(tiny_bundle).info
    path = write_bundle(
        tmp_path / "m.leuko", info, onnx=b"graph", subjects=ROWS, novelty=np.eye(3), onnx_data=tensors
    )
    bundle = open_bundle(path)
    assert bundle.info.files[MODEL_DATA] == hashlib.sha256(tensors.read_bytes()).hexdigest()
    bundle.copy(MODEL_DATA, tmp_path / "copied")
    assert (tmp_path / "copied").read_bytes() == tensors.read_bytes()
    (path / MODEL_DATA).write_bytes(b"0124" * 1000)
    with pytest.raises(BundleIntegrityError, match=MODEL_DATA):
        bundle.copy(MODEL_DATA, tmp_path / "again")
    with pytest.raises(BundleIntegrityError, match=MODEL_DATA):
        open_bundle(path)


def test_weights_come_back_as_they_were(tiny_bundle, tmp_path):
    pytest.importorskip("safetensors")
    weights = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "steps": np.array(7, dtype=np.int64)}
    info = open_bundle(tiny_bundle).info
    path = write_bundle(
        tmp_path / "m.leuko", info, onnx=b"", subjects=ROWS, novelty=np.eye(3), weights=weights
    )
    found = open_bundle(path).weights()
    assert found.keys() == weights.keys()
    assert all(
        np.array_equal(found[name], weights[name]) and found[name].dtype == weights[name].dtype
        for name in weights
    )
    with pytest.raises(BundleError, match="keeps no weights"):
        open_bundle(tiny_bundle).weights()


@pytest.mark.parametrize("private", [False, True])
def test_a_leak_is_seen_in_the_clear_and_through_hashes(make_bundle, tmp_path, private):
    bundle = open_bundle(make_bundle(tmp_path / "m.leuko", private=private))
    found = bundle.overlap(["H2", "H3", "", "1", "H2"], ["b" * 64, "f" * 64])
    assert found.subjects == ("H2", "1") and found.sha256s == ("b" * 64,)
    assert found
    assert not bundle.overlap(["H3"], ["f" * 64])


def test_a_private_bundle_names_nobody(make_bundle, tmp_path):
    path = make_bundle(tmp_path / "m.leuko", private=True)
    bundle = open_bundle(path)
    assert bundle.info.privacy.hashed and len(bundle.info.privacy.salt) == 32
    assert all(len(value) == 64 for value in bundle.subjects["subject_id"])
    assert bundle.subjects["subject_id"].n_unique() == 2, "one subject keeps one mark"
    assert "a" * 64 not in bundle.subjects["sha256"]
    assert b"aaaaaaaaaaaaaaaa" not in (path / SUBJECTS).read_bytes()
    assert "salted hashes" in bundle.card
    other = open_bundle(make_bundle(tmp_path / "n.leuko", private=True))
    assert set(other.subjects["subject_id"]).isdisjoint(bundle.subjects["subject_id"]), (
        "every bundle has its salt"
    )


subjects = st.lists(st.sampled_from(["1", "2", "H1", "H2", "H10"]), max_size=6)


@settings(max_examples=25)
@given(known=subjects, asked=subjects)
def test_the_overlap_is_the_intersection_with_or_without_hashes(tmp_path_factory, tiny_bundle, known, asked):
    folder = tmp_path_factory.mktemp("overlap")
    info = open_bundle(tiny_bundle).info
    rows = pl.DataFrame(
        {"subject_id": known, "sha256": [None] * len(known), "role": ["train"] * len(known)},
        schema=dict.fromkeys(("subject_id", "sha256", "role"), pl.Utf8),
    )
    for private in (False, True):
        path = write_bundle(
            folder / "m.leuko", info, onnx=b"", subjects=rows, novelty=np.eye(3), private=private
        )
        assert set(open_bundle(path).overlap(asked, []).subjects) == set(known) & set(asked)


def test_whose_the_references_are_is_read_back(tiny_bundle, tmp_path):
    original = open_bundle(tiny_bundle)
    assert original.references is None  # as in a bundle written before they were named
    cells = pl.DataFrame(
        {"sha256": ["a" * 64] * 3, "subject_id": ["1", "SECRET7", None], "label": ["blast"] * 3}
    )
    parts = {"onnx": original.onnx, "subjects": original.subjects, "novelty": original.novelty}
    path = write_bundle(tmp_path / "named.leuko", original.info, references=cells, **parts)
    assert open_bundle(path).references.rows() == cells.rows()
    assert "references.parquet" in open_bundle(path).info.files and verify_bundle(path).holds
    with pytest.raises(BundleError, match="names 2 cells, there are 3"):
        write_bundle(tmp_path / "short.leuko", original.info, references=cells.head(2), **parts)


def test_private_references_are_salted_and_stay_so(tiny_bundle, tmp_path):
    original = open_bundle(tiny_bundle)
    cells = pl.DataFrame(
        {"sha256": ["a" * 64] * 3, "subject_id": ["1", "SECRET7", None], "label": ["blast"] * 3}
    )
    parts = {"onnx": original.onnx, "subjects": original.subjects, "novelty": original.novelty}
    plain = write_bundle(tmp_path / "named.leuko", original.info, references=cells, **parts)
    for path in (
        write_bundle(tmp_path / "private.leuko", original.info, references=cells, private=True, **parts),
        export_bundle(plain, tmp_path / "exported.leuko", private=True),
    ):
        bundle = open_bundle(path)
        assert b"SECRET7" not in (path / "references.parquet").read_bytes()
        marks = salted(["a" * 64, "1", "SECRET7"], bundle.info.privacy)
        assert bundle.references.rows() == [(marks[0], mark, "blast") for mark in (marks[1], marks[2], None)]
        again = export_bundle(path, tmp_path / f"again-{path.name}", private=True)
        assert open_bundle(again).references.rows() == bundle.references.rows()


def test_references_that_do_not_fit_the_embeddings_are_refused(tiny_bundle, tmp_path):
    original = open_bundle(tiny_bundle)
    cells = pl.DataFrame({"sha256": ["a" * 64] * 3, "subject_id": ["1"] * 3, "label": ["blast"] * 3})
    parts = {"onnx": original.onnx, "subjects": original.subjects, "novelty": original.novelty}
    path = write_bundle(tmp_path / "named.leuko", original.info, references=cells, **parts)
    for table, words in ((cells.head(1), "names 1 cells"), (cells.drop("label"), "lacks label")):
        buffer = io.BytesIO()
        table.write_parquet(buffer)
        relist(path, "references.parquet", buffer.getvalue())
        with pytest.raises(BundleIntegrityError, match=words):
            _ = open_bundle(path).references
