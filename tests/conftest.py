"""What the tests of every room share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real C-NMC cells (it holds ``C-NMC_Leukemia``); skips where there is none."""
    named = os.environ.get("LEUKOSCOPE_REAL_DATA", "")
    if not named:
        pytest.skip("LEUKOSCOPE_REAL_DATA names no folder of real cells")
    folder = Path(named)
    if not (folder / "C-NMC_Leukemia").is_dir():
        pytest.fail(f"LEUKOSCOPE_REAL_DATA={named}: expected a folder that holds C-NMC_Leukemia")
    return folder


@pytest.fixture(scope="session")
def tiny_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic cohort of 8 subjects with 6 cells each and 5 unlabelled ones. Never write into it."""
    from leukoscope.cohort.synth import synthesize

    return synthesize(
        tmp_path_factory.mktemp("cohort") / "tiny", subjects=8, cells_per_subject=6, unlabelled=5, seed=7
    )
