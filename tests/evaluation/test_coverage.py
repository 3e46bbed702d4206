"""Whether intervals hold the truth as often as they say, on invented people."""

from __future__ import annotations

from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.slow
@pytest.mark.parametrize("cohort", [(47, 26), (13, 15)])
def test_intervals_of_subjects_hold_the_truth_and_those_of_cells_do_not(cohort, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from interval_coverage import coverage

    held, width = coverage(*cohort, 1000)
    for metric in ("auroc", "specificity"):
        assert 0.92 <= held[metric, "expanded"] <= 0.97
        assert held[metric, "cells"] < 0.6
        assert held[metric, "percentile"] < held[metric, "expanded"]
        assert width[metric, "percentile"] < width[metric, "expanded"]
