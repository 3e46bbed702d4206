"""Who sets ranges and thresholds of an int8 bundle, and who judges: never the same person."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leukoscope.bundle.read import open_bundle
from leukoscope.cohort.groups import split_units
from leukoscope.cohort.manifest import COLUMNS, Manifest
from leukoscope.errors import SubjectLeakError, UsageError
from leukoscope.inference.int8_people import known_roles, share_out

ROLES = ("train", "validation", "calibration")
SPLITS = ("train", "validation", "calibration", "test", "unlabelled")


def manifest(rows, **metadata):
    """A manifest of ``(subject, label, split, sha256, duplicate_group)`` rows."""
    names = ("subject_id", "label", "split", "sha256", "duplicate_group")
    known = pl.DataFrame(
        [dict(zip(names, row, strict=True)) for row in rows], schema=dict.fromkeys(names, pl.Utf8)
    )
    known = known.with_columns(cell_id="cell " + pl.int_range(pl.len()).cast(pl.Utf8), path=pl.lit("x.bmp"))
    known = known.with_columns(source=pl.lit("x"), quality=pl.lit(""), sha256=pl.col("sha256").fill_null(""))
    missing = [pl.lit(None, kind).alias(name) for name, kind in COLUMNS.items() if name not in known.columns]
    frame = known.with_columns(missing)
    return Manifest(frame if metadata.pop("split", False) else frame.drop("split"), Path("nowhere"), metadata)


def unknown(cells):
    return pl.Series([None] * len(cells), dtype=pl.Utf8)


def people(number, kind, split="test", cells=3):
    return [(f"{kind[0]}{n}", kind, split, None, None) for n in range(number) for _ in range(cells)]


def subjects(part):
    return set(part.frame["subject_id"])


def test_strangers_are_divided_half_and_half_always_the_same_way():
    cells = manifest(people(6, "blast") + people(4, "normal"))
    first = share_out(cells, unknown(cells))
    assert {len(subjects(first.fitting)), len(subjects(first.judging))} == {5}
    assert subjects(first.fitting) | subjects(first.judging) == subjects(cells)
    turned = cells.with_frame(cells.frame.reverse())
    assert subjects(share_out(turned, unknown(turned)).judging) == subjects(first.judging)


def test_of_a_split_calibration_fits_and_test_judges():
    rows = [
        *people(3, "blast"),
        *people(3, "normal"),
        ("b8", "blast", "calibration", None, None),
        ("n8", "normal", "calibration", None, None),
        ("b9", "blast", "train", None, None),
        ("u1", None, "unlabelled", None, None),
        (None, None, "unlabelled", None, None),
    ]
    cells = manifest(rows, split=True)
    found = share_out(cells, unknown(cells))
    assert subjects(found.fitting) == {"b8", "n8"} and subjects(found.judging) == {
        "b0",
        "b1",
        "b2",
        "n0",
        "n1",
        "n2",
    }
    assert subjects(found.ranges) == {"b8", "n8", "b9", "u1"}, "a cell whose subject is unknown does nothing"


def test_without_calibration_subjects_those_of_the_validation_fit():
    rows = [*people(2, "blast"), *people(2, "normal")]
    rows += [("b8", "blast", "validation", None, None), ("n8", "normal", "validation", None, None)]
    cells = manifest(rows, split=True)
    assert subjects(share_out(cells, unknown(cells)).fitting) == {"b8", "n8"}


def test_who_fitted_the_bundle_does_not_judge_and_is_counted():
    cells = manifest(people(5, "blast") + people(5, "normal"))
    known = pl.Series(["train" if name in ("b0", "n0") else None for name in cells.frame["subject_id"]])
    found = share_out(cells, known)
    assert not {"b0", "n0"} & (subjects(found.judging) | subjects(found.fitting))
    assert found.num_left_out == 2 and {"b0", "n0"} <= subjects(found.ranges)


def test_who_shares_pictures_with_somebody_who_fitted_goes_with_him():
    rows = [*people(4, "blast"), *people(4, "normal"), ("b8", "blast", "test", None, "b0+b8")]
    rows[0] = ("b0", "blast", "test", None, "b0+b8")
    cells = manifest(rows)
    known = pl.Series(["train" if name == "b8" else None for name in cells.frame["subject_id"]])
    found = share_out(cells, known)
    assert not {"b0", "b8"} & (subjects(found.judging) | subjects(found.fitting))


@pytest.mark.parametrize(
    ("rows", "known", "words"),
    [
        (people(3, "blast") + people(3, "normal"), "train", "nobody is left"),
        (people(6, "blast"), None, "2 with normal"),
        (people(1, "blast") + people(5, "normal"), None, "found 1 and 5"),
    ],
)
def test_too_few_are_one_clear_error(rows, known, words):
    cells = manifest(rows)
    with pytest.raises(UsageError, match=words) as caught:
        share_out(cells, pl.Series([known] * len(cells), dtype=pl.Utf8))
    assert "people that it has not met" in caught.value.hint


def test_judges_of_one_kind_are_refused():
    rows = [
        *people(3, "blast"),
        ("b8", "blast", "calibration", None, None),
        ("n8", "normal", "calibration", None, None),
    ]
    cells = manifest(rows, split=True)
    with pytest.raises(UsageError, match="people to judge have blasts only"):
        share_out(cells, unknown(cells))


def test_cells_without_subjects_are_refused():
    cells = manifest(people(3, "blast") + people(3, "normal"), leaky="true")
    with pytest.raises(SubjectLeakError, match="LEAKY"):
        share_out(cells, unknown(cells))


@given(st.data())
def test_nobody_is_on_both_sides_and_no_judge_fitted_anything(data):
    names = [f"{kind[0]}{number}" for kind in ("blast", "normal") for number in range(5)]
    shas, groups = st.sampled_from([None, *"abc"]), st.sampled_from([None, None, "g1", "g2"])
    rows = []
    for name in names:
        kind, group = "blast" if name[0] == "b" else "normal", data.draw(groups)
        split = data.draw(st.sampled_from(SPLITS[:4]))
        for _ in range(2):
            rows.append((name, data.draw(st.sampled_from([kind, kind, None])), split, data.draw(shas), group))
    is_split = data.draw(st.booleans())
    cells = manifest(rows, split=is_split)
    known = pl.Series([data.draw(st.sampled_from([None, None, None, *ROLES])) for _ in rows], dtype=pl.Utf8)
    try:
        found = share_out(cells, known)
    except UsageError:
        return
    units = dict(zip(cells.frame["cell_id"], split_units(cells.frame), strict=True))
    ranges, fitting, judging = ({units[name] for name in part.frame["cell_id"]} for part in found[:3])
    assert not judging & (ranges | fitting)
    of = list(zip((units[name] for name in cells.frame["cell_id"]), known, strict=True))
    assert not judging & {unit for unit, role in of if role}
    assert not fitting & {unit for unit, role in of if role == "train"}
    for part in (found.fitting, found.judging):
        assert set(part.frame["label"]) == {"blast", "normal"}


@pytest.mark.parametrize("private", [False, True])
def test_what_a_bundle_knows_of_a_cell(make_bundle, tmp_path, private):
    bundle = open_bundle(make_bundle(tmp_path / "m.leuko", private=private))
    rows = [
        ("1", "blast", None, "f", None),
        ("H2", "normal", None, None, None),
        ("H3", "normal", None, "b" * 64, None),
        ("H4", "normal", None, None, None),
        (None, None, None, None, None),
    ]
    roles = known_roles(bundle, manifest(rows).frame)
    assert roles.to_list() == ["train", "calibration", "validation", None, None]
