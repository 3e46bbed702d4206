"""From a prediction table to a report: every number with its interval, its base and its reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from leukoscope.cells.corrupt import Corruption
from leukoscope.cohort.manifest import Manifest
from leukoscope.core.provenance import RESEARCH_USE_ONLY, provenance
from leukoscope.errors import UsageError
from leukoscope.evaluation import curves
from leukoscope.evaluation.benefit import PREVALENCES, decision_curve, predictive_values
from leukoscope.evaluation.bootstrap import NUM_DRAWS, IntervalMethod
from leukoscope.evaluation.corruptions import read_corruptions
from leukoscope.evaluation.folds import FoldReading, read_folds
from leukoscope.evaluation.guideline_answers import bundle_answers, prediction_answers
from leukoscope.evaluation.guidelines import crosswalk
from leukoscope.evaluation.in_short import in_short
from leukoscope.evaluation.judged_rows import (
    check_unique,
    fitting_roles,
    folds,
    knowing_classes,
    marks,
    rows_to_judge,
    subject_ids,
)
from leukoscope.evaluation.label_suspects import LabelSuspects, label_suspects
from leukoscope.evaluation.leak import NOT_CHECKED, Leak, check_leak
from leukoscope.evaluation.model_facts import BundleFacts, plain, read_operating_points
from leukoscope.evaluation.near_leak import with_near_copies
from leukoscope.evaluation.paired import differences
from leukoscope.evaluation.partitions import aligned
from leukoscope.evaluation.per_class import class_rows
from leukoscope.evaluation.readings import Bools, Cells, Floats, Judgement
from leukoscope.evaluation.reliability import read_calibration
from leukoscope.evaluation.results import Baselines, ConfusionMatrix, Model, Report, Unreadable
from leukoscope.evaluation.selective import risk_coverage
from leukoscope.evaluation.size_baseline import SizeBaseline, size_baseline
from leukoscope.evaluation.size_matched import (
    box_areas,
    overlap_weights,
    read_size_matched,
)
from leukoscope.evaluation.subgroups import subgroups, with_measures
from leukoscope.evaluation.subject_table import subject_means, subject_rows
from leukoscope.evaluation.table import PredictionTable
from leukoscope.evaluation.worst_cells import worst_cells

MOST_UNREADABLE = 100


def evaluate(
    table: PredictionTable | Path | str,
    *,
    bundle_info: BundleFacts | None = None,
    train: Manifest | pl.DataFrame | None = None,
    data: Manifest | None = None,
    threshold: float = 0.5,
    draws: int = NUM_DRAWS,
    seed: int = 0,
    interval: IntervalMethod = "expanded",
    prevalences: Sequence[float] = PREVALENCES,
    near: bool = False,
    corrupted: Mapping[Corruption, pl.DataFrame] | None = None,
    repeats: Sequence[PredictionTable] = (),
) -> Report:
    """Judge predictions against labels, with subjects as the unit.

    Rows that could not be read are in no metric, indeterminate ones are in all. Where the rows have roles
    (``split``), only those of the test set are judged: the others fitted the model.

    Args:
        table: the predictions, or the file that holds them.
        bundle_info: ``bundle.json`` of the model, for its operating points and stamps.
        train: cells that fitted the model, to look for overlap (see :func:`check_leak`).
        data: manifest of the cells, for the size baseline and the pictures.
        threshold: metrics that need one call a cell a blast from this probability on.
        draws: of the subject bootstrap; 0 gives no intervals.
        seed: of the draws.
        interval: how intervals are made of the draws.
        prevalences: shares of blasts for which predictive values are given.
        near: also compare the pictures of ``data`` with those that fitted the model: near copies.
        corrupted: rows of the same cells with something wrong (see :func:`read_corruptions`).
        repeats: further out-of-fold predictions of the same cells, from other seeds or folds: a label is
            called into doubt where all contradict it.

    Raises:
        TableError: for a table that cannot be judged.
        UsageError: for a threshold or prevalence beyond 0..1, fewer than 0 draws, near copies to be found
            without ``data`` and ``train``, or repeats that are no out-of-fold rows.

    >>> rows = {"cell_id": ["a", "b"], "subject_id": ["1", "H1"], "label": ["blast", "normal"]}
    >>> report = evaluate(PredictionTable(pl.DataFrame(rows | {"blast_probability": [0.9, 0.2]})))
    >>> report.metrics["auroc"].estimate, report.metrics["auroc"].reason
    (1.0, 'no interval: 1 subjects in a class, 5 are needed')
    """
    _check_arguments(threshold, draws)
    if near and (data is None or train is None):
        raise UsageError(
            "near copies are found in pictures: of the judged cells, and of those that fitted the model",
            hint="give --data SOURCE, and --train MANIFEST or the bundle",
        )
    table = table if isinstance(table, PredictionTable) else PredictionTable.read(table)
    info = plain(bundle_info)
    table = knowing_classes(table, info, data)
    judged, num_other_roles = rows_to_judge(table)
    check_unique(judged)
    cells = Cells(judged.y, subject_ids(judged), draws, seed, interval)
    model = Judgement(cells, judged.p, threshold)
    size = size_baseline(judged, data)
    beside, ruler, known = _same_cells(model, size)
    made_by = _model(judged, info)
    measured = with_measures(judged.judged, data)
    weights = overlap_weights(judged.y, box_areas(measured))
    leak = _leak(judged, train, info, made_by, data if near else None)
    rows = subject_rows(judged.judged, judged.y, judged.p, threshold=threshold)
    by_fold = _folds(judged, model)
    report = Report(
        research_use_only=RESEARCH_USE_ONLY,
        stamps=_stamps(_origins(table, info, train, data), cells, leak),
        notes=_notes(judged, cells, num_other_roles, made_by),
        class_names=list(table.classes),
        positive_classes=list(table.positive_classes),
        num_rows=table.frame.height,
        num_cells=len(judged.p),
        num_blasts=int(judged.y.sum()),
        num_normals=int((~judged.y).sum()),
        num_subjects=None if cells.subject_ids is None else len(cells.subjects.names),
        num_unreadable=judged.num_unreadable,
        num_unlabelled=judged.num_unlabelled,
        num_other_roles=num_other_roles,
        threshold=threshold,
        num_draws=draws,
        seed=seed,
        interval=interval,
        metrics=model.metrics,
        baselines=Baselines(
            size=ruler.metrics if ruler else None, size_source=size.source, size_reason=size.reason
        ),
        model_minus_size=differences(beside, ruler) if beside and ruler else None,
        size_matched=read_size_matched([model], weights),
        size_size_matched=read_size_matched([ruler], weights[known]) if ruler is not None else None,
        subgroups=subgroups(measured, model),
        folds=by_fold,
        operating_points=read_operating_points(judged, cells, info),
        decisions=_decisions(judged),
        calibration=read_calibration(model),
        predictive_values=predictive_values(model, prevalences),
        decision_curve=decision_curve(beside or model, ruler),
        risk_coverage=risk_coverage(beside or model, ruler),
        confusion_matrix=ConfusionMatrix.of(model),
        classes=class_rows(judged, cells),
        subjects=rows,
        subject_means=subject_means(rows, judged.positive_classes, draws=draws, seed=seed, method=interval),
        curves=_curves(model, ruler),
        worst_cells=worst_cells(_with_paths(judged.judged, data), judged.y, judged.p, threshold=threshold),
        label_suspects=_label_suspects(
            judged, by_fold, [rows_to_judge(knowing_classes(one, info, data))[0] for one in repeats], data
        ),
        unreadable=_unreadable(judged),
        leak=leak,
        model=made_by,
        provenance=provenance(),
        corruptions=read_corruptions(model, judged.judged, corrupted) if corrupted else None,
        table=table,
        root=_root(table, data),
    )
    answers = crosswalk(
        predictions=prediction_answers(report), bundle={} if made_by.is_another else bundle_answers(info)
    )
    return report.model_copy(update={"in_short": in_short(report), "guidelines": answers})


def _check_arguments(threshold: float, draws: int) -> None:
    if not 0 <= threshold <= 1:
        raise UsageError(f"expected a threshold in 0..1. Received: {threshold}")
    if draws < 0:
        raise UsageError(f"expected 0 draws or more. Received: {draws}")


def _same_cells(model: Judgement, size: SizeBaseline) -> tuple[Judgement | None, Judgement | None, Bools]:
    """The model and the ruler on the cells of known size, and which these are; ``None`` where there is no
    ruler."""
    known = size.known()
    if size.p is None or known is None:
        return None, None, np.zeros(len(model.p), dtype=np.bool_)
    return model.part(known), Judgement(model.cells, size.p, model.threshold).part(known), known


def _folds(table: PredictionTable, model: Judgement) -> FoldReading | None:
    of_cells = folds(table)
    return None if of_cells is None else read_folds(model, of_cells)


def _label_suspects(
    table: PredictionTable,
    by_fold: FoldReading | None,
    repeats: Sequence[PredictionTable],
    data: Manifest | None,
) -> LabelSuspects | None:
    ids = subject_ids(table)
    if repeats and any(folds(one) is None for one in (table, *repeats)):
        raise UsageError(
            "repeats are for cross-validated tables, and one of these is none",
            hint="give pooled out-of-fold rows, with the fold of every cell",
        )
    if by_fold is None or by_fold.num_shared_subjects or ids is None:
        return None
    p = [one.p for one in aligned([table, *repeats])]
    return label_suspects(_with_paths(table.judged, data), table.y, p, ids)


def _model(table: PredictionTable, info: Mapping[str, Any]) -> Model:
    column = table.frame["bundle_id"] if "bundle_id" in table.frame.columns else pl.Series(dtype=pl.Utf8)
    ids = column.drop_nulls().unique().sort().to_list()
    named = table.metadata.get("bundle_id")
    return Model(
        bundle_ids=tuple(ids or ([named] if named else [])),
        name=info.get("name"),
        asked=info.get("bundle_id"),
        quantisation=info.get("quantisation"),
    )


def _leak(
    table: PredictionTable,
    train: Manifest | pl.DataFrame | None,
    info: Mapping[str, Any],
    made_by: Model,
    pictures: Manifest | None,
) -> Leak | str:
    if train is None or made_by.is_another:
        return NOT_CHECKED
    privacy = info.get("privacy") or {}
    salt = privacy.get("salt") if privacy.get("hashed") and isinstance(train, pl.DataFrame) else None
    leak = check_leak(table.judged, train, salt=salt)
    if pictures is None:
        return leak
    return with_near_copies(leak, table.judged, pictures, train, salt=salt)


def _origins(
    table: PredictionTable,
    info: Mapping[str, Any],
    train: Manifest | pl.DataFrame | None,
    data: Manifest | None,
) -> list[Mapping[str, Any]]:
    """What each source says of itself; a mark on one of them is a mark on the report."""
    manifests = [source.metadata for source in (train, data) if isinstance(source, Manifest)]
    return [table.metadata, info.get("training_data") or {}, *manifests]


def _stamps(origins: list[Mapping[str, Any]], cells: Cells, leak: Leak | str) -> list[str]:
    said = marks(origins)
    if isinstance(leak, Leak) and leak.found:
        said.append("LEAK FOUND")
    return said + (["SUBJECTS UNKNOWN"] if len(cells.y) and cells.subject_ids is None else [])


def _notes(table: PredictionTable, cells: Cells, num_other_roles: int, made_by: Model) -> list[str]:
    missing = int((table.subjects == "").sum())
    known = cells.subject_ids is not None
    mixed = cells.subjects.names[cells.subjects.mixed].tolist() if known else []
    fitted = fitting_roles(table)
    repeated, p = _repeated(table), table.p
    notes = [
        (num_other_roles, f"{num_other_roles:,} rows of other roles than test are not judged."),
        (fitted, f"No row is of the test set; judged are {', '.join(fitted)} rows, which fitted the model."),
        (missing, f"No interval is given: {missing:,} cells have no subject, and cells of one are alike."),
        (repeated, f"{repeated:,} judged cells are files that are in the table under another name, too."),
        (
            _votes(cells, p),
            "All cells of a subject have one probability: these are judgements of subjects, not of cells.",
        ),
        (mixed, f"Subjects with cells of both kinds, resampled by themselves: {', '.join(mixed[:10])}."),
        (
            made_by.is_another,
            f"The rows were written by bundle {', '.join(made_by.bundle_ids)}, not by {made_by.asked}: "
            "overlap with its training was not checked, and its operating points are not made for them.",
        ),
    ]
    return [text for holds, text in notes if holds]


def _repeated(table: PredictionTable) -> int:
    """Judged cells whose very file, by SHA-256, an earlier row has."""
    if "sha256" not in table.judged.columns:
        return 0
    known = table.judged["sha256"].drop_nulls()
    return len(known) - known.n_unique()


def _votes(cells: Cells, p: Floats) -> bool:
    """Whether the table holds one judgement a subject, such as its majority's, for every cell of it."""
    if cells.subject_ids is None:
        return False
    size = np.bincount(cells.subjects.index)
    spread = (
        pl.DataFrame({"subject": cells.subjects.index, "p": p})
        .group_by("subject")
        .agg(pl.col("p").n_unique())
    )
    return bool((size > 1).sum() > 1 and (spread["p"] == 1).all() and len(np.unique(p)) > 1)


def _decisions(table: PredictionTable) -> dict[str, int]:
    if "decision" not in table.judged.columns:
        return {}
    counted = table.judged["decision"].drop_nulls().value_counts(sort=True)
    return {str(name): int(number) for name, number in counted.iter_rows()}


def _curves(model: Judgement, ruler: Judgement | None) -> curves.Curves:
    y, p = model.cells.y, model.p
    return curves.Curves(
        roc=curves.roc(y, p),
        roc_size=curves.roc(ruler.cells.y, ruler.p) if ruler else None,
        precision_recall=curves.precision_recall(y, p),
        precision_recall_size=curves.precision_recall(ruler.cells.y, ruler.p) if ruler else None,
        histogram=curves.histogram(y, p),
    )


def _with_paths(judged: pl.DataFrame, data: Manifest | None) -> pl.DataFrame:
    if data is None:
        return judged
    facts = data.frame.select("cell_id", "path", "sha256")
    return judged.drop("path", "sha256", strict=False).join(
        facts, on="cell_id", how="left", maintain_order="left"
    )


def _unreadable(table: PredictionTable) -> list[Unreadable]:
    rows = table.unreadable.head(MOST_UNREADABLE)
    columns = [name for name in ("cell_id", "path", "error") if name in rows.columns]
    return [Unreadable(**row) for row in rows.select(columns).iter_rows(named=True)]


def _root(table: PredictionTable, data: Manifest | None) -> Path | None:
    if data is not None:
        return data.root
    return Path(table.metadata["root"]) if table.metadata.get("root") else None
