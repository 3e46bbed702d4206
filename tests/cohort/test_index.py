"""From files to rows: everything measured once, nothing dropped, nobody counted twice."""

import hashlib
import zipfile

import numpy as np
import pytest

from leukoscope.cells.decode import decode
from leukoscope.cells.measure import measure
from leukoscope.cohort.index import index, pixel_fingerprint
from leukoscope.cohort.manifest import UNREADABLE
from leukoscope.cohort.open import open_cohort
from leukoscope.errors import (
    DuplicateCellError,
    LayoutError,
    LeukoscopeWarning,
    ManifestError,
    UnknownClassError,
    UsageError,
)

CELLS = {
    "training_data/fold_0/all/UID_1_1_1_all.png": 1,
    "training_data/fold_0/all/UID_1_1_2_all.bmp": 2,
    "training_data/fold_1/all/UID_2_7_1_all.tif": 2,
    "training_data/fold_2/hem/UID_h3_1_1_hem.webp": 4,
    "training_data/fold_2/hem/UID_H10_1_1_hem.png": 5,
    "testing_data/C-NMC_test_final_phase_data/7.bmp": 6,
}


@pytest.fixture
def cohort(tmp_path, write_cells):
    return write_cells(tmp_path / "cohort", CELLS)


def test_rows_say_what_the_files_are(cohort):
    frame = index(cohort).frame
    assert set(frame["path"]) == set(CELLS)
    for row in frame.iter_rows(named=True):
        data = (cohort / row["path"]).read_bytes()
        measures = measure(decode(data))
        assert row["sha256"] == hashlib.sha256(data).hexdigest()
        assert (row["width"], row["height"], row["cell_width"], row["cell_height"]) == (
            48,
            48,
            measures.cell_width,
            measures.cell_height,
        )
        assert row["cell_area"] == measures.cell_area
        np.testing.assert_allclose(row["brightness"], measures.brightness, rtol=1e-6)


def test_equal_pixels_join_people_in_any_format(cohort):
    groups = dict(index(cohort).frame.select("cell_id", "duplicate_group").iter_rows())
    assert groups["UID_1_1_1_all"] == groups["UID_1_1_2_all"] == groups["UID_2_7_1_all"]
    assert groups["UID_1_1_1_all"] == "1+15+2"  # 1 and 15 are known of the official set
    assert groups["UID_h3_1_1_hem"] == groups["UID_H10_1_1_hem"] == "H3+H10"  # known of the official set
    assert groups["final_7"] is None


def test_a_synthetic_cohort_does_not_inherit_the_official_groups(cohort):
    (cohort / "SYNTHETIC.txt").write_text("drawn")
    made = index(cohort)
    assert made.is_synthetic
    assert set(made.frame["duplicate_group"]) == {"1+2", None}


def test_a_zip_and_one_worker_give_the_same_rows(cohort, tmp_path):
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        for path in CELLS:
            archive.write(cohort / path, path)
    packed = index(tmp_path / "archive.zip", workers=1)
    assert packed.frame.equals(index(cohort, workers=4).frame)
    assert packed.fingerprint() == index(cohort).fingerprint()
    assert packed.read_bytes("training_data/fold_0/all/UID_1_1_1_all.png")[:4] == b"\x89PNG"


def test_broken_files_stay_as_rows(cohort):
    (cohort / "training_data/fold_0/all/UID_1_1_3_all.bmp").write_bytes(b"")
    (cohort / "training_data/fold_0/all/UID_1_1_4_all.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    whole = (cohort / "training_data/fold_0/all/UID_1_1_2_all.bmp").read_bytes()
    (cohort / "training_data/fold_0/all/UID_1_1_5_all.bmp").write_bytes(whole[: len(whole) // 2])
    frame = index(cohort).frame
    broken = {
        row["cell_id"]: row for row in frame.iter_rows(named=True) if row["quality"].startswith(UNREADABLE)
    }
    assert set(broken) == {"UID_1_1_3_all", "UID_1_1_4_all", "UID_1_1_5_all"}
    for row in broken.values():
        assert len(row["quality"]) > len(UNREADABLE)
        assert (row["label"], row["subject_id"], row["width"], row["cell_area"]) == ("blast", "1", None, None)
        assert len(row["sha256"]) == 64
    assert frame.height == len(CELLS) + 3


@pytest.mark.parametrize(
    "twin", ["training_data/fold_1/all/UID_1_1_1_all.png", "training_data/fold_0/all/UID_1_1_1_all.bmp"]
)
def test_one_cell_in_two_files_is_an_error_naming_both(cohort, twin, write_cells):
    write_cells(cohort, {twin: 9})
    with pytest.raises(DuplicateCellError) as caught:
        index(cohort)
    assert "UID_1_1_1_all" in caught.value.message
    assert "training_data/fold_0/all/UID_1_1_1_all.png" in caught.value.message
    assert twin in caught.value.message


def test_all_in_two_spellings_is_not_counted_twice(cohort, tmp_path):
    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as archive:
        for path in CELLS:
            archive.write(cohort / path, path)
            if "/all/" in path:
                archive.write(cohort / path, path.replace("/all/", "/ALL/"))
    with pytest.raises(DuplicateCellError) as caught:
        index(tmp_path / "twice.zip")
    assert "fold_0/ALL/" in caught.value.message
    assert "fold_0/all/" in caught.value.message
    assert "ALL and all" in caught.value.hint


def test_a_folder_with_subjects_and_one_without(tmp_path, write_cells):
    root = write_cells(tmp_path, {f"{kind}/p{who}_{cell}.png": who * 9 + cell for kind, who, cell in KINDS})
    with pytest.raises(UnknownClassError):
        index(root)
    known = index(root, positive=["pre-B"], subject_pattern=r"p(\d+)_")
    assert (known.is_leaky, known.metadata["layout"], known.classes) == (False, "folder", ("benign", "pre-B"))
    assert set(known.frame["subject_id"]) == {"1", "2"}
    unknown = index(root, rename={"pre-B": "blast", "benign": "normal"})
    assert unknown.is_leaky
    assert unknown.frame["subject_id"].null_count() == len(KINDS)
    assert set(unknown.frame["label"]) == {"blast", "normal"}
    assert index(root, positive=["pre-B"], subject_pattern=r"p(1)_").is_leaky  # half of them is not enough


KINDS = [("benign", 1, 1), ("benign", 1, 2), ("pre-B", 2, 1), ("pre-B", 2, 2)]


def test_a_table(tmp_path, write_cells):
    write_cells(tmp_path, {"a.png": 1, "b.png": 2})
    (tmp_path / "cells.csv").write_text(
        "path,label,subject_id\na.png,blast,1\nb.png,normal,h2\ngone.png,normal,h2\n"
    )
    made = index(tmp_path / "cells.csv")
    assert (made.metadata["layout"], made.root) == ("table", tmp_path)
    assert made.frame["subject_id"].to_list() == ["1", "H2", "H2"]
    assert made.frame["quality"].to_list()[2].startswith(f"{UNREADABLE}no such file")
    with pytest.raises(UsageError, match="takes subjects from its column"):
        index(tmp_path / "cells.csv", subject_pattern="(.)")


def test_notes_are_warnings(cohort, write_cells):
    write_cells(cohort, {"validation_data/C-NMC_test_prelim_phase_data/1.bmp": 8})
    with pytest.warns(LeukoscopeWarning, match="1 preliminary cells stay unlabelled"):
        made = index(cohort)
    assert made.frame.filter(source="preliminary")["label"].to_list() == [None]


def test_sources_that_are_none(tmp_path, write_cells):
    (tmp_path / "empty").mkdir()
    with pytest.raises(LayoutError, match="expected cell images, found none"):
        index(tmp_path / "empty")
    with pytest.raises(LayoutError, match="1 images in no known layout"):
        index(write_cells(tmp_path / "flat", {"1.png": 1}))
    with pytest.raises(LayoutError, match="found nothing"):
        open_cohort(tmp_path / "gone")
    with pytest.raises(UsageError, match="unknown layout 'folders'") as caught:
        index(tmp_path / "flat", layout="folders")
    assert "'folder'" in caught.value.hint
    with pytest.raises(UsageError, match="do not apply"):
        index(write_cells(tmp_path / "cohort", CELLS), positive=["all"])


def test_open_takes_any_source(cohort, tmp_path):
    made = open_cohort(cohort)
    path = made.write(tmp_path / "m.parquet")
    assert open_cohort(path).frame.equals(made.frame)
    (tmp_path / "no.parquet").write_bytes(b"PAR1")
    with pytest.raises(ManifestError):
        open_cohort(tmp_path / "no.parquet")


def test_pixel_fingerprint_sees_every_pixel_and_the_shape(draw):
    image = draw(1)
    seen = {
        pixel_fingerprint(image),
        pixel_fingerprint(image.reshape(24, 96, 3)),
        pixel_fingerprint(image[:, ::-1]),
    }
    for place in range(0, image.size, 501):
        changed = image.copy()
        changed.flat[place] ^= 1
        seen.add(pixel_fingerprint(changed))
    assert len(seen) == 3 + len(range(0, image.size, 501))
    assert pixel_fingerprint(image[:, ::-1]) == pixel_fingerprint(image[:, ::-1].copy())


@pytest.mark.real
def test_real_cells(real_data):
    made = index(real_data)
    frame = made.frame
    assert not frame["quality"].str.starts_with(UNREADABLE).any()
    training = frame.filter(source="training")
    assert training.height >= 200
    assert set(training["label"]) == {"blast", "normal"}
    assert training["subject_id"].n_unique() == 45
    assert training.filter(subject_id="20")["duplicate_group"].unique().to_list() == ["20+21"]
    assert frame.filter(source="preliminary")["label"].null_count() == 0
    assert frame.filter(source="final")["width"].unique().to_list() == [600]
