"""The same figures on parts of the cells: a good mean may hide people, stains or sizes that it fails on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import polars as pl

from leukoscope.cohort.manifest import Manifest
from leukoscope.core.config import Config
from leukoscope.evaluation import metrics
from leukoscope.evaluation.bootstrap import called_counts
from leukoscope.evaluation.readings import Bools, Floats, Judgement, Metric, read_metric
from leukoscope.evaluation.subject_pairs import auroc_of_draws

SHOWN = ("auroc", "sensitivity", "specificity")
NUM_PARTS = 3
MEASURED = {
    "cell_area": ("cell size", "px²"),
    "stain": ("stain", ""),
    "brightness": ("brightness", ""),
}
"""Columns by whose value the cells are cut into thirds: what that is called, and its unit."""

LEAST_CELLS = 10
"""A flag that fewer cells have is no part: nothing can be read from so few."""


class Subgroup(Config):
    """What the model reads on a part of the cells.

    Attributes:
        by: what the cells are parted by, such as ``"stain"``.
        name: the part, such as ``"lowest third"``.
        low, high: limits of the value in it, where it is one of thirds.
        unit: of the limits.
        num_cells, num_blasts, num_subjects: in the part.
        metrics: AUROC, sensitivity and specificity with their intervals.
    """

    by: str
    name: str
    low: float | None = None
    high: float | None = None
    unit: str = ""
    num_cells: int
    num_blasts: int
    num_subjects: int | None
    metrics: dict[str, Metric]


class _Part(NamedTuple):
    by: str
    name: str
    kept: Bools
    low: float | None = None
    high: float | None = None
    unit: str = ""


def subgroups(rows: pl.DataFrame, model: Judgement) -> list[Subgroup]:
    """By fold, cells of the subject, thirds of cell size, stain and brightness, and quality flag.

    Only what the rows know; a part that would be all cells is none.

    Args:
        rows: the N judged rows, see :func:`with_measures`.
        model: what was read on them.
    """
    return [
        Subgroup(
            by=part.by,
            name=part.name,
            low=part.low,
            high=part.high,
            unit=part.unit,
            num_cells=int(part.kept.sum()),
            num_blasts=int(model.cells.y[part.kept].sum()),
            num_subjects=_num_subjects(model, part.kept),
            metrics=_metrics(model.part(part.kept)),
        )
        for part in _parts(rows, model)
        if part.kept.any() and not part.kept.all()
    ]


def with_measures(judged: pl.DataFrame, data: Manifest | None) -> pl.DataFrame:
    """The rows with the manifest's measures and flags in place of those that they lack."""
    names = (*MEASURED, "cell_width", "cell_height", "quality")
    columns = set(judged.columns)
    lacking = [name for name in names if name not in columns or judged[name].is_null().all()]
    if data is None or not lacking:
        return judged
    facts = data.frame.select("cell_id", *lacking)
    return judged.drop(lacking, strict=False).join(facts, on="cell_id", how="left", maintain_order="left")


def _parts(rows: pl.DataFrame, model: Judgement) -> Iterator[_Part]:
    if "fold" in rows.columns:
        for fold in rows["fold"].drop_nulls().unique().sort():
            yield _Part("fold", f"fold {fold}", (rows["fold"] == fold).fill_null(False).to_numpy())
    if model.cells.subject_ids is not None:
        subjects = model.cells.subjects
        of_subject = subjects.num_blasts + subjects.num_normals
        values = of_subject[subjects.index]
        cuts = np.quantile(of_subject, np.arange(1, NUM_PARTS) / NUM_PARTS)
        yield from _thirds("cells of the subject", "", values, cuts)
    for column, (by, unit) in MEASURED.items():
        if column in rows.columns:
            values = rows[column].cast(pl.Float64).fill_null(np.nan).to_numpy()
            known = values[np.isfinite(values)]
            if len(known):
                cuts = np.quantile(known, np.arange(1, NUM_PARTS) / NUM_PARTS)
                yield from _thirds(by, unit, values, cuts)
    if "quality" in rows.columns:
        yield from _flags(rows["quality"].fill_null(""))


def _thirds(by: str, unit: str, values: Floats, cuts: Floats) -> Iterator[_Part]:
    """A third of the cells each (of the subjects, where the cuts are theirs); NaN is in none."""
    place = np.searchsorted(cuts, values, side="right")
    for number, name in enumerate(("lowest third", "middle third", "highest third")):
        kept = (place == number) & np.isfinite(values)
        if kept.any():
            low, high = float(values[kept].min()), float(values[kept].max())
            yield _Part(by, name, kept, low, high, unit)


def _flags(quality: pl.Series) -> Iterator[_Part]:
    flags = quality.str.split(",")
    counted = flags.explode().value_counts()
    common = sorted(flag for flag, number in counted.iter_rows() if flag and number >= LEAST_CELLS)
    if common:
        yield _Part("quality", "no flag", (quality == "").to_numpy())
    for flag in common:
        yield _Part("quality", flag, flags.list.contains(flag).to_numpy())


def _num_subjects(model: Judgement, kept: Bools) -> int | None:
    if model.cells.subject_ids is None:
        return None
    return len(np.unique(model.cells.subjects.index[kept]))


def _metrics(part: Judgement) -> dict[str, Metric]:
    cells, called = part.cells, part.p >= part.threshold
    counts = called_counts(cells.y, called, cells.subjects, cells.times)
    values = {
        "auroc": auroc_of_draws(cells.y, part.p, cells.subjects, cells.times),
        "sensitivity": metrics.sensitivity(counts),
        "specificity": metrics.specificity(counts),
    }
    return {
        name: read_metric(name, values[name], cells, called, threshold=_threshold(name, part))
        for name in SHOWN
    }


def _threshold(name: str, part: Judgement) -> float | None:
    return part.threshold if name in metrics.CALLED else None
