"""Real photographs of smears: the fields of BCCD (MIT), whose white cells have boxes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.real
@pytest.mark.parametrize("half", ["first", "second"])
def test_white_cells_of_bccd_are_found(monkeypatch, half):
    named = os.environ.get("LEUKOSCOPE_BCCD", "")
    if not named:
        pytest.skip("LEUKOSCOPE_BCCD names no folder of BCCD (JPEGImages, Annotations)")
    folder = Path(named)
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from smear.finding import bccd

    found = bccd(folder, half, None)
    assert found["num_fields"] == 182
    assert found["recall"] >= 0.95
    assert found["precision"] >= 0.90
