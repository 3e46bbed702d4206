"""Whether probabilities mean what they say, against scikit-learn and brute force."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from leukoscope.evaluation import metrics
from leukoscope.evaluation.bootstrap import expanded_level
from leukoscope.evaluation.evaluate import evaluate
from leukoscope.evaluation.readings import Cells, Judgement
from leukoscope.evaluation.reliability import bin_shares, intercepts, read_calibration, slopes
from leukoscope.evaluation.table import PredictionTable


def judgement(y, p, subjects=None, draws=0):
    return Judgement(Cells(y, subjects, draws, 0), p, 0.5)


def bins_of(y, p):
    return read_calibration(judgement(y, p)).bins


def regression(y, p, weights=None):
    """Intercept and slope by scikit-learn, without a penalty."""
    found = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
    found.fit(logit(p)[:, None], y, sample_weight=weights)
    return found.intercept_[0], found.coef_[0, 0]


CELLS = st.lists(st.tuples(st.booleans(), st.integers(0, 10)), min_size=1, max_size=80)


@given(CELLS)
def test_the_bins_of_the_diagram_are_those_of_the_error(cells):
    y, p = (np.array(column) for column in zip(*cells, strict=True))
    bins = bins_of(y, p / 10)
    error = sum(b.num_cells * abs(b.mean_probability - b.blast_share) for b in bins) / len(y)
    assert error == pytest.approx(float(metrics.ece(y, p / 10)), abs=1e-9)
    assert sum(b.num_cells for b in bins) == pytest.approx(len(y))
    means = [b.mean_probability for b in bins]
    assert all(a <= b + 1e-9 for a, b in pairwise(means))


def test_bins_by_hand():
    """15 cells: one a bin."""
    p = np.arange(15) / 15
    y = np.arange(15) > 9
    bins = bins_of(y, p)
    assert [b.mean_probability for b in bins] == pytest.approx(p.tolist())
    assert [b.blast_share for b in bins] == pytest.approx(y.astype(float).tolist())


def test_no_cell_has_no_bins():
    found = read_calibration(judgement(np.zeros(0, bool), np.zeros(0)))
    assert (found.bins, found.brier, found.slope.estimate) == ([], None, None)


def test_slope_and_intercept_are_those_of_a_regression(make_table):
    table = make_table(blasts=15, normals=14, cells=30)
    found = evaluate(table, draws=500).calibration
    assert found.slope.estimate == pytest.approx(regression(table.y, table.p)[1], rel=1e-5)
    assert found.slope.ci_low < found.slope.estimate < found.slope.ci_high
    shift = found.intercept.estimate
    assert expit(logit(table.p) + shift).sum() == pytest.approx(table.y.sum())
    assert found.intercept.ci_low < shift < found.intercept.ci_high


def test_each_draw_is_fitted_anew(make_table):
    table = make_table(blasts=15, normals=14, cells=30)
    model = judgement(table.y, table.p, table.subjects, 25)
    owner = model.cells.subjects.index
    steps, shifts = slopes(model), intercepts(model)
    for place, row in enumerate(model.cells.times):
        anew = regression(table.y, table.p, row[owner])[1]
        assert steps[place] == pytest.approx(anew, rel=0.005)
        balance = (row[owner] * (table.y - expit(logit(table.p) + shifts[place]))).sum()
        assert abs(balance) < 0.002 * (row[owner] * table.y).sum()


def test_a_model_that_is_too_sure_has_a_slope_below_one():
    random = np.random.default_rng(0)
    z = random.normal(0, 1.5, 20_000)
    y = random.random(20_000) < expit(z)
    for stretch, shift in ((1.0, 0.0), (2.0, 0.0), (0.5, 0.0), (1.0, 1.0)):
        found = read_calibration(judgement(y, expit(stretch * z + shift)))
        assert found.slope.estimate == pytest.approx(1 / stretch, abs=0.06)
        if stretch == 1:
            assert found.intercept.estimate == pytest.approx(-shift, abs=0.05)


def test_classes_told_apart_without_an_error_have_no_slope():
    y = np.repeat([True, False], 30)
    found = read_calibration(judgement(y, np.where(y, 0.8, 0.3)))
    assert found.slope.reason == "undefined: the classes are told apart without an error"
    assert found.intercept.estimate is not None
    alone = read_calibration(judgement(np.ones(9, bool), np.linspace(0.1, 0.9, 9)))
    assert alone.slope.reason == alone.intercept.reason == "undefined: there are no normal cells"


def test_the_parts_of_the_brier_score(make_table):
    table = make_table(blasts=15, normals=15, cells=30)
    size = len(table.p) // metrics.NUM_BINS * metrics.NUM_BINS
    y, p = table.y[:size], table.p[:size]
    found = read_calibration(judgement(y, p)).brier
    bins = np.array_split(np.argsort(p), metrics.NUM_BINS)
    means, shares = (np.array([column[b].mean() for b in bins]) for column in (p, y.astype(float)))
    assert found.reliability == pytest.approx(((means - shares) ** 2).mean())
    assert found.resolution == pytest.approx(((shares - y.mean()) ** 2).mean())
    assert found.uncertainty == pytest.approx(y.mean() * (1 - y.mean()))
    whole = found.reliability - found.resolution + found.uncertainty + found.within_bins
    assert whole == pytest.approx(float(metrics.brier(y, p)))
    within = [((p[b] - y[b]) ** 2).mean() - (p[b].mean() - y[b].mean()) ** 2 for b in bins]
    noise = [y[b].mean() * (1 - y[b].mean()) for b in bins]
    assert found.within_bins == pytest.approx(np.mean(within) - np.mean(noise))


def test_the_parts_of_the_brier_score_have_intervals_from_draws_of_subjects(make_table):
    """A draw is the table with a subject's cells as often as it was drawn, the bins left where they are."""
    table = make_table(blasts=9, normals=9, cells=30)
    model = Judgement(Cells(table.y, table.subjects, 400, 0), table.p, 0.5)
    found = read_calibration(model).brier
    inside, own = bin_shares(model), []
    for times in model.cells.times[1:]:
        weight = times[model.cells.subjects.index]
        cells = weight @ inside
        kept = cells > 0
        mean, share = ((weight * column) @ inside[:, kept] / cells[kept] for column in (table.p, table.y))
        own.append(np.average((mean - share) ** 2, weights=cells[kept]))
    low, high = found.reliability_ci
    level = expanded_level(0.95, 9)
    assert (low, high) == pytest.approx(tuple(np.quantile(own, [level, 1 - level])))
    for name in ("resolution", "uncertainty", "within_bins"):
        assert getattr(found, f"{name}_ci")[0] < getattr(found, f"{name}_ci")[1]


def test_bins_have_intervals_of_subjects(make_table):
    table = make_table(blasts=15, normals=15, cells=30)
    bins = evaluate(table, draws=300).calibration.bins
    known = [one for one in bins if one.ci_low is not None]
    assert len(known) > 8
    assert all(one.ci_low <= one.blast_share <= one.ci_high for one in known)
    nobody = PredictionTable(table.frame.with_columns(subject_id=None))
    assert all(one.ci_low is None for one in evaluate(nobody, draws=300).calibration.bins)
