"""Risk and coverage, against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leukoscope.evaluation.readings import Cells, Judgement
from leukoscope.evaluation.selective import risk_coverage

CELLS = st.lists(st.tuples(st.integers(0, 10), st.booleans()), min_size=1, max_size=60)


def judged(p, y, *, threshold=0.5, draws=0, subjects=None):
    return Judgement(Cells(np.asarray(y), subjects, draws, 0), np.asarray(p, dtype=float), threshold)


@given(CELLS, st.sampled_from([0.3, 0.5]))
def test_errors_are_those_of_the_cells_furthest_from_the_threshold(cells, threshold):
    p, y = (np.array(column) for column in zip(*cells, strict=True))
    p = (p + 0.5) / 11
    found = risk_coverage(judged(p, y, threshold=threshold))
    far = np.round(np.abs(np.log(p / (1 - p)) - np.log(threshold / (1 - threshold))), 9)
    wrong = (p >= threshold) != y
    for wanted, coverage, error in zip(np.arange(1, 21) / 20, found.coverage, found.error, strict=True):
        limit = sorted(far, reverse=True)[int(np.ceil(wanted * len(p) - 1e-9)) - 1]
        kept = far >= limit
        assert coverage == pytest.approx(kept.mean()) and coverage >= wanted - 1e-9
        assert error == pytest.approx(wrong[kept].mean())


def test_the_area_is_the_mean_over_all_numbers_of_answered_cells():
    random = np.random.default_rng(0)
    p = random.permutation(np.arange(1, 200) / 200)
    y = random.random(199) < p
    found = risk_coverage(judged(p, y))
    wrong = ((p >= 0.5) != y)[np.argsort(-np.abs(p - 0.5), kind="stable")]
    pairs = wrong[: len(wrong) - 1].reshape(-1, 2).mean(axis=1).repeat(2)  # 0.5 +- x are equally certain
    alike = np.append(wrong[0] if len(wrong) % 2 == 0 else [], pairs)
    assert np.abs(p - 0.5).min() == 0 and len(alike) == len(wrong) - 1
    alike = np.append(alike, wrong[-1])
    assert found.area == pytest.approx(np.mean(np.cumsum(alike) / np.arange(1, 200)))
    best = np.sort(wrong)
    assert found.area_at_best == pytest.approx(np.mean(np.cumsum(best) / np.arange(1, 200)))
    assert found.area_at_best <= found.area


def test_the_area_does_not_hang_on_the_order_of_the_rows():
    p, y = np.array([0.9, 0.9, 0.9, 0.2]), np.array([True, False, True, False])
    areas = {risk_coverage(judged(p[order], y[order])).area for order in ([0, 1, 2, 3], [1, 3, 0, 2])}
    assert len(areas) == 1


def test_certain_cells_at_either_end():
    found = risk_coverage(judged([0.0, 1.0, 0.5, 0.5], [False, True, True, False]))
    assert found.error[9] == 0 and found.coverage[9] == 0.5
    assert found.error[-1] == 0.25


def test_intervals_are_of_subjects_and_people_without_an_answer_are_counted(make_table):
    table = make_table(blasts=12, normals=10)
    model = judged(table.p, table.y, draws=200, subjects=table.subjects)
    found = risk_coverage(
        model, judged(np.full(len(table.p), 0.4), table.y, draws=200, subjects=table.subjects)
    )
    ends = zip(found.error_low, found.error, found.error_high, strict=True)
    assert all(low <= error <= high for low, error, high in ends if low is not None)
    whole, half = found.answered[0], found.answered[-1]
    assert whole.error.estimate == pytest.approx(1 - model.metrics["accuracy"].estimate)
    assert whole.error.ci_low == pytest.approx(1 - model.metrics["accuracy"].ci_high)
    assert whole.sensitivity == model.metrics["sensitivity"].model_copy(update={"threshold": None})
    assert whole.num_subjects_left_out == 0
    far = np.abs(np.log(table.p / (1 - table.p)))
    kept = far >= np.sort(far)[::-1][int(np.ceil(len(far) / 2)) - 1]
    assert half.num_subjects_left_out == len(set(table.subjects)) - len(set(table.subjects[kept]))
    assert half.error.estimate < whole.error.estimate
    assert found.size == pytest.approx([table.y.mean()] * 20)


def test_nothing_without_cells():
    assert risk_coverage(judged([], np.zeros(0, dtype=bool))) is None
