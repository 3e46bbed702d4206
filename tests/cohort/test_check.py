"""A small set with its own "official" index: whole, partial, re-encoded, and damaged in every way."""

import hashlib
import json
import shutil
import zipfile

import polars as pl
import pytest

from leukoscope.cells.decode import decode
from leukoscope.cohort import check_official
from leukoscope.cohort.check import check
from leukoscope.cohort.index import index
from leukoscope.cohort.official import official_bmps, official_index
from leukoscope.errors import LayoutError

PRELIMINARY = "validation_data/C-NMC_test_prelim_phase_data"
FINAL = "testing_data/C-NMC_test_final_phase_data"
LABELS = "validation_data/C-NMC_test_prelim_phase_data_labels.csv"
FILES = {  # path: (picture, original name, subject, label)
    "training_data/fold_0/all/UID_20_1_1_all.bmp": (1, "UID_20_1_1_all.bmp", "20", "blast"),
    "training_data/fold_1/all/UID_21_1_1_all.bmp": (1, "UID_21_1_1_all.bmp", "21", "blast"),
    "training_data/fold_1/all/UID_5_1_1_all.bmp": (2, "UID_5_1_1_all.bmp", "5", "blast"),
    "training_data/fold_2/hem/UID_H5_1_1_hem.bmp": (3, "UID_H5_1_1_hem.bmp", "H5", "normal"),
    "training_data/fold_2/hem/UID_h3_1_1_hem.bmp": (4, "UID_h3_1_1_hem.bmp", "H3", "normal"),
    f"{PRELIMINARY}/1.bmp": (5, "UID_57_1_1_all.bmp", "57", "blast"),
    f"{PRELIMINARY}/2.bmp": (6, "UID_H49_1_1_hem.bmp", "H49", "normal"),
    f"{FINAL}/1.bmp": (7, None, None, None),
    f"{FINAL}/2.bmp": (8, None, None, None),
}
PARTS = {"training_data": 0, "validation_data": 1, "testing_data": 2}
CSV = "Patient_ID,new_names,labels\nUID_57_1_1_all.bmp,1.bmp,1\nUID_H49_1_1_hem.bmp,2.bmp,0\n"
SIZES = {"training": 5, "preliminary": 2, "final": 2}
ALL_5 = "training_data/fold_1/all/UID_5_1_1_all.bmp"
HEM_3 = "training_data/fold_2/hem/UID_h3_1_1_hem.bmp"


@pytest.fixture(scope="module")
def whole(tmp_path_factory, draw):
    """The complete set as published."""
    root = tmp_path_factory.mktemp("official")
    for path, (picture, *_) in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(list(official_bmps(draw(picture)))[PARTS[path.split("/")[0]]])
    (root / LABELS).write_text(CSV)
    return root


@pytest.fixture
def copy(whole, tmp_path, monkeypatch):
    """A copy to be spoiled, and the index it is held against."""
    rows = [
        {
            "split": list(SIZES)[PARTS[path.split("/")[0]]],
            "fold": int(path.split("/")[1][-1]) if "fold" in path else None,
            "file": path.split("/")[-1],
            "uid_name": name,
            "subject": subject,
            "label": label,
            "sha256": hashlib.sha256((whole / path).read_bytes()).hexdigest(),
        }
        for path, (_, name, subject, label) in FILES.items()
    ]
    frame = pl.DataFrame(rows, schema_overrides={name: official_index().schema[name] for name in rows[0]})
    monkeypatch.setattr(check_official, "official_index", lambda: frame)
    monkeypatch.setattr(check_official, "NUM_CELLS", SIZES)
    check_official._index.cache_clear()
    yield shutil.copytree(whole, tmp_path / "copy")
    check_official._index.cache_clear()


def found(report):
    return [(finding.kind, finding.path) for finding in report.findings]


KNOWN = ("known-duplicate", "training_data/fold_0/all/UID_20_1_1_all.bmp")


def test_a_complete_copy_holds(copy):
    report = check(copy)
    assert report.holds
    assert report.is_complete
    assert report.data_set == "C-NMC 2019"
    assert found(report) == [KNOWN]
    assert [(part.name, part.num_found, part.num_expected) for part in report.parts] == [
        (name, size, size) for name, size in SIZES.items()
    ]


def test_a_zip_and_a_manifest_are_sources_too(copy, tmp_path):
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        for path in [*FILES, LABELS]:
            archive.write(copy / path, f"archive/{path}")
    report = check(tmp_path / "archive.zip")
    assert report.holds
    assert report.is_complete
    assert check(index(copy).write(tmp_path / "m.parquet")).is_complete


def test_a_partial_copy_holds_and_says_how_much_is_there(copy):
    for path in (ALL_5, f"{FINAL}/1.bmp"):
        (copy / path).unlink()
    report = check(copy)
    assert report.holds
    assert not report.is_complete
    assert [part.num_found for part in report.parts] == [4, 2, 1]


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_lossless_copies_are_known_by_their_pixels(copy, suffix, encode):
    for path in FILES:
        (copy / path).with_suffix(suffix).write_bytes(encode(decode(copy / path), suffix))
        (copy / path).unlink()
    report = check(copy)
    assert report.holds
    assert report.is_complete
    assert report.counts == {"re-encoded": len(FILES), "known-duplicate": 1}


def test_a_lossy_copy_is_altered(copy, encode):
    (copy / ALL_5).with_suffix(".jpg").write_bytes(encode(decode(copy / ALL_5), ".jpg"))
    (copy / ALL_5).unlink()
    report = check(copy)
    assert not report.holds
    assert found(report)[0] == ("altered", ALL_5.replace(".bmp", ".jpg"))
    assert report.parts[0].num_found == 4


def test_one_changed_bit_is_altered(copy):
    data = bytearray((copy / ALL_5).read_bytes())
    data[-200] ^= 1
    (copy / ALL_5).write_bytes(data)
    report = check(copy)
    assert not report.holds
    assert found(report) == [("altered", ALL_5), KNOWN]


def test_another_header_with_the_same_pixels_is_re_encoded(copy):
    data = bytearray((copy / ALL_5).read_bytes())
    data[38:46] = bytes(8)  # pixels a metre
    (copy / ALL_5).write_bytes(data)
    assert ("re-encoded", ALL_5) in found(check(copy))


@pytest.mark.parametrize("data", [b"", b"BM", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_unreadable_files(copy, data):
    (copy / ALL_5).write_bytes(data)
    report = check(copy)
    assert not report.holds
    assert report.findings[0].kind == "unreadable"
    assert report.findings[0].detail


def test_swapped_files_are_altered_and_told_whose_they_are(copy):
    one, other = (copy / ALL_5).read_bytes(), (copy / HEM_3).read_bytes()
    (copy / ALL_5).write_bytes(other)
    (copy / HEM_3).write_bytes(one)
    report = check(copy)
    assert not report.holds
    details = {finding.path: finding.detail for finding in report.findings if finding.kind == "altered"}
    assert "UID_h3_1_1_hem" in details[ALL_5]
    assert "UID_5_1_1_all" in details[HEM_3]


def test_a_cell_in_the_other_class(copy):
    target = "training_data/fold_1/hem/UID_5_1_1_all.bmp"
    (copy / target).parent.mkdir()
    (copy / ALL_5).rename(copy / target)
    report = check(copy)
    assert not report.holds
    assert found(report)[0] == ("label", target)


def test_a_cell_renamed_to_the_other_class(copy):
    target = "training_data/fold_1/hem/UID_H77_1_1_hem.bmp"
    (copy / target).parent.mkdir()
    (copy / ALL_5).rename(copy / target)
    report = check(copy)
    assert not report.holds
    assert found(report)[0] == ("label", target)
    assert "UID_5_1_1_all" in report.findings[0].detail


def test_a_cell_renamed_to_another_subject(copy):
    target = "training_data/fold_1/all/UID_6_1_1_all.bmp"
    (copy / ALL_5).rename(copy / target)
    report = check(copy)
    assert not report.holds
    assert found(report)[0] == ("subject", target)


def test_h3_in_capitals_is_the_same_cell(copy):
    (copy / HEM_3).rename(copy / HEM_3.replace("h3", "H3"))
    assert check(copy).is_complete


def test_another_fold_is_a_note(copy):
    target = "training_data/fold_0/all/UID_5_1_1_all.bmp"
    (copy / ALL_5).rename(copy / target)
    report = check(copy)
    assert report.holds
    assert ("fold", target) in found(report)


@pytest.mark.parametrize(
    "target",
    [
        "training_data/fold_0/all/UID_5_1_1_all.bmp",  # the same cell twice
        "training_data/fold_1/all/UID_5_9_9_all.bmp",  # under a name of its own
        "training_data/fold_1/all/copy.bmp",  # anywhere
    ],
)
def test_a_duplicate_that_the_index_does_not_know(copy, target):
    shutil.copy(copy / ALL_5, copy / target)
    report = check(copy)
    assert not report.holds
    assert "unknown-duplicate" in report.counts


def test_two_extra_files_that_are_one_picture(copy, encode, draw):
    for path in ("x.png", "y.png"):
        (copy / path).write_bytes(encode(draw(99), ".png"))
    report = check(copy)
    assert report.counts == {"unknown-duplicate": 1, "known-duplicate": 1, "extra": 2}
    (copy / "y.png").unlink()
    assert check(copy).holds


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        (",2.bmp,0", ",2.bmp,1", "label"),
        ("UID_H49_1_1_hem.bmp", "UID_H50_1_1_hem.bmp", "subject"),
        ("UID_57_1_1_all.bmp", "UID_57_1_2_all.bmp", "altered"),
        ("labels\n", "class\n", "altered"),
        (",2.bmp,0", ",2.bmp,yes", "altered"),
    ],
)
def test_a_csv_that_contradicts(copy, old, new, kind):
    (copy / LABELS).write_text(CSV.replace(old, new))
    report = check(copy)
    assert not report.holds
    assert report.findings[0].kind == kind
    assert "labels.csv" in report.findings[0].path


def test_a_csv_with_rows_too_few_or_too_many_or_none(copy):
    (copy / LABELS).write_text(CSV.replace("UID_H49_1_1_hem.bmp,2.bmp,0\n", "UID_H49_1_1_hem.bmp,99.bmp,0\n"))
    report = check(copy)
    assert report.holds
    assert report.counts == {"known-duplicate": 1, "extra": 1, "labels": 1}
    (copy / LABELS).unlink()
    report = check(copy)
    assert report.holds
    assert report.counts == {"known-duplicate": 1, "labels": 1}


def test_a_file_that_changed_since_it_was_indexed(copy, tmp_path, encode, draw):
    other = tmp_path / "other"
    for kind in ("blast", "normal"):
        (other / kind).mkdir(parents=True)
        (other / kind / "1.png").write_bytes(encode(draw(len(kind)), ".png"))
    path = index(other).write(tmp_path / "m.parquet")
    assert check(path).holds
    (other / "blast/1.png").write_bytes(encode(draw(77), ".png"))
    (other / "normal/1.png").unlink()
    report = check(path)
    assert not report.holds
    assert found(report) == [("unreadable", "normal/1.png"), ("altered", "blast/1.png")]


def test_without_an_official_index(tmp_path, encode, draw):
    names = {"benign/1.png": 1, "benign/2.bmp": 1, "pre-B/3.png": 2, "pre-B/4.png": 3}
    for name, seed in names.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(encode(draw(seed), f".{name.split('.')[1]}"))
    report = check(tmp_path)
    assert report.holds
    assert (report.data_set, report.parts, report.num_files) == (None, (), 4)
    assert found(report) == [("duplicate", "benign/2.bmp")]
    (tmp_path / "pre-B/5.tif").write_bytes(encode(draw(1), ".tif"))
    (tmp_path / "pre-B/6.png").write_bytes(b"no image")
    report = check(tmp_path)
    assert not report.holds
    assert report.counts == {"unreadable": 1, "label": 1, "duplicate": 1}


def test_synthetic_cells_are_not_held_against_the_official_ones(copy):
    (copy / "SYNTHETIC.txt").write_text("drawn")
    (copy / ALL_5).write_bytes((copy / HEM_3).read_bytes())
    report = check(copy)
    assert report.data_set is None
    assert report.counts == {"label": 1, "duplicate": 1}


def test_nothing_to_check(tmp_path):
    with pytest.raises(LayoutError, match="expected cell images, found none"):
        check(tmp_path)


def test_report_is_json(copy):
    (copy / ALL_5).write_bytes(b"")
    written = json.loads(json.dumps(check(copy).to_json()))
    assert written["holds"] is False
    assert written["counts"] == {"unreadable": 1, "known-duplicate": 1}
    assert written["findings"][0] | {"detail": ""} == {
        "kind": "unreadable",
        "path": ALL_5,
        "detail": "",
        "is_problem": True,
    }
    assert written["parts"][0] == {"name": "training", "num_found": 4, "num_expected": 5}


@pytest.mark.real
def test_real_copy(real_data):
    report = check(real_data)
    assert report.holds
    assert not report.is_complete
    assert set(report.counts) == {"known-duplicate"}
    assert [part.num_found for part in report.parts[1:]] == [13, 4]
    assert report.parts[0].num_found == report.num_files - 17
