"""Distances against brute force, and a limit that holds what it says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leukoscope.errors import UsageError
from leukoscope.inference.novelty import References, choose_references, chosen_cells, fit_limit


def brute_force(references: np.ndarray, embedding: np.ndarray, k: int) -> np.ndarray:
    distances = [[np.sqrt(np.mean((one - other) ** 2)) for other in references] for one in embedding]
    return np.sort(distances, axis=1)[:, k - 1]


@given(seed=st.integers(0, 10**6), k=st.integers(1, 6), scale=st.floats(0.01, 100))
def test_the_distance_is_that_of_brute_force(seed, k, scale):
    rng = np.random.default_rng(seed)
    references, embedding = rng.normal(size=(6, 4)), rng.normal(size=(5, 4)) * scale
    distance = References(references, k).distance(embedding)
    np.testing.assert_allclose(distance, brute_force(references, embedding, k), atol=1e-3, rtol=1e-4)


def test_a_reference_is_at_itself_and_the_same_direction_may_be_far():
    references = np.array([[1.0, 2.0, 3.0]])
    distance = References(references, 1).distance(np.array([[1.0, 2.0, 3.0], [3.0, 4.0, 5.0], [10, 20, 30]]))
    np.testing.assert_allclose(distance, [0, 2, 9 * np.sqrt(14 / 3)], atol=1e-3)


def test_more_neighbours_than_references_are_refused():
    for references, k in ((np.eye(3), 4), (np.eye(3), 0), (np.ones(3), 1)):
        with pytest.raises(UsageError, match="expected embeddings"):
            References(references, k)


@given(seed=st.integers(0, 1000), num=st.integers(1, 40))
def test_references_are_dealt_to_subjects_in_turn(seed, num):
    rng = np.random.default_rng(seed)
    subjects = rng.choice(["1", "2", "H1"], size=30, p=[0.8, 0.1, 0.1])
    embedding = np.arange(30, dtype=float)[:, None]
    chosen = choose_references(embedding, subjects, num=num, seed=seed)
    assert chosen.dtype == np.float16 and len(chosen) == min(num, 30)
    places = chosen[:, 0].astype(int)
    assert len(set(places)) == len(places)
    counts = {name: int((subjects[places] == name).sum()) for name in set(subjects)}
    for name, count in counts.items():
        if (
            count < (subjects == name).sum()
        ):  # who has cells left has as many as anybody, but for the last round
            assert count >= max(counts.values()) - 1


def test_the_limit_holds_the_share_it_was_asked_for():
    rng = np.random.default_rng(0)
    references, unseen = rng.normal(size=(200, 8)), rng.normal(size=(1000, 8))
    limit = fit_limit(references, unseen, k=5, quantile=0.99, fitted_on="calibration subjects")
    beyond = References(references, limit.k).distance(unseen) > limit.distance
    assert 0.005 <= beyond.mean() <= 0.01
    assert limit.fitted_on == "calibration subjects"
    strange = References(references, limit.k).distance(-references.mean(0, keepdims=True) + 0 * unseen[:1])
    assert strange.shape == (1,)


def test_few_references_lower_k_and_no_cells_are_an_error():
    assert fit_limit(np.eye(3), np.eye(3), k=5).k == 3
    assert fit_limit(np.eye(3), np.eye(3), k=1).distance > 0
    with pytest.raises(UsageError, match="calibration subjects"):
        fit_limit(np.eye(3), np.empty((0, 3)))


def test_the_distance_is_the_kth_of_all_distances():
    rng = np.random.default_rng(0)
    references, embedding = rng.normal(size=(9, 4)), rng.normal(size=(5, 4))
    every = References(references, 3).distances(embedding)
    by_hand = np.sqrt(((embedding[:, None] - references) ** 2).mean(axis=2))
    np.testing.assert_allclose(every, by_hand, atol=1e-5)
    np.testing.assert_allclose(
        References(references, 3).distance(embedding), np.sort(by_hand)[:, 2], atol=1e-5
    )


def test_which_cells_were_chosen_is_known():
    embedding = np.arange(40, dtype=float)[:, None]
    subjects = np.repeat(["1", "2", "H1", "H2"], [25, 5, 5, 5])
    chosen = chosen_cells(subjects, num=12, seed=4)
    assert np.array_equal(choose_references(embedding, subjects, num=12, seed=4), embedding[chosen])
