"""``study.csv``: one line a recipe, every figure of the page in a column of its own."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from leukoscope.core.files import write_text
from leukoscope.evaluation.paired import Difference
from leukoscope.evaluation.readings import Metric
from leukoscope.studies.pretrained import NOT_PRESENT
from leukoscope.studies.study_rows import SHOWN, Reading, Row
from leukoscope.studies.suite import READINGS, WeightsName

WEIGHTS: tuple[WeightsName, ...] = ("none", "pretrained")
RANDOM_IN_DOCUMENT = "random weights in the document"
NOT_ASKED = "not asked for"


def write_table(rows: Sequence[Row], path: Path) -> None:
    """Write the rows as CSV; a figure that is not there is empty, and ``..._status`` says why.

    Columns begin with the weights that the run started from (``none``, ``pretrained``) and the reading
    (``image``, which is leaky, or ``subject``).
    """
    lines = [_line(row) for row in rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    write_text(path, text.getvalue())


def status_of(row: Row, weights: WeightsName, reading: str) -> str:
    """In words, why there are no figures here; ``done`` where there are."""
    found = {str(name): value for name, value in row.readings.get(weights, {}).items()}.get(reading)
    if found is None:
        if weights == "pretrained" and row.starts_random:
            return RANDOM_IN_DOCUMENT
        return NOT_ASKED
    if found.status in ("done", "absent"):
        return "done" if found.status == "done" else NOT_PRESENT
    return f"{found.status}: {found.reason}"


def _line(row: Row) -> dict[str, Any]:
    line: dict[str, Any] = {
        "recipe": row.recipe,
        "published_accuracy": row.published.accuracy,
        "published_loss": row.published.loss,
        "published_words": row.published.words,
        "parameters": row.need.parameters if row.need else None,
        "multiply_adds": row.need.multiply_adds if row.need else None,
    }
    for weights in WEIGHTS:
        for reading in READINGS:
            head = f"{weights}_{reading}_"
            found = row.readings.get(weights, {}).get(reading)
            line[f"{head}status"] = status_of(row, weights, reading)
            line |= {f"{head}{name}": value for name, value in _figures(found).items()}
        for name in SHOWN:
            difference = row.leak.get(weights, {}).get(name)
            line |= {f"{weights}_leak_{name}{end}": value for end, value in _difference(difference).items()}
    return line


def _figures(reading: Reading | None) -> dict[str, Any]:
    """The columns of one reading; all of them, empty or not, in one order."""
    known = reading or Reading(status="absent")
    cost = known.cost
    figures: dict[str, Any] = {
        "protocol": known.parting.protocol if known.parting else None,
        "protocol_words": known.parting.words if known.parting else None,
        "stamps": " ".join(known.stamps),
        "seeds": len(known.seeds) or None,
        "cells": known.num_cells or None,
        "subjects": known.num_subjects,
    }
    for name in SHOWN:
        figures |= {f"{name}{end}": value for end, value in _metric(known.metrics.get(name)).items()}
        figures[f"size_{name}"] = known.size[name].estimate if name in known.size else None
    gap = known.gap
    return figures | {
        "train_accuracy": gap.train_accuracy if gap else None,
        "validation_accuracy": gap.validation_accuracy if gap else None,
        "train_loss": gap.train_loss if gap else None,
        "validation_loss": gap.validation_loss if gap else None,
        "training_seconds": cost.seconds if cost else None,
        "cells_per_second": cost.cells_per_second if cost else None,
        "predicted_per_second": cost.predicted_per_second if cost else None,
        "memory_bytes": cost.memory_bytes if cost else None,
        "gpu_bytes": cost.gpu_bytes if cost else None,
        "energy_joules": cost.energy.joules if cost and cost.energy else None,
    }


def _metric(metric: Metric | None) -> dict[str, float | None]:
    if metric is None:
        return {"": None, "_ci_low": None, "_ci_high": None}
    return {"": metric.estimate, "_ci_low": metric.ci_low, "_ci_high": metric.ci_high}


def _difference(difference: Difference | None) -> dict[str, float | None]:
    if difference is None:
        return {"": None, "_ci_low": None, "_ci_high": None}
    return {"": difference.difference, "_ci_low": difference.ci_low, "_ci_high": difference.ci_high}
