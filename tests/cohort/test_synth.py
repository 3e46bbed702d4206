"""A synthetic cohort is a C-NMC cohort that says it is none, the same from the same seed."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest

from leukoscope.cohort import synth
from leukoscope.cohort.check import check
from leukoscope.cohort.index import index
from leukoscope.cohort.layouts.cnmc2019 import parse_name
from leukoscope.cohort.official import official_index
from leukoscope.cohort.synth import plan_cohort, synthesize
from leukoscope.errors import UsageError


def contents(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }


def test_the_same_seed_gives_the_same_bytes_whoever_draws(tmp_path):
    sizes = {"subjects": 2, "cells_per_subject": 3, "unlabelled": 2}
    one, two, other = (
        contents(synthesize(tmp_path / str(seed) / str(workers), seed=seed, workers=workers, **sizes))
        for seed, workers in ((5, 1), (5, 3), (6, 2))
    )
    assert one == two
    pictures = {name for name in one if name.endswith(".bmp")}
    assert len(pictures) == 2 * 3 + 2
    assert not {one[name] for name in pictures} & set(other.values())


def test_no_two_cells_are_the_same(tiny_cohort):
    pictures = [digest for name, digest in contents(tiny_cohort).items() if name.endswith(".bmp")]
    assert len(set(pictures)) == len(pictures) == 8 * 6 + 5


def test_the_layout_is_that_of_c_nmc(tiny_cohort):
    root = tiny_cohort / "C-NMC_Leukemia"
    for fold in range(3):
        for name in ("all", "hem"):
            cells = list((root / "training_data" / f"fold_{fold}" / name).iterdir())
            assert cells
            assert all(parse_name(cell.name) and cell.name.endswith(f"_{name}.bmp") for cell in cells)
    preliminary = root / "validation_data" / "C-NMC_test_prelim_phase_data"
    final = root / "testing_data" / "C-NMC_test_final_phase_data"
    labels = pl.read_csv(preliminary.parent / "C-NMC_test_prelim_phase_data_labels.csv")
    assert labels.columns == ["Patient_ID", "new_names", "labels"]
    numbered = [f"{number}.bmp" for number in range(1, labels.height + 1)]
    assert labels["new_names"].to_list() == numbered
    assert {path.name for path in preliminary.iterdir()} == set(numbered)
    assert {path.name for path in final.iterdir()} == {f"{number}.bmp" for number in range(1, 6)}
    for name, label in labels.select("Patient_ID", "labels").iter_rows():
        parsed = parse_name(name)
        assert parsed is not None
        assert (parsed.label == "blast") == (label == 1)


def test_the_files_are_bitmaps_of_24_bits_with_one_cell_on_pure_black(tiny_cohort):
    for path in (tiny_cohort / "C-NMC_Leukemia").rglob("*.bmp"):
        side = 600 if "testing_data" in path.parts else 450
        stride = -(-side * 3 // 4) * 4
        data = path.read_bytes()
        assert len(data) == 54 + side * stride
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        assert image.shape == (side, side, 3)
        body = np.uint8(image.any(axis=2))
        assert not body[0].any() and not body[-1].any() and not body[:, 0].any() and not body[:, -1].any()
        assert 0.02 < body.mean() < 0.6
        _, _, facts, _ = cv2.connectedComponentsWithStats(body)
        assert facts[1:, cv2.CC_STAT_AREA].max() > 0.97 * body.sum()


def test_it_is_read_as_a_cohort_and_says_synthetic(tiny_cohort):
    cohort = index(tiny_cohort)
    assert cohort.is_synthetic and cohort.metadata["layout"] == "cnmc2019"
    assert index(tiny_cohort / "C-NMC_Leukemia").is_synthetic
    assert "synthetic" in (tiny_cohort / "SYNTHETIC.txt").read_text()
    sizes = cohort.frame.group_by("source", "label").agg(pl.len(), pl.col("subject_id").n_unique())
    assert sorted(sizes.rows(), key=str) == [
        ("final", None, 5, 1),
        ("preliminary", "blast", 6, 1),
        ("preliminary", "normal", 6, 1),
        ("training", "blast", 18, 3),
        ("training", "normal", 18, 3),
    ]
    assert check(tiny_cohort).holds


@pytest.mark.parametrize("subjects", [2, 3, 7, 24, 31])
def test_everybody_is_in_one_part_and_the_classes_are_balanced(subjects):
    plan = plan_cohort(subjects, 3, 4, seed=1)
    where = defaultdict(set)
    for cell in plan[:-4]:
        where[cell.person.subject_id].add(cell.path.rsplit("/", 2 if "fold" in cell.path else 1)[0])
    assert len(where) == subjects
    assert all(len(folders) == 1 for folders in where.values())
    blasts = sum(not name.startswith("H") for name in where)
    assert blasts == (subjects + 1) // 2
    assert len({cell.path for cell in plan}) == len(plan) == 3 * subjects + 4
    assert not where.keys() & {cell.person.subject_id for cell in plan[-4:]}


def test_nobody_is_taken_for_a_real_subject():
    real = set(official_index()["subject"].drop_nulls())
    assert not real & {cell.person.subject_id for cell in plan_cohort(60, 1, 6, seed=0)}


@pytest.mark.parametrize(
    "wrong", [{"subjects": 1}, {"cells_per_subject": 0}, {"unlabelled": -1}, {"seed": -1}]
)
def test_counts_that_are_too_small_are_refused(tmp_path, wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        synthesize(tmp_path / "out", **{"subjects": 2, "cells_per_subject": 1, "unlabelled": 0, **wrong})
    assert not (tmp_path / "out").exists()


def test_a_cohort_is_not_written_over_another(tmp_path):
    sizes = {"subjects": 2, "cells_per_subject": 1, "unlabelled": 0}
    before = contents(synthesize(tmp_path, **sizes))
    with pytest.raises(UsageError, match="already holds"):
        synthesize(tmp_path, seed=1, **sizes)
    assert contents(tmp_path) == before


def test_an_interrupted_one_leaves_nothing_that_looks_whole(tmp_path, monkeypatch):
    drawn = []

    def draw(*args, **kwargs):
        drawn.append(args)
        if len(drawn) > 3:
            raise KeyboardInterrupt
        return np.zeros((4, 4, 3), np.uint8)

    monkeypatch.setattr(synth, "draw_cell", draw)
    with pytest.raises(KeyboardInterrupt):
        synthesize(tmp_path, subjects=4, cells_per_subject=2, workers=1)
    monkeypatch.undo()
    assert not list(tmp_path.rglob("*.bmp"))
    synthesize(tmp_path, subjects=2, cells_per_subject=1, unlabelled=0)
