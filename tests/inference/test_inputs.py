"""Every input becomes cells with an id, in order; what is known of them comes along."""

from __future__ import annotations

import itertools
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from leukoscope.cohort.index import index
from leukoscope.errors import ImageNotFoundError, ManifestError, UsageError
from leukoscope.inference.identity import Identity, identify
from leukoscope.inference.inputs import resolve


@pytest.fixture
def cells(tmp_path, monkeypatch) -> Path:
    """A folder of files that are images by name; the working folder is above it."""
    folder = tmp_path / "cells"
    for name in ("10.png", "2.png", "deep/1.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    monkeypatch.chdir(tmp_path)
    return folder


def ids(inputs, **options) -> list[str]:
    return [cell.cell_id for cell in resolve(inputs, **options)]


def test_a_folder_alone_has_ids_below_it(cells):
    assert ids("cells") == ids(cells) == ids([cells]) == ["2.png", "10.png", "deep/1.png"]
    inputs = resolve("cells")
    assert inputs.metadata["root"] == str(cells)
    assert [cell.read() for cell in inputs] == [b"2.png", b"10.png", b"deep/1.png"]
    assert inputs.count() == 3


def test_files_are_called_as_they_were_given(cells):
    inputs = resolve(["cells/10.png", "cells/2.png"])
    assert [(cell.cell_id, cell.path) for cell in inputs] == [("cells/10.png",) * 2, ("cells/2.png",) * 2]
    assert [cell.read() for cell in inputs] == [b"10.png", b"2.png"]
    assert inputs.metadata["root"] == str(Path.cwd())


def test_patterns_are_expanded_where_the_shell_did_not(cells):
    assert ids("cells/*.png") == ["cells/2.png", "cells/10.png"]
    assert ids("cells/**/*.png") == ["cells/2.png", "cells/10.png", "cells/deep/1.png"]
    with pytest.raises(UsageError, match="no file matches"):
        resolve("cells/*.bmp")


def test_a_name_that_looks_like_a_pattern_but_exists_is_a_name(cells):
    (cells / "[1].png").write_bytes(b"brackets")
    assert [cell.read() for cell in resolve("cells/[1].png")] == [b"brackets"]


def test_several_inputs_keep_their_order_and_never_share_an_id(cells):
    given = ["cells/2.png", "cells", "cells/deep", "cells/2.png", "cells/2.png"]
    found = ids(given)
    assert found == [
        "cells/2.png",
        "cells/2.png#2",
        "cells/10.png",
        "cells/deep/1.png",
        "cells/deep/1.png#2",
        "cells/2.png#3",
        "cells/2.png#4",
    ]
    assert resolve(given).count() == 7
    assert ids(iter(["cells/2.png", "cells/2.png"])) == ["cells/2.png", "cells/2.png#2"]


def test_a_zip_reads_as_its_folder_does(cells, tmp_path):
    with zipfile.ZipFile(tmp_path / "cells.zip", "w") as archive:
        for file in sorted(cells.rglob("*.png")):
            archive.write(file, file.relative_to(cells).as_posix())
    inputs = resolve("cells.zip")
    assert [(c.cell_id, c.read()) for c in inputs] == [(c.cell_id, c.read()) for c in resolve("cells")]
    assert ids(["cells.zip", "cells"])[0] == "cells.zip/2.png"


def test_pixels_and_bytes_are_numbered(cells):
    pixels = np.zeros((4, 4, 3), np.uint8)
    assert ids(pixels) == ["image_0"]
    assert ids([pixels, "cells/2.png", pixels, b"bytes"]) == ["image_0", "cells/2.png", "image_2", "image_3"]
    assert ids(np.zeros((3, 4, 4, 3), np.uint8)) == ["image_0", "image_1", "image_2"]
    assert resolve(np.zeros((3, 4, 4, 3), np.uint8)).count() == 3


def test_an_iterator_is_read_as_cells_are_asked_for():
    pixels = (np.zeros((4, 4, 3), np.uint8) for _ in itertools.count())
    inputs = resolve(pixels)
    assert inputs.count() is None
    assert [cell.cell_id for cell in itertools.islice(inputs, 3)] == ["image_0", "image_1", "image_2"]


def test_a_file_that_is_not_there_is_a_row_but_a_folder_that_is_not_there_is_an_error(cells):
    (cell,) = resolve("cells/77.png")
    with pytest.raises(ImageNotFoundError, match="no such file"):
        cell.read()
    with pytest.raises(UsageError, match="no such file or folder"):
        resolve("celsl")


def test_nothing_to_do_is_an_error(tmp_path):
    with pytest.raises(UsageError, match="no input"):
        resolve([])
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "notes.txt").write_text("x")
    with pytest.raises(UsageError, match="holds no image"):
        resolve(tmp_path / "text")


def test_a_parquet_file_that_is_no_manifest_is_an_error(tmp_path):
    import polars as pl

    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(ManifestError):
        resolve(tmp_path / "a.parquet")


# C-NMC


def test_a_cohort_brings_ids_subjects_labels_and_folds_as_its_index_does(tiny_cohort):
    manifest = index(tiny_cohort)
    wanted = ["cell_id", "path", "subject_id", "label", "fold"]
    expected = manifest.frame.select(wanted).rows()
    found = [(c.cell_id, c.path, c.subject_id, c.label, c.fold) for c in resolve(tiny_cohort)]
    assert found == expected
    assert [tuple(getattr(c, name) for name in wanted) for c in resolve(manifest)] == expected


def test_a_zip_of_a_cohort_says_the_same(tiny_cohort, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "cohort"), "zip", tiny_cohort)
    known = [[cell[:2] + cell[3:] for cell in resolve(place)] for place in (archive, tiny_cohort)]
    assert known[0] == known[1]


def test_a_manifest_carries_split_and_stamps_over(tiny_cohort, tmp_path):
    import polars as pl

    manifest = index(tiny_cohort)
    roles = pl.Series(
        "split", ["train", "test"] * (len(manifest) // 2) + ["unlabelled"] * (len(manifest) % 2)
    )
    split = manifest.with_frame(manifest.frame.with_columns(roles), leaky="true", protocol="sample-1000")
    inputs = resolve(split.write(tmp_path / "split.parquet"))
    assert [cell.split for cell in inputs] == roles.to_list()
    stamps = {"leaky": "true", "synthetic": "true", "photographs": "false"}
    assert inputs.metadata == {"root": str(manifest.root), **stamps}
    first = next(iter(inputs))
    assert first.read() == (manifest.root / first.path).read_bytes()


@pytest.mark.parametrize("below", ["", "C-NMC_Leukemia", "C-NMC_Leukemia/training_data/fold_0/all"])
def test_drawn_cells_are_known_as_drawn_wherever_one_starts(tiny_cohort, below):
    assert resolve(tiny_cohort / below).metadata["synthetic"] == "true"


def test_other_folders_are_not_called_synthetic(cells):
    stamps = dict.fromkeys(("leaky", "synthetic", "photographs"), "false")
    assert resolve(cells).metadata == {"root": str(cells), **stamps}


def test_two_copies_of_a_cell_get_two_ids(tiny_cohort, tmp_path):
    training = tiny_cohort / "C-NMC_Leukemia" / "training_data"
    for copy in ("one", "two"):
        shutil.copytree(training / "fold_0", tmp_path / copy / "fold_0")
    found = ids(tmp_path)
    assert len(found) == len(set(found))
    half = len(found) // 2
    assert all(name.startswith("UID_") for name in found[:half])
    assert all(name.startswith("two/fold_0/") for name in found[half:])


def test_whose_cells_they_are_can_be_said(tiny_cohort):
    assert {cell.subject_id for cell in resolve(tiny_cohort, subject_id="P7")} == {"P7"}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("UID_57_29_1_all.bmp", Identity("UID_57_29_1_all", "57", "blast")),
        ("x/fold_2/hem/UID_h3_12_4_hem.webp", Identity("UID_h3_12_4_hem", "H3", "normal", 2)),
        ("x/fold_2/all/UID_H3_12_4_hem.bmp", Identity("UID_H3_12_4_hem", "H3", None, 2)),
        ("testing_data/C-NMC_test_final_phase_data/12.bmp", Identity("final_12")),
        ("validation_data/C-NMC_test_prelim_phase_data/12.bmp", Identity("preliminary_12")),
        ("cells/12.bmp", None),
        ("UID_57_29_all.bmp", None),
    ],
)
def test_names_and_places_are_read(path, expected):
    assert identify(path, dict) == expected
