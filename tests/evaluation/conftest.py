"""Tables of invented predictions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from leukoscope.cohort.manifest import COLUMNS, Manifest
from leukoscope.evaluation.table import PredictionTable

Made = Callable[..., PredictionTable]


@pytest.fixture(scope="session")
def make_table() -> Made:
    """``make_table(blasts=8, normals=7, cells=12, ...)``: invented cells of subjects with a bias each."""

    def make(
        *,
        blasts: int = 8,
        normals: int = 7,
        cells: int = 12,
        seed: int = 0,
        ties: bool = False,
        **metadata: str,
    ) -> PredictionTable:
        random = np.random.default_rng(seed)
        names = [str(n) for n in range(1, blasts + 1)] + [f"H{n}" for n in range(1, normals + 1)]
        sizes = random.integers(1, 2 * cells, len(names))
        subject = np.repeat(names, sizes)
        y = np.char.startswith(subject, "H") == 0
        bias = np.repeat(random.normal(0, 0.8, len(names)), sizes)
        p = 1 / (1 + np.exp(-(2.0 * y - 1.0 + bias + random.normal(0, 1, len(y)))))
        rows = {
            "cell_id": [f"cell_{n}" for n in range(len(y))],
            "subject_id": subject.tolist(),
            "label": np.where(y, "blast", "normal").tolist(),
            "blast_probability": (p.round(1) if ties else p).tolist(),
        }
        return PredictionTable(pl.DataFrame(rows), dict(metadata))

    return make


@pytest.fixture(scope="session")
def manifest_of() -> Callable[[PredictionTable, pl.DataFrame], Manifest]:
    """``manifest_of(table, sizes)``: a manifest of the table's cells; ``sizes`` has ``cell_id`` and what was
    measured."""

    def make(table: PredictionTable, sizes: pl.DataFrame) -> Manifest:
        frame = table.frame.select("cell_id", "subject_id", "label").join(sizes, on="cell_id")
        texts = {"path": "x", "source": "s", "sha256": "0", "quality": ""}
        rest = [
            pl.lit(texts.get(name), kind).alias(name)
            for name, kind in COLUMNS.items()
            if name not in frame.columns
        ]
        return Manifest(frame.with_columns(rest), Path("nowhere"))

    return make
