"""The index in the package against what is published about the data set."""

from importlib.resources import files

import numpy as np
import polars as pl
import pytest

from leukoscope.cells.decode import decode
from leukoscope.cohort.official import NUM_CELLS, official_bmps, official_index, subject_groups

PUBLISHED = {  # cells, ALL, HEM, subjects with ALL, subjects with HEM
    0: (3527, 2397, 1130, 19, 9),
    1: (3581, 2418, 1163, 11, 3),
    2: (3553, 2457, 1096, 17, 14),
    None: (1867, 1219, 648, 13, 15),
}


@pytest.mark.parametrize("fold", PUBLISHED)
def test_parts_are_as_published(fold):
    part = official_index().filter(pl.col("fold").eq_missing(fold), pl.col("split") != "final")
    counts = [part.filter(label=label) for label in ("blast", "normal")]
    assert (part.height, *map(len, counts), *(kind["subject"].n_unique() for kind in counts)) == PUBLISHED[
        fold
    ]


def test_complete_and_small():
    index = official_index()
    assert index.height == 15_114
    assert dict(index["split"].value_counts().iter_rows()) == NUM_CELLS
    assert index["sha256"].str.contains("^[0-9a-f]{64}$").all()
    assert files("leukoscope.cohort").joinpath("cnmc2019.parquet").stat().st_size < 1_200_000


def test_duplicates_are_the_known_ones():
    twice = official_index().filter(pl.col("sha256").is_duplicated())
    assert twice["sha256"].n_unique() == 106
    assert twice.filter(split="training")["sha256"].n_unique() == 104
    groups = {frozenset(name.split("+")) for name in subject_groups().values()}
    assert groups == {
        frozenset(("20", "21")),
        frozenset(("51", "75", "78")),
        frozenset(("H2", "H4", "H5", "H6")),
        frozenset(("H3", "H10")),
        frozenset(("1", "15")),  # these two by cells photographed twice, not by equal files
        frozenset(("H14", "H24")),
    }
    assert set().union(*groups) == set(subject_groups())


def test_no_group_is_left_apart():
    for _, same in official_index().filter(pl.col("sha256").is_duplicated()).group_by("sha256"):
        if same["subject"].n_unique() > 1 or same["split"][0] == "final":
            assert same["duplicate_group"].n_unique() == 1
            assert same["duplicate_group"].null_count() == 0


def test_boxes_are_counted_pixels():
    boxes = official_index().filter(split="training")
    longer = boxes.select(pl.max_horizontal("cell_width", "cell_height")).to_series()
    # Published, as last minus first pixel: 46 cells longer than 360, the largest 441.
    assert ((longer - 1 > 360).sum(), longer.max() - 1) == (46, 441)
    medians = boxes.group_by("label").agg(pl.col("cell_width", "cell_height").median()).sort("label")
    assert medians.rows() == [("blast", 221.0, 218.0), ("normal", 182.0, 181.0)]


@pytest.mark.parametrize("width", [4, 5, 6, 7])
def test_rebuilt_files_are_pictures_of_the_same_pixels(width):
    image = np.random.default_rng(width).integers(0, 255, (3, width, 3), np.uint8)
    for data in official_bmps(image):
        assert int.from_bytes(data[2:6], "little") == len(data)
        np.testing.assert_array_equal(decode(data, name="x.bmp"), image)


@pytest.mark.real
@pytest.mark.parametrize(
    ("place", "part"), list(enumerate(("training_data", "validation_data", "testing_data")))
)
def test_rebuilt_files_are_the_published_ones(real_data, place, part):
    paths = sorted((real_data / "C-NMC_Leukemia" / part).rglob("*.bmp"))[::5]
    assert paths
    for path in paths:
        assert list(official_bmps(decode(path)))[place] == path.read_bytes()
