"""What evaluation needs to know of a bundle, without importing the room above it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from leukoscope.core.config import Config, parse
from leukoscope.errors import TableError
from leukoscope.evaluation.operating_points import OperatingPoint
from leukoscope.evaluation.readings import Bools, Cells, Floats, Metric, read_calls
from leukoscope.evaluation.table import PredictionTable


class SupportsModelDump(Protocol):
    """A pydantic document, such as ``BundleInfo``."""

    def model_dump(self) -> dict[str, Any]:
        """Its content as plain data."""


BundleFacts = Mapping[str, Any] | SupportsModelDump
"""The content of ``bundle.json``, plain or as a document; plain data may add its ``bundle_id``."""


def plain(info: BundleFacts | None) -> dict[str, Any]:
    """The content of ``bundle.json`` as plain data, empty for ``None``."""
    if info is None:
        return {}
    return dict(info) if isinstance(info, Mapping) else info.model_dump()


class OperatingPointReading(Config):
    """What a frozen operating point gives on the judged cells.

    Attributes:
        criterion, target, fitted_on: how the point was chosen.
        normal_below, blast_from: its thresholds; ``None`` where every fold has its own
            (``thresholds_by_fold``).
        sensitivity, specificity: indeterminate cells count among all blasts and all normal cells.
        ppv, npv: among the cells called blast, and called normal.
        share_indeterminate: of all cells, those between the thresholds.
    """

    criterion: str
    target: float | None
    fitted_on: str
    normal_below: float | None
    blast_from: float | None
    thresholds_by_fold: dict[str, tuple[float, float]] | None = None
    sensitivity: Metric
    specificity: Metric
    ppv: Metric
    npv: Metric
    share_indeterminate: Metric


def read_operating_points(
    table: PredictionTable, cells: Cells, info: Mapping[str, Any]
) -> dict[str, OperatingPointReading]:
    """The operating points of the table, else of the bundle, on the judged cells.

    The table's metadata may hold ``operating_points``, JSON: a list of points, or fold (as text) -> list of
    points that were fitted without that fold. So out-of-fold rows are read at thresholds that none of their
    subjects fitted.

    Raises:
        TableError: when a fold has no operating points.
    """
    said = json.loads(table.metadata.get("operating_points", "null"))
    if isinstance(said, dict):
        by_fold = {key: _points(value) for key, value in said.items()}
        names = [point.name for point in next(iter(by_fold.values()), [])]
        return {name: _read_by_fold(name, by_fold, table, cells) for name in names}
    points = _points(info.get("operating_points", ()) if said is None else said)
    return {point.name: _read(point, table.p, cells) for point in points}


def _points(values: Any) -> list[OperatingPoint]:
    return [
        value if isinstance(value, OperatingPoint) else parse(OperatingPoint, value, where="operating_points")
        for value in values
    ]


def _read(point: OperatingPoint, p: Floats, cells: Cells) -> OperatingPointReading:
    calls = point.decide(p)
    return OperatingPointReading(
        criterion=point.criterion,
        target=point.target,
        fitted_on=point.fitted_on,
        normal_below=point.normal_below,
        blast_from=point.blast_from,
        **read_calls(cells, calls == "blast", calls == "normal"),
    )


def _read_by_fold(
    name: str, by_fold: Mapping[str, list[OperatingPoint]], table: PredictionTable, cells: Cells
) -> OperatingPointReading:
    points = {fold: point for fold, own in by_fold.items() for point in own if point.name == name}
    folds = _folds(table)
    missing = sorted(set(folds.tolist()) - set(points))
    if missing:
        raise TableError(
            f"operating point '{name}' is not given for the folds {', '.join(map(repr, missing))}",
            hint="write the table again with 'leukoscope train --fold all'",
        )
    blast, normal = np.zeros((2, len(folds)), dtype=bool)
    for fold, point in points.items():
        calls = point.decide(np.where(folds == fold, table.p, np.nan))
        blast, normal = blast | (calls == "blast"), normal | (calls == "normal")
    first = next(iter(points.values()))
    return OperatingPointReading(
        criterion=first.criterion,
        target=first.target,
        fitted_on="; ".join(sorted({point.fitted_on for point in points.values()} - {""})),
        normal_below=None,
        blast_from=None,
        thresholds_by_fold={fold: (point.normal_below, point.blast_from) for fold, point in points.items()},
        **read_calls(cells, blast, normal),
    )


def _folds(table: PredictionTable) -> Bools:
    if "fold" not in table.judged.columns:
        return np.full(table.judged.height, "")
    return table.judged["fold"].cast(str).fill_null("").to_numpy().astype(np.str_)
