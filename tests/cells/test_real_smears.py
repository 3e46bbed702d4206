"""Real photographs of smears: the fields of BCCD (MIT), whose white cells have boxes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def fields(monkeypatch) -> Path:
    named = os.environ.get("LEUKOSCOPE_BCCD", "")
    if not named:
        pytest.skip("LEUKOSCOPE_BCCD names no folder of BCCD (JPEGImages, Annotations)")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return Path(named)


@pytest.mark.real
@pytest.mark.parametrize("half", ["first", "second"])
def test_white_cells_of_bccd_are_found(fields, half):
    from smear.finding import bccd

    found = bccd(fields, half, None)
    assert found["num_fields"] == 182
    assert found["recall"] >= 0.95
    assert found["precision"] >= 0.90


@pytest.mark.real
def test_real_cells_on_real_backgrounds_are_found_and_answered_as_before(fields, real_data):
    """A few of the cells and fields that settings were chosen on."""
    from leukoscope.cells.scale import Scale
    from leukoscope.cohort.open import open_cohort
    from smear.fields import Bccd
    from smear.paste import grounds, lay_all, measured
    from smear.people import chosen, labelled

    bccd = Bccd(fields)
    plates = grounds(bccd, bccd.names[:5], Scale(0.0812, "given"))
    cells = chosen(labelled(open_cohort(real_data)), "first", 8)
    rows = measured(lay_all(cells, plates, 0.05), cells)
    assert rows.height == 16
    assert rows["dice"].median() > 0.98
    assert ((rows["probability_after"] - rows["probability_before"]).abs() < 0.1).mean() > 0.7
