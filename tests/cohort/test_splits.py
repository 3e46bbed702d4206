"""Nobody is on two sides, whoever they are and in whatever order they come."""

from collections import defaultdict

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leukoscope.cohort.manifest import Manifest
from leukoscope.cohort.protocols import PROTOCOLS
from leukoscope.cohort.splits import default_protocol, fold_roles, split
from leukoscope.errors import SplitError, SubjectLeakError, UsageError

PROTOCOL_NAMES = PROTOCOLS.names()
TINY_SAMPLE = {"train": 7, "validation": 2, "test": 2}

PERSON = st.tuples(
    st.integers(1, 6),  # cells
    st.sampled_from([None] * 6 + ["g", "h"]),  # duplicate group
    st.sampled_from([None] * 6 + ["picture"]),  # bytes of the first cell
    st.sampled_from(["training", "training", "preliminary"]),
)
PEOPLE = st.lists(PERSON, min_size=16, max_size=32)


def rows_of(people, *, apart):
    """One row a cell of people who are ill in turns; also cells without a label, and some without a subject.

    ``apart``: nobody shares anything with somebody of the other part.
    """
    for number, (cells, group, content, part) in enumerate(people):
        shared = {"duplicate_group": group, "sha256": content}
        shared = {
            column: f"{value} of {part if apart else 'all'}" for column, value in shared.items() if value
        }
        usual = {"subject_id": f"P{number}", "label": ("blast", "normal")[number % 2], "source": part}
        for cell in range(cells):
            first = shared if cell == 0 else {}
            yield usual | {"cell_id": f"{number}_{cell}"} | first
    for number in range(3):
        yield {"cell_id": f"final_{number}", "source": "final"}
        yield {"cell_id": f"somebody_{number}", "label": "blast", "sha256": "theirs" if number else "another"}


def sides_of(made):
    return made.frame["fold"] if made.metadata["protocol"] == "grouped-kfold" else made.frame["split"]


def assert_nobody_on_two_sides(made):
    labelled = made.frame.with_columns(sides_of(made).alias("side")).filter(pl.col("split") != "unlabelled")
    for column in ("subject_id", "duplicate_group", "sha256"):
        sides = labelled.filter(pl.col(column).is_not_null()).group_by(column).agg(pl.col("side").n_unique())
        assert sides["side"].max() in {None, 1}, column


def tried(manifest, **options):
    try:
        return split(manifest, **options)
    except (SplitError, SubjectLeakError):
        return None


@pytest.mark.parametrize("protocol", PROTOCOL_NAMES)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(people=PEOPLE, apart=st.booleans(), seed=st.integers(0, 3), random=st.randoms(use_true_random=False))
def test_no_subject_no_group_no_copy_on_two_sides(
    protocol, people, apart, seed, random, make_manifest, monkeypatch
):
    monkeypatch.setattr("leukoscope.cohort.protocols.SAMPLE", TINY_SAMPLE)
    manifest = make_manifest(list(rows_of(people, apart=apart)))
    made = tried(manifest, protocol=protocol, folds=3, seed=seed)
    order = random.sample(range(len(manifest)), len(manifest))
    again = tried(manifest.with_frame(manifest.frame[order]), protocol=protocol, folds=3, seed=seed)
    if made is None:
        assert again is None
        return
    assert_nobody_on_two_sides(made)
    roles = ["cell_id", "split", "fold"]
    assert made.frame.select(roles).sort("cell_id").equals(again.frame.select(roles).sort("cell_id"))
    assert_all_who_should_take_part(made, manifest, protocol)
    assert_both_classes_on_every_side(made)


def assert_all_who_should_take_part(made, manifest, protocol):
    assert made.frame["cell_id"].to_list() == [
        cell for cell in manifest.frame["cell_id"] if cell in set(made.frame["cell_id"])
    ]
    unlabelled = made.frame.filter(split="unlabelled")
    assert unlabelled.height == 3
    assert unlabelled["label"].null_count() == 3
    gone = manifest.frame.filter(~pl.col("cell_id").is_in(made.frame["cell_id"].implode()))
    if protocol in {"official", "merged-holdout"}:
        assert gone.is_empty()
    elif protocol == "sample-1000":
        assert dict(made.part("train").frame["label"].value_counts().rows())
        assert {role: made.part(role).frame.height for role in TINY_SAMPLE} == TINY_SAMPLE
    else:
        assert set(gone["source"]) <= {"preliminary"}


def assert_both_classes_on_every_side(made):
    if made.metadata["protocol"] == "sample-1000":
        return
    labelled = made.frame.with_columns(sides_of(made).alias("side")).filter(pl.col("split") != "unlabelled")
    if made.metadata["protocol"] == "official":
        labelled = labelled.filter(source="training")
    assert (
        labelled.group_by("side").agg(pl.col("label").n_unique())["label"].to_list()
        == [2] * labelled["side"].n_unique()
    )


@pytest.mark.parametrize("protocol", ["official", "grouped-kfold"])
def test_by_image_is_stamped(protocol, official_manifest):
    made = split(official_manifest, protocol=protocol, unit="image")
    assert made.is_leaky
    assert made.metadata["unit"] == "image"
    sides = made.frame.with_columns(sides_of(made).alias("side")).filter(source="training")
    assert sides.filter(subject_id="H10")["side"].n_unique() > 1


@pytest.mark.parametrize("protocol", PROTOCOL_NAMES)
def test_the_real_cohort(protocol, official_manifest):
    made = split(official_manifest, protocol=protocol, seed=1)
    assert_nobody_on_two_sides(made)
    assert not made.is_leaky
    assert {key: made.metadata[key] for key in ("kind", "protocol", "unit", "seed")} == {
        "kind": "split",
        "protocol": protocol,
        "unit": "subject",
        "seed": "1",
    }
    groups = defaultdict(set)
    for group, side in zip(made.frame["duplicate_group"], sides_of(made), strict=True):
        groups[group].add(side)
    for group in ("20+21", "51+75+78", "H2+H4+H5+H6", "H3+H10"):
        assert len(groups[group]) == 1


def shares(made):
    labelled = made.frame.filter(pl.col("split") != "unlabelled", pl.col("source") == "training")
    return {role: count / labelled.height for role, count in labelled["split"].value_counts().rows()}


def test_official_tests_on_the_preliminary_set(official_manifest):
    made = split(official_manifest, protocol="official")
    assert set(made.part("test").frame["source"]) == {"preliminary"}
    assert made.part("test").frame.height == 1867
    assert shares(made) == pytest.approx({"train": 0.70, "validation": 0.15, "calibration": 0.15}, abs=0.03)
    assert made.part("unlabelled").frame.height == 2586
    assert made.frame["fold"].null_count() == made.frame.height


@pytest.mark.parametrize(
    ("protocol", "cells"), [("grouped-holdout", 10_661), ("merged-holdout", 10_661 + 1867)]
)
def test_holdouts(protocol, cells, official_manifest):
    made = split(official_manifest, protocol=protocol)
    assert made.frame.filter(pl.col("label").is_not_null()).height == cells
    wanted = {"train": 0.6, "validation": 0.1, "calibration": 0.1, "test": 0.2}
    labelled = made.frame.filter(pl.col("label").is_not_null())
    got = {role: count / cells for role, count in labelled["split"].value_counts().rows()}
    assert got == pytest.approx(wanted, abs=0.03)
    assert int(made.metadata["left_out"]) == official_manifest.frame.height - made.frame.height


@pytest.mark.parametrize("unit", ["subject", "image"])
def test_sample_of_a_thousand(unit, official_manifest):
    made = split(official_manifest, protocol="sample-1000", unit=unit)
    sizes = {role: made.part(role).frame.height for role in ("train", "validation", "test", "calibration")}
    assert sizes == {"train": 700, "validation": 150, "test": 150, "calibration": 0}
    for role in ("train", "validation", "test"):
        assert (made.part(role).frame["label"] == "blast").mean() == pytest.approx(0.682, abs=0.005)
    other = split(official_manifest, protocol="sample-1000", unit=unit, seed=1)
    assert set(other.frame["cell_id"]) != set(made.frame["cell_id"])


def test_a_sample_takes_readable_cells_only(official_manifest):
    broken = official_manifest.frame.with_columns(
        pl.when(pl.col("subject_id") == "H10")
        .then(pl.lit("unreadable: x"))
        .otherwise(pl.lit(""))
        .alias("quality")
    )
    made = split(official_manifest.with_frame(broken), protocol="sample-1000")
    assert "H10" not in set(made.frame["subject_id"])


def test_folds_take_turns(official_manifest):
    made = split(official_manifest, protocol="grouped-kfold", folds=4)
    assert set(made.frame["fold"]) == {0, 1, 2, 3, None}
    assert made.metadata["folds"] == "4"
    tested = []
    for fold in range(4):
        roles = fold_roles(made, fold)
        assert set(roles.part("test").frame["fold"]) == {fold}
        assert set(roles.part("validation").frame["fold"]) == {(fold + 1) % 4}
        assert roles.part("train").frame["fold"].n_unique() == 2
        assert roles.part("unlabelled").frame.height == 2586
        assert roles.metadata["fold"] == str(fold)
        tested += roles.part("test").frame["cell_id"].to_list()
    assert len(tested) == len(set(tested)) == 10_661
    assert fold_roles(made, 0).frame.equals(made.frame)
    for fold in (-1, 4):
        with pytest.raises(SplitError, match="from 0 to 3"):
            fold_roles(made, fold)
    with pytest.raises(SplitError, match="expected a split with folds, got protocol 'none'"):
        fold_roles(official_manifest, 0)


def test_seeds_differ(official_manifest):
    roles = [
        split(official_manifest, protocol="grouped-holdout", seed=seed).frame["split"] for seed in range(2)
    ]
    assert not roles[0].equals(roles[1])


def test_survives_writing(official_manifest, tmp_path):
    made = split(official_manifest, protocol="grouped-kfold")
    back = Manifest.read(made.write(tmp_path / "split.parquet"))
    assert back.is_split
    assert back.metadata["kind"] == "split"
    assert fold_roles(back, 2).frame.equals(fold_roles(made, 2).frame)


def test_cells_without_subjects_stay_leaky_but_copies_together(make_manifest):
    rows = [
        {"cell_id": str(number), "label": ("blast", "normal")[number % 2], "sha256": f"{number // 4}"}
        for number in range(48)
    ]
    made = split(make_manifest(rows, leaky="true"), protocol="grouped-holdout")
    assert made.is_leaky
    assert_nobody_on_two_sides(made)


def test_too_few_subjects_says_how_many_and_what_to_do(make_manifest):
    rows = [
        {"cell_id": f"{kind}{number}", "subject_id": f"{kind}{number}", "label": kind}
        for kind, count in (("blast", 9), ("normal", 3))
        for number in range(count)
    ]
    with pytest.raises(SplitError) as caught:
        split(make_manifest(rows), protocol="grouped-holdout")
    assert "needs at least 4 subjects" in caught.value.message
    assert "found 9 and 3" in caught.value.message
    assert "--protocol grouped-kfold --folds 3" in caught.value.hint
    assert_nobody_on_two_sides(split(make_manifest(rows), protocol="grouped-kfold", folds=3))
    with pytest.raises(SplitError, match="found 9 and 0") as caught:
        split(make_manifest(rows[:9]), protocol="grouped-kfold")
    assert "LEAKY" in caught.value.hint


def test_protocols_that_do_not_fit(make_manifest, official_manifest):
    training = official_manifest.with_frame(official_manifest.frame.filter(source="training"))
    with pytest.raises(SplitError, match="found 10,661 and 0 cells"):
        split(training, protocol="official")
    with pytest.raises(SplitError, match="found none of it"):
        split(training, protocol="merged-holdout")
    with pytest.raises(SplitError, match="at least 1,000 labelled, readable cells, found 1"):
        split(make_manifest([{"cell_id": "a", "label": "blast"}]), protocol="sample-1000")
    with pytest.raises(UsageError, match="unknown protocol 'kfold'") as caught:
        split(training, protocol="kfold")
    assert "grouped-kfold" in caught.value.hint
    with pytest.raises(UsageError, match="unknown unit 'cell'"):
        split(training, protocol="grouped-kfold", unit="cell")
    with pytest.raises(UsageError, match="at least 3 folds"):
        split(training, protocol="grouped-kfold", folds=2)
    with pytest.raises(SplitError, match="got a split"):
        split(split(training, protocol="grouped-kfold"), protocol="grouped-kfold")


def test_a_test_set_that_shares_somebody_is_refused(official_manifest):
    subject = pl.col("subject_id")
    moved = pl.when(subject == "57").then(pl.lit("5")).otherwise(subject).alias("subject_id")
    shared = official_manifest.with_frame(official_manifest.frame.with_columns(moved))
    with pytest.raises(SubjectLeakError, match=r"subject '5' is in the training set \(\d+ cells\)"):
        split(shared, protocol="official")
    assert_nobody_on_two_sides(split(shared, protocol="merged-holdout"))


def test_default_protocol(official_manifest):
    def default(keep):
        return default_protocol(official_manifest.with_frame(official_manifest.frame.filter(keep)))

    preliminary = pl.col("source") == "preliminary"
    assert default(pl.lit(True)) == "official"
    assert default(~preliminary) == "grouped-holdout"
    assert default(~preliminary | (pl.col("label") == "blast")) == "grouped-holdout"
    few = official_manifest.frame.filter(preliminary)["cell_id"].head(20).implode()
    assert default(~preliminary | pl.col("cell_id").is_in(few)) == "grouped-holdout"


def test_more_classes_than_two(make_manifest):
    rows = [
        {"cell_id": f"{kind}{who}_{cell}", "subject_id": f"{kind}{who}", "label": kind}
        for kind in ("benign", "pre-B", "pro-B")
        for who in range(6)
        for cell in range(4)
    ]
    kinds = {"classes": '["benign", "pre-B", "pro-B"]', "positive_classes": '["pre-B", "pro-B"]'}
    made = split(make_manifest(rows, **kinds), protocol="grouped-holdout")
    assert_nobody_on_two_sides(made)
    assert made.frame.group_by("split").agg(pl.col("label").n_unique())["label"].to_list() == [3] * 4
