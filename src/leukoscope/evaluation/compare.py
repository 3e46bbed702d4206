"""Two or more prediction tables on the same cells: which reads better, by how much, and where they disagree.

Every pair is read on the same draws of subjects, so what a hard subject costs the one it costs the other too
(:mod:`leukoscope.evaluation.paired`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field

from leukoscope.cohort.manifest import Manifest
from leukoscope.core.config import Config
from leukoscope.core.provenance import RESEARCH_USE_ONLY, provenance
from leukoscope.errors import TableError, UsageError
from leukoscope.evaluation import metrics
from leukoscope.evaluation.bootstrap import CONFIDENCE, NUM_DRAWS, IntervalMethod
from leukoscope.evaluation.cell_tests import DeLong, McNemar
from leukoscope.evaluation.curves import Roc, roc
from leukoscope.evaluation.judged_rows import (
    check_unique,
    fitting_roles,
    knowing_classes,
    marks,
    rows_to_judge,
)
from leukoscope.evaluation.paired import Difference, differences
from leukoscope.evaluation.readings import Bools, Cells, Judgement, Metric
from leukoscope.evaluation.table import PredictionTable
from leukoscope.evaluation.worst_cells import PER_SUBJECT

SCHEMA_VERSION = 1
NUM_DISPUTED = 24
MOST_TABLES = 12


class Pair(Config):
    """One table beside another.

    Attributes:
        first, second: their names.
        differences: name -> first less second, for every metric.
        adjusted_p: name -> the p value of that difference, corrected by Holm (1979) for all pairs of this
            comparison; ``None`` where there is none.
        mcnemar, delong: tests that ignore subjects.
    """

    first: str
    second: str
    differences: dict[str, Difference]
    adjusted_p: dict[str, float | None]
    mcnemar: McNemar
    delong: DeLong


class DisputedCell(Config):
    """A cell that not all tables call the same.

    Attributes:
        cell_id, subject_id, label: which cell, whose, and what it is.
        probabilities: name of the table -> blast probability.
        path, sha256: of the image file, where known.
    """

    cell_id: str
    subject_id: str | None
    label: str
    probabilities: dict[str, float]
    path: str | None = None
    sha256: str | None = None


class Comparison(Config):
    """What a comparison finds; ``report.json`` is this document.

    Attributes:
        stamps: what must be said first: ``LEAKY``, ``SYNTHETIC``, ``SUBJECTS UNKNOWN``.
        notes: what a reader should know, in sentences.
        names: of the tables, in the order given.
        left_out: name -> judged cells of the table that not all others have; they are in nothing here.
        metrics: name of the table -> name of the metric -> its reading on the shared cells.
        pairs: every table with every later one.
        num_disputed: cells that not all tables call the same.
        disputed: those on which the probabilities lie furthest apart.
        rocs: name of the table -> its curve.
        probabilities: name of the table -> (N,), with ``blasts`` the labels; not in ``report.json``.
        root: where the images are, not in ``report.json``.
    """

    schema_version: int = SCHEMA_VERSION
    research_use_only: str
    stamps: list[str]
    notes: list[str]
    names: list[str]
    positive_classes: list[str]
    num_cells: int
    num_blasts: int
    num_normals: int
    num_subjects: int | None
    left_out: dict[str, int]
    threshold: float
    confidence_level: float = CONFIDENCE
    num_draws: int
    seed: int
    interval: IntervalMethod
    metrics: dict[str, dict[str, Metric]]
    pairs: list[Pair]
    num_disputed: int
    disputed: list[DisputedCell]
    rocs: dict[str, Roc | None]
    provenance: dict[str, Any]
    blasts: list[bool] = Field(exclude=True, repr=False)
    probabilities: dict[str, list[float]] = Field(exclude=True, repr=False)
    root: Path | None = Field(default=None, exclude=True, repr=False)

    def to_json(self) -> dict[str, Any]:
        """The content of ``report.json``: plain data without NaN."""
        return self.model_dump(mode="json")


def compare(
    tables: Mapping[str, PredictionTable],
    *,
    data: Manifest | None = None,
    threshold: float = 0.5,
    draws: int = NUM_DRAWS,
    seed: int = 0,
    interval: IntervalMethod = "expanded",
) -> Comparison:
    """Judge tables on the cells that all of them judge, and set each beside each.

    Where the rows of a table have roles (``split``), only those of the test set are judged.

    Args:
        tables: by the names that they are to have, at least two.
        data: manifest of the cells, for the pictures.
        threshold: metrics that need one call a cell a blast from this probability on.
        draws: of the subject bootstrap; 0 gives no intervals.
        seed: of the draws.
        interval: how intervals are made of the draws.

    Raises:
        UsageError: for fewer than two tables or more than twelve, or a threshold beyond 0..1.
        TableError: when the tables share no cell, or disagree about whose or what a cell is.
    """
    _check_arguments(tables, threshold, draws)
    chosen = {name: rows_to_judge(knowing_classes(table, {}, data))[0] for name, table in tables.items()}
    shared = shared_cells(chosen)
    ids = None if (shared["subject_id"] == "").any() else shared["subject_id"].to_numpy().astype(np.str_)
    cells = Cells(shared["blast"].to_numpy(), ids, draws, seed, interval)
    judged = {
        name: Judgement(cells, shared[f"p{number}"].to_numpy(), threshold)
        for number, name in enumerate(chosen)
    }
    disputed = _disputed(shared, list(chosen), threshold, data)
    return Comparison(
        research_use_only=RESEARCH_USE_ONLY,
        stamps=_stamps(chosen.values(), data, ids),
        notes=_notes(chosen, shared),
        names=list(chosen),
        positive_classes=list(next(iter(chosen.values())).positive_classes),
        num_cells=shared.height,
        num_blasts=int(cells.y.sum()),
        num_normals=int((~cells.y).sum()),
        num_subjects=None if ids is None else len(cells.subjects.names),
        left_out={name: len(table.p) - shared.height for name, table in chosen.items()},
        threshold=threshold,
        num_draws=draws,
        seed=seed,
        interval=interval,
        metrics={name: judgement.metrics for name, judgement in judged.items()},
        pairs=_pairs(judged),
        num_disputed=disputed.height,
        disputed=_rows(disputed, list(chosen)),
        rocs={name: roc(cells.y, judgement.p) for name, judgement in judged.items()},
        provenance=provenance(),
        blasts=cells.y.tolist(),
        probabilities={name: judgement.p.tolist() for name, judgement in judged.items()},
        root=_root(chosen.values(), data),
    )


def shared_cells(tables: Mapping[str, PredictionTable]) -> pl.DataFrame:
    """The cells that every table judges, in the order of the first: ``cell_id``, ``subject_id`` (empty where
    unknown), ``label``, ``blast``, ``path``, ``sha256``, and ``p0``, ``p1``, ... in the order of the tables.

    Raises:
        TableError: for a cell that a table judges twice, when the tables share no cell, or when they disagree
            about whose or what a cell is.
    """
    parts = [_facts(name, table, number) for number, (name, table) in enumerate(tables.items())]
    shared = reduce(_joined, parts)
    if not shared.height:
        raise TableError(
            "the tables share no labelled, readable cell", hint="compare predictions on one data set"
        )
    return shared


def _facts(name: str, table: PredictionTable, number: int) -> pl.DataFrame:
    try:
        check_unique(table)
    except TableError as error:
        raise TableError(f"{name}: {error.message}", hint=error.hint) from None
    known = [column for column in ("path", "sha256") if column in table.judged.columns]
    return table.judged.select("cell_id", "label", *known).with_columns(
        pl.Series("subject_id", table.subjects.tolist(), dtype=pl.Utf8),
        pl.Series("blast", table.y),
        pl.Series(f"p{number}", table.p),
    )


def _joined(first: pl.DataFrame, second: pl.DataFrame) -> pl.DataFrame:
    both = first.join(second, on="cell_id", how="inner", suffix="_other", maintain_order="left")
    disagree = both.filter(
        (pl.col("blast") != pl.col("blast_other")) | (pl.col("subject_id") != pl.col("subject_id_other"))
    )
    if disagree.height:
        raise TableError(
            f"the tables disagree on label or subject of {disagree.height:,} cells, "
            f"the first is '{disagree['cell_id'][0]}'",
            hint="predict all from one manifest",
        )
    return both.select(name for name in both.columns if not name.endswith("_other"))


def _pairs(judged: Mapping[str, Judgement]) -> list[Pair]:
    names = list(combinations(judged, 2))
    found = [differences(judged[one], judged[other], metrics.NAMES) for one, other in names]
    adjusted = {name: holm([each[name].p_value for each in found]) for name in metrics.NAMES}
    return [
        Pair(
            first=one,
            second=other,
            differences=found[number],
            adjusted_p={name: adjusted[name][number] for name in metrics.NAMES},
            mcnemar=McNemar.of(*(_right(judged[name]) for name in (one, other))),
            delong=DeLong.of(judged[one].cells.y, judged[one].p, judged[other].p),
        )
        for number, (one, other) in enumerate(names)
    ]


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Corrected for how many there are: the smallest times their number, the next times one less (Holm 1979).

    >>> holm([0.01, None, 0.04, 0.03])
    [0.03, None, 0.06, 0.06]
    """
    given = sorted((value, place) for place, value in enumerate(p_values) if value is not None)
    corrected: list[float | None] = [None] * len(p_values)
    least = 0.0
    for rank, (value, place) in enumerate(given):
        least = max(least, min(1.0, value * (len(given) - rank)))
        corrected[place] = least
    return corrected


def _right(judgement: Judgement) -> Bools:
    return np.asarray((judgement.p >= judgement.threshold) == judgement.cells.y)


def _disputed(
    shared: pl.DataFrame, names: list[str], threshold: float, data: Manifest | None
) -> pl.DataFrame:
    """Cells that not all tables call the same, the widest spread first, with the paths of ``data``."""
    p = [pl.col(f"p{number}") for number in range(len(names))]
    calls = [one >= threshold for one in p]
    differ = pl.any_horizontal(calls) & ~pl.all_horizontal(calls)
    spread = pl.max_horizontal(p) - pl.min_horizontal(p)
    found = shared.filter(differ).with_columns(spread=spread)
    if data is not None:
        facts = data.frame.select("cell_id", "path", "sha256")
        found = found.drop("path", "sha256", strict=False).join(facts, on="cell_id", how="left")
    return found.sort("spread", "cell_id", descending=[True, False])


def _rows(disputed: pl.DataFrame, names: list[str]) -> list[DisputedCell]:
    few = disputed.filter(pl.int_range(pl.len()).over("subject_id", "blast") < PER_SUBJECT)
    return [
        DisputedCell(
            cell_id=row["cell_id"],
            subject_id=row["subject_id"] or None,
            label=row["label"],
            probabilities={name: row[f"p{number}"] for number, name in enumerate(names)},
            path=row.get("path"),
            sha256=row.get("sha256"),
        )
        for row in few.head(NUM_DISPUTED).iter_rows(named=True)
    ]


def _check_arguments(tables: Mapping[str, PredictionTable], threshold: float, draws: int) -> None:
    if not 2 <= len(tables) <= MOST_TABLES:
        raise UsageError(
            f"expected 2 to {MOST_TABLES} tables. Received: {len(tables)}",
            hint="one alone: leukoscope evaluate",
        )
    if not 0 <= threshold <= 1:
        raise UsageError(f"expected a threshold in 0..1. Received: {threshold}")
    if draws < 0:
        raise UsageError(f"expected 0 draws or more. Received: {draws}")


def _stamps(
    tables: Iterable[PredictionTable], data: Manifest | None, ids: npt.NDArray[np.str_] | None
) -> list[str]:
    origins = [table.metadata for table in tables] + ([] if data is None else [data.metadata])
    return marks(origins) + (["SUBJECTS UNKNOWN"] if ids is None else [])


def _notes(tables: Mapping[str, PredictionTable], shared: pl.DataFrame) -> list[str]:
    notes = []
    for name, table in tables.items():
        if alone := len(table.p) - shared.height:
            notes.append(f"{alone:,} cells of {name} are not in every other table, and are in nothing here.")
        if roles := fitting_roles(table):
            notes.append(f"{name}: no row is of the test set; its {', '.join(roles)} rows fitted the model.")
    if missing := int((shared["subject_id"] == "").sum()):
        notes.append(f"No interval is given: {missing:,} cells have no subject, and cells of one are alike.")
    return notes


def _root(tables: Iterable[PredictionTable], data: Manifest | None) -> Path | None:
    if data is not None:
        return data.root
    roots = [table.metadata["root"] for table in tables if table.metadata.get("root")]
    return Path(roots[0]) if roots else None
