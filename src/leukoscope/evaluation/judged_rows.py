"""Which rows of a prediction table are judged, and what is known of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from leukoscope.cohort.manifest import Manifest
from leukoscope.errors import TableError
from leukoscope.evaluation.leak import FITTING
from leukoscope.evaluation.table import STAMPS, PredictionTable


def knowing_classes(
    table: PredictionTable, info: Mapping[str, Any], data: Manifest | None
) -> PredictionTable:
    """The table with the classes of the bundle or the manifest, where it names none (CSV cannot)."""
    source = info if info.get("positive_classes") else data
    if source is None or "positive_classes" in table.metadata:
        return table
    classes, positive = (
        (source.classes, source.positive_classes)
        if isinstance(source, Manifest)
        else (source["classes"], source["positive_classes"])
    )
    known = {"classes": json.dumps(list(classes)), "positive_classes": json.dumps(list(positive))}
    return PredictionTable(table.frame, known | table.metadata)


def rows_to_judge(table: PredictionTable) -> tuple[PredictionTable, int]:
    """The rows to judge, and how many others there are. Pooled out-of-fold rows are all test rows."""
    out_of_fold = table.metadata.get("protocol") == "grouped-kfold"
    if "split" not in table.frame.columns or out_of_fold or not (table.frame["split"] == "test").any():
        return table, 0
    kept = table.frame.filter(pl.col("split") == "test")
    return PredictionTable(kept, table.metadata), table.frame.height - kept.height


def check_unique(table: PredictionTable) -> None:
    """Make sure that no cell is judged twice.

    Raises:
        TableError: when one is.
    """
    cell_ids = table.judged["cell_id"]
    twice = cell_ids.filter(cell_ids.is_duplicated())
    if len(twice):
        raise TableError(
            f"cell '{twice[0]}' is judged twice ({twice.n_unique():,} cells are)",
            hint="keep one row a cell; a cell that counts twice bends every metric",
        )


def subject_ids(table: PredictionTable) -> npt.NDArray[np.str_] | None:
    """Whose each judged cell is, (N,); ``None`` where that is not known of all."""
    return None if (table.subjects == "").any() or not len(table.subjects) else table.subjects


def fitting_roles(table: PredictionTable) -> list[str]:
    """The roles of the rows where none is of the test set: judged, they flatter what they fitted."""
    if "split" not in table.frame.columns or table.metadata.get("protocol") == "grouped-kfold":
        return []
    roles = set(table.frame["split"].drop_nulls())
    return [] if "test" in roles else sorted(roles & set(FITTING))


def marks(origins: Iterable[Mapping[str, Any]]) -> list[str]:
    """``LEAKY`` and ``SYNTHETIC`` where one of the sources says so of itself: it holds for all made of it."""
    said = list(origins)
    return [name.upper() for name in STAMPS if any(one.get(name) in (True, "true") for one in said)]


def folds(table: PredictionTable) -> npt.NDArray[np.str_] | None:
    """The fold of each judged cell, (N,), where the rows are pooled out-of-fold rows of two folds or more.

    ``None`` where a row has no fold, or where the rows fitted the model that judged them.
    """
    if "fold" not in table.judged.columns or fitting_roles(table):
        return None
    found = table.judged["fold"]
    if found.null_count() or found.n_unique() < 2:
        return None
    return found.cast(pl.Utf8).to_numpy().astype(np.str_)
