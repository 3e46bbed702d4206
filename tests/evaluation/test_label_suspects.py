"""Cells worth a second look: found where labels were flipped, and not where a person is hard."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from leukoscope.errors import TableError
from leukoscope.evaluation.evaluate import evaluate
from leukoscope.evaluation.label_suspects import LEAST_REST, MOST_OF_REST, label_suspects
from leukoscope.evaluation.table import PredictionTable

FLIPPED = 0.02


def cohort(seed: int, *, flipped: float = FLIPPED, gap: float = 2.5, spread: float = 0.8):
    """Out-of-fold probabilities of 34 people with a bias each; some labels are flipped."""
    random = np.random.default_rng(seed)
    size = random.integers(10, 160, 34)
    person = np.repeat(np.arange(34), size)
    truth = person < 20
    bias = np.repeat(random.normal(0, spread, 34), size)
    p = 1 / (1 + np.exp(-(gap * (2 * truth - 1) + bias + random.normal(0, 1, len(person)))))
    wrong = random.random(len(person)) < flipped
    return truth ^ wrong, p, person.astype(str), wrong


def rows_of(y, subjects):
    names = [str(number) for number in range(len(y))]
    label = np.where(y, "blast", "normal").tolist()
    return pl.DataFrame({"cell_id": names, "subject_id": subjects.tolist(), "label": label})


def suspects(y, p, subjects):
    found = label_suspects(rows_of(y, subjects), y, p if isinstance(p, list) else [p], subjects)
    return found, [int(cell.cell_id) for cell in found.cells]


def test_flipped_labels_are_found_far_better_than_by_chance():
    hits = num_found = num_wrong = num_first = 0
    for seed in range(10):
        y, p, subjects, wrong = cohort(seed)
        _, found = suspects(y, p, subjects)
        hits += int(wrong[found].sum())
        num_found, num_wrong = num_found + len(found), num_wrong + int(wrong.sum())
        num_first += int(wrong[found[:20]].sum())
    assert hits / num_found > 20 * FLIPPED  # the share among cells taken at random is the share flipped
    assert hits / num_wrong > 0.8
    assert num_first / 200 > 0.9  # those of the first ranks


def test_a_clean_table_and_a_good_model_give_few():
    y, p, subjects, _ = cohort(0, flipped=0, gap=4, spread=0.5)
    assert len(suspects(y, p, subjects)[1]) < 0.002 * len(y)


def test_a_person_whose_cells_are_all_contradicted_is_hard_and_has_no_suspect():
    y, p, subjects, _ = cohort(1, flipped=0, gap=4, spread=0.5)
    p = np.where(subjects == "30", 0.999, p)
    found, cells = suspects(y, p, subjects)
    size = int((subjects == "30").sum())
    assert [(row.subject_id, row.num_cells, row.num_contradicted) for row in found.hard_subjects] == [
        ("30", size, size)
    ]
    assert not (subjects[cells] == "30").any()


def brute(y, p, subjects):
    """The same by loops: the confident joint cell by cell, then the rest of each person."""
    people = sorted(set(subjects))

    def limit(kind, of):
        each = [of[(subjects == who) & (y == kind)] for who in people]
        return np.mean([values.mean() for values in each if len(values)])

    share = {True: p, False: 1 - p}
    limits = {kind: limit(kind, share[kind]) for kind in (True, False)}
    contradicted = []
    for cell, label in enumerate(y):
        sure = [kind for kind in (True, False) if share[kind][cell] >= limits[kind]]
        called = max(sure, key=lambda kind: share[kind][cell]) if sure else label
        contradicted.append(called != label)
    found = set()
    for cell in np.flatnonzero(contradicted):
        rest = [other for other in np.flatnonzero(subjects == subjects[cell]) if other != cell]
        also = sum(contradicted[other] for other in rest)
        if len(rest) >= LEAST_REST and also <= MOST_OF_REST * len(rest):
            found.add(int(cell))
    return found, sum(contradicted)


@pytest.mark.parametrize("gap", [0.3, 1.2, 2.5])
def test_it_equals_brute_force(gap):
    for seed in range(3):
        y, p, subjects, _ = cohort(seed, gap=gap)
        few = np.isin(subjects, [str(number) for number in range(12, 30)])
        y, p, subjects = y[few], p[few], subjects[few]
        found, cells = suspects(y, p, subjects)
        expected, contradicted = brute(y, p, subjects)
        assert set(cells) == expected
        assert found.num_contradicted == contradicted


def test_all_tables_must_agree():
    y, p, subjects, _ = cohort(2)
    _, other, _, _ = cohort(2, gap=2.0)
    both = suspects(y, [p, other], subjects)[0]
    each = [suspects(y, one, subjects)[0] for one in (p, other)]
    assert both.num_tables == 2
    assert 0 < both.num_contradicted <= min(one.num_contradicted for one in each)
    undecided = np.full(len(y), 0.5)
    undecided[0] = 0.6
    assert suspects(y, [p, undecided], subjects)[0].num_contradicted < each[0].num_contradicted
    first = both.cells[0]
    place = int(first.cell_id)
    assert first.blast_probability == pytest.approx((p[place] + other[place]) / 2)


def test_ranks_begin_with_the_least_likely_label_and_rows_may_stand_in_any_order():
    y, p, subjects, _ = cohort(3)
    found, cells = suspects(y, p, subjects)
    own = np.where(y, p, 1 - p)[cells]
    assert (np.diff(own) >= 0).all()
    assert [cell.rank for cell in found.cells] == list(range(1, len(cells) + 1))
    order = np.random.default_rng(0).permutation(len(y))
    again = label_suspects(rows_of(y, subjects)[order], y[order], [p[order]], subjects[order])
    assert again.cells == found.cells
    assert again.hard_subjects == found.hard_subjects


def test_people_with_few_cells_have_nothing_to_be_held_against():
    y, p, subjects, _ = cohort(4, flipped=0)
    y, p = np.append(y, False), np.append(p, 0.9999)
    found, cells = suspects(y, p, np.append(subjects, "alone"))
    assert len(y) - 1 not in cells
    assert found.num_alone == 1


def test_one_class_has_no_other_to_be_taken_for():
    y, p, subjects, _ = cohort(5)
    kept = y
    assert label_suspects(rows_of(y[kept], subjects[kept]), y[kept], [p[kept]], subjects[kept]) is None


class TestInAReport:
    @pytest.fixture
    def table(self):
        y, p, subjects, _ = cohort(6)
        fold = (subjects.astype(int) % 4).tolist()
        return PredictionTable(rows_of(y, subjects).with_columns(blast_probability=p, fold=pl.Series(fold)))

    def test_only_out_of_fold_rows_have_suspects(self, table):
        assert evaluate(table, draws=0).label_suspects.cells
        assert evaluate(PredictionTable(table.frame.drop("fold")), draws=0).label_suspects is None

    def test_rows_that_fitted_the_model_have_none(self, table):
        fitted = PredictionTable(table.frame.with_columns(split=pl.lit("train")))
        assert evaluate(fitted, draws=0).label_suspects is None

    def test_a_person_in_several_folds_was_seen_by_the_model(self, table):
        leaky = PredictionTable(table.frame.with_columns(fold=pl.int_range(pl.len()) % 4))
        found = evaluate(leaky, draws=0)
        assert found.label_suspects is None
        assert found.folds.num_shared_subjects == 34

    def test_repeats_must_hold_the_same_cells(self, table):
        shuffled = PredictionTable(table.frame.sample(fraction=1, shuffle=True, seed=0))
        alone, twice = (evaluate(table, draws=0, repeats=more).label_suspects for more in ([], [shuffled]))
        assert twice.cells == alone.cells
        assert twice.num_tables == 2
        with pytest.raises(TableError):
            evaluate(table, draws=0, repeats=[PredictionTable(table.frame[:-1])])
