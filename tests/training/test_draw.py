"""Which cells an epoch shows."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from leukoscope.recipes.schema import TrainingChoice
from leukoscope.training.data import EpochDraw
from leukoscope.training.draw import cell_weights, draw_epoch

cohorts = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4)), min_size=1, max_size=60)


@given(cohorts, st.floats(0, 1))
def test_balance_gives_every_class_the_same_weight(cohort, power):
    labels = np.array([label for label, _ in cohort])
    groups = np.array([f"{label}-{subject}" for label, subject in cohort])
    weights = cell_weights(labels, groups, class_balance=True, subject_balance=power)
    assert np.isclose(weights.sum(), 1) and (weights > 0).all()
    shares = np.bincount(labels, weights)[np.unique(labels)]
    np.testing.assert_allclose(shares, 1 / len(shares))


@given(cohorts)
def test_full_subject_balance_gives_every_subject_the_same_weight(cohort):
    groups = np.array([str(subject) for _, subject in cohort])
    weights = cell_weights(np.zeros(len(groups), int), groups, class_balance=False, subject_balance=1.0)
    shares = [weights[groups == group].sum() for group in np.unique(groups)]
    np.testing.assert_allclose(shares, 1 / len(shares))


def test_without_balance_every_cell_comes_once():
    settings = TrainingChoice(batch_size=4)
    drawn = draw_epoch(np.full(12, 1 / 12), settings, epoch=3)
    assert sorted(drawn) == list(range(12))


def test_an_epoch_is_a_function_of_seed_and_number():
    weights = np.full(30, 1 / 30)
    settings = TrainingChoice(batch_size=5, class_balance="sampler", seed=7)
    again = draw_epoch(weights, settings, epoch=2)
    assert np.array_equal(draw_epoch(weights, settings, epoch=2), again)
    assert not np.array_equal(draw_epoch(weights, settings, epoch=3), again)
    assert not np.array_equal(draw_epoch(weights, settings.model_copy(update={"seed": 8}), epoch=2), again)


def test_balanced_draws_follow_the_weights():
    labels = np.array([0] * 90 + [1] * 10)
    weights = cell_weights(labels, labels.astype(str), class_balance=True, subject_balance=0)
    drawn = draw_epoch(
        weights, TrainingChoice(batch_size=10, class_balance="sampler", cells_per_epoch=4000), epoch=0
    )
    assert abs(labels[drawn].mean() - 0.5) < 0.03


@given(st.integers(1, 40), st.integers(1, 16), st.integers(1, 4))
def test_processes_share_a_batch_without_overlap(cells, batch, world):
    settings = TrainingChoice(batch_size=batch)
    whole = EpochDraw(np.arange(cells), np.full(cells, 1 / cells), settings)
    parts = []
    for rank in range(world):
        part = EpochDraw(np.arange(cells), np.full(cells, 1 / cells), settings)
        part.rank, part.world = rank, world
        parts.append(list(part))
    assert {len(part) for part in parts} == {len(whole)}
    for number, together in enumerate(whole):
        assert sorted(np.concatenate([part[number] for part in parts])) == sorted(together)
