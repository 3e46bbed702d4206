"""Rows of the prediction table, from prepared cells and what the model says of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from leukoscope.bundle.format import BundleInfo
from leukoscope.bundle.read import Bundle
from leukoscope.cohort.smears import ORIGIN_COLUMNS, Origin
from leukoscope.evaluation.calibration import Calibration, blast_probability
from leukoscope.evaluation.table import COLUMNS, class_columns
from leukoscope.inference.copies import Answers
from leukoscope.inference.decide import decide
from leukoscope.inference.prepare import Prepared

_MEASURES = ("cell_width", "cell_height", "cell_area", "brightness", "stain")


def schema(info: BundleInfo, *, of_photographs: bool = False) -> dict[str, type[pl.DataType]]:
    """Columns and types of the rows that a bundle writes; of photographs with those of the cells' origin."""
    return COLUMNS | class_columns(info.classes) | (ORIGIN_COLUMNS if of_photographs else {})


def make_rows(
    cells: Sequence[Prepared], answers: Answers, bundle: Bundle, *, of_photographs: bool = False
) -> pl.DataFrame:
    """One row for every cell, in order.

    Args:
        cells: N of them, readable or not.
        answers: for those that have pixels, in order.
        bundle: whose calibration, limits and ruler apply.
        of_photographs: with columns that say where in a photograph they lie.
    """
    info = bundle.info
    columns = schema(info, of_photographs=of_photographs)
    readable = np.array([cell.pixels is not None for cell in cells], dtype=bool)
    known = _known(cells, bundle.bundle_id)
    judged = _judged(answers, info, readable)
    origins = [cell.cell.origin for cell in cells]
    places = _places(origins) if of_photographs else {}
    frame = pl.DataFrame({**known, **judged, **places}, schema_overrides=columns, strict=False)
    if info.ruler is not None:
        frame = frame.with_columns(ruler_probability=pl.Series(info.ruler.predict(frame)))
    else:
        frame = frame.with_columns(ruler_probability=pl.lit(None, pl.Float64))
    decisions, reasons = decide(
        judged["blast_probability"],
        errors=[cell.error for cell in cells],
        flags=[cell.flags for cell in cells],
        novelty=judged["novelty"],
        info=info,
        origins=origins,
    )
    named = {"decision": pl.Series(decisions, dtype=pl.Utf8), "reason": pl.Series(reasons, dtype=pl.Utf8)}
    return frame.with_columns(**named).select(list(columns)).fill_nan(None)


def _places(origins: Sequence[Origin | None]) -> dict[str, list[object]]:
    known = [origin._asdict() | {"flags": origin.flags or None} if origin else {} for origin in origins]
    return {name: [place.get(name) for place in known] for name in ORIGIN_COLUMNS}


def _known(cells: Sequence[Prepared], bundle_id: str) -> dict[str, list[object]]:
    """What the model has no say in."""
    columns: dict[str, list[object]] = {
        name: [getattr(cell.cell, name) for cell in cells]
        for name in ("cell_id", "path", "subject_id", "label", "split", "fold")
    }
    columns |= {name: [getattr(cell.measures, name, None) for cell in cells] for name in _MEASURES}
    return columns | {
        "sha256": [cell.sha256 for cell in cells],
        "quality": [",".join(cell.flags) or None for cell in cells],
        "bundle_id": [bundle_id] * len(cells),
        "error": [cell.error for cell in cells],
    }


def _judged(answers: Answers, info: BundleInfo, readable: np.ndarray) -> dict[str, np.ndarray]:
    """Logits, probabilities and novelty, NaN for cells that could not be read."""
    logits = answers.logits.reshape(-1, len(info.classes))
    probabilities = info.calibration.apply(logits)
    raw = Calibration().apply(logits)
    columns = {
        "blast_probability": blast_probability(probabilities, info.classes, info.positive_classes),
        "raw_probability": blast_probability(raw, info.classes, info.positive_classes),
        "novelty": answers.novelty,
    }
    for place, name in enumerate(info.classes):
        columns[f"probability_{name}"] = probabilities[:, place]
        columns[f"logit_{name}"] = logits[:, place]
    return {name: _spread(values, readable) for name, values in columns.items()}


def _spread(values: np.ndarray, readable: np.ndarray) -> np.ndarray:
    column = np.full(len(readable), np.nan)
    column[readable] = values
    return column
