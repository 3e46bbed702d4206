"""``leukoscope evaluate``: what predictions are worth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from leukoscope.cli.failures import FAILED, keeping
from leukoscope.cli.output import IntervalName, Json, Positive, names_in, print_json, print_table, reading

if TYPE_CHECKING:
    import polars as pl

    from leukoscope.bundle.read import Bundle
    from leukoscope.cells.corrupt import Corruption
    from leukoscope.cohort.manifest import Manifest
    from leukoscope.evaluation.results import Report
    from leukoscope.evaluation.table import PredictionTable

Part = Literal["train", "validation", "calibration", "test"]


def evaluate(
    target: Annotated[
        str,
        typer.Argument(
            metavar="PREDICTIONS|BUNDLE", help="A table (.csv, .parquet, .jsonl), or a bundle and --data."
        ),
    ],
    *,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="REPORT", help="Folder of the report.")
    ] = None,
    bundle: Annotated[
        str | None,
        typer.Option(
            metavar="BUNDLE", help="What made the table: for operating points and overlap with training."
        ),
    ] = None,
    train: Annotated[
        Path | None,
        typer.Option(metavar="MANIFEST", help="Cells that fitted the model, instead of a bundle."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="SOURCE", help="The cells: for the size baseline and the pictures.")
    ] = None,
    part: Annotated[
        Part | None, typer.Option("--split", help="Part of SOURCE that a bundle is judged on; default test.")
    ] = None,
    threshold: Annotated[
        float, typer.Option(help="A cell is called a blast from this probability on.")
    ] = 0.5,
    prevalence: Annotated[
        list[float] | None,
        typer.Option(help="Share of blasts for which predictive values are given; may be repeated."),
    ] = None,
    interval: Annotated[
        IntervalName, typer.Option(help="How 95 % intervals are made of 2,000 draws of subjects.")
    ] = "expanded",
    near: Annotated[
        bool,
        typer.Option("--near", help="Also look for near copies of training pictures; needs --data."),
    ] = False,
    positive: Positive = "",
    corruptions: Annotated[
        bool,
        typer.Option("--corruptions", help="Judge a bundle also on blurred, dimmed ... copies of the cells."),
    ] = False,
    repeats: Annotated[
        list[Path] | None,
        typer.Option(
            "--repeat",
            metavar="PREDICTIONS",
            help="Out-of-fold rows of the same cells by other seeds or folds: labels that all contradict are "
            "worth a second look. May be repeated.",
        ),
    ] = None,
    as_json: Json = False,
) -> int:
    """Judge predictions, or a bundle on cells.

    Subjects are the unit of the intervals, and the size of the cells alone is judged beside the model.
    """
    from leukoscope.errors import UsageError
    from leukoscope.evaluation.benefit import PREVALENCES
    from leukoscope.evaluation.evaluate import evaluate as judge
    from leukoscope.evaluation.report import write_report
    from leukoscope.evaluation.table import PredictionTable

    with keeping("nothing was written"):
        corrupted = None
        if is_table(target):
            if corruptions:
                raise UsageError(
                    "--corruptions is for judging a bundle: the pictures must be read again",
                    hint="leukoscope evaluate BUNDLE --data SOURCE --corruptions",
                )
            table, opened, manifest = _read_table(
                target, bundle, train, data, part, positive=names_in(positive)
            )
        else:
            if positive:
                raise UsageError("--positive is for judging a table", hint="a bundle knows its classes")
            table, opened, manifest, cells = _predict(target, bundle, train, data, part)
            corrupted = _corrupted(opened, cells) if corruptions else None
        report = judge(
            table,
            bundle_info=None if opened is None else facts(opened),
            train=_fitting(opened, train),
            data=manifest,
            threshold=threshold,
            interval=interval,
            prevalences=prevalence or PREVALENCES,
            near=near,
            corrupted=corrupted,
            repeats=[PredictionTable.read(path) for path in repeats or ()],
        )
        page = None if out is None else write_report(report, out)
    if as_json:
        print_json(report.to_json())
    else:
        print_report(report)
        if page is not None:
            print(f"report: {page}")
    failed = not is_table(target) and report.num_unreadable > 0
    return FAILED if failed else 0


def is_table(target: str) -> bool:
    """Whether this names a prediction table rather than a bundle.

    >>> is_table("cells.csv"), is_table("starter"), is_table("model.leuko")
    (True, False, False)
    """
    return Path(target).suffix.lower() in (".csv", ".parquet", ".jsonl")


def _read_table(
    target: str,
    bundle: str | None,
    train: Path | None,
    data: Path | None,
    part: Part | None,
    *,
    positive: tuple[str, ...],
) -> tuple[PredictionTable, Bundle | None, Manifest | None]:
    from leukoscope.bundle.read import open_bundle
    from leukoscope.cohort.open import open_cohort
    from leukoscope.errors import UsageError
    from leukoscope.evaluation.table import PredictionTable

    if bundle is not None and train is not None:
        raise UsageError("expected --bundle or --train, got both", hint="a bundle knows what fitted it")
    if part is not None:
        raise UsageError("--split is for judging a bundle", hint="of a table the test rows are judged")
    table = PredictionTable.read(target, positive=positive)
    opened = None if bundle is None else open_bundle(bundle)
    return table, opened, None if data is None else open_cohort(data)


def _predict(
    target: str, bundle: str | None, train: Path | None, data: Path | None, part: Part | None
) -> tuple[PredictionTable, Bundle, Manifest, Manifest]:
    """The rows of the part asked for, the bundle, all of SOURCE, and that part."""
    from leukoscope.bundle.read import open_bundle
    from leukoscope.cohort.open import open_cohort
    from leukoscope.core.progress import say
    from leukoscope.errors import UsageError
    from leukoscope.inference.predict import predict

    if bundle is not None or train is not None:
        raise UsageError(
            "--bundle and --train are for judging a table", hint=f"{target} knows what fitted it"
        )
    if data is None:
        raise UsageError(f"judging the bundle {target} needs --data SOURCE", hint="name labelled cells")
    opened = open_bundle(target)
    manifest = open_cohort(data)
    if manifest.is_split or part is not None:
        cells = manifest.part(part or "test")
    else:
        cells = labelled(manifest)
        say(f"{data} has no split: judging all {len(cells):,} labelled cells")
    if not len(cells):
        raise UsageError(f"{data}: no cell to judge", hint="name a part with labelled cells: --split")
    table = predict(opened, cells).table
    assert table is not None
    return table, opened, manifest, cells


def _corrupted(bundle: Bundle, cells: Manifest) -> dict[Corruption, pl.DataFrame]:
    from leukoscope.inference.corruptions import predict_corrupted

    return predict_corrupted(bundle, cells)


def labelled(manifest: Manifest) -> Manifest:
    """The cells that have a label."""
    return manifest.with_frame(manifest.frame.drop_nulls("label"))


def facts(bundle: Bundle) -> dict[str, Any]:
    """The content of ``bundle.json`` with the id, as an evaluation wants it."""
    return {**bundle.info.model_dump(), "bundle_id": bundle.bundle_id}


def _fitting(bundle: Bundle | None, train: Path | None) -> Manifest | pl.DataFrame | None:
    from leukoscope.cohort.manifest import Manifest

    if bundle is not None:
        return bundle.subjects
    return None if train is None else Manifest.read(train)


def print_report(report: Report) -> None:
    """Print the model beside the ruler, the frozen operating points, and what must be said first."""
    for stamp in report.stamps:
        print(f"[{stamp}]")
    print(
        f"{report.num_cells:,} cells of {report.num_subjects or 'unknown'} subjects; "
        f"{report.num_unreadable:,} unreadable; threshold {report.threshold:g}"
    )
    size = report.baselines.size or {}
    rows = [
        (name, reading(metric), reading(size[name]) if name in size else None)
        for name, metric in report.metrics.items()
    ]
    print_table(("metric", "model", "size alone"), rows)
    _print_corruptions(report)
    for name, point in report.operating_points.items():
        told = f"{name}: sensitivity {reading(point.sensitivity)}, specificity {reading(point.specificity)}"
        left = point.share_indeterminate
        print(f"{told}, indeterminate {reading(left)}" if left.estimate else told)
    for note in (*report.notes, *_without_interval(report), *_without_size(report), _leak(report)):
        print(note)


def _print_corruptions(report: Report) -> None:
    if report.corruptions is None:
        return
    clean = report.corruptions.clean
    start = [_short(report.metrics[name].estimate) for name in _FALLING]
    rows = [("clean", "", *start, _short(clean.indeterminate.estimate), _short(clean.novel.estimate))]
    for row in report.corruptions.rows:
        falls = [_short(row.differences[name].difference, "+.3f") for name in _FALLING]
        left = (_short(row.withheld.indeterminate.estimate), _short(row.withheld.novel.estimate))
        rows.append((f"{row.kind}, {row.severity}", row.amount, *falls, *left))
    print_table(("corruption, less clean", "", *_FALLING, "indeterminate", "novel"), rows)


_FALLING = ("auroc", "weighted_f1", "sensitivity", "specificity", "ece", "brier")


def _short(value: float | None, form: str = ".3f") -> str:
    return "undefined" if value is None else format(value, form)


def _without_interval(report: Report) -> list[str]:
    given = [metric for metric in report.metrics.values() if metric.estimate is not None]
    return sorted({metric.reason for metric in given if metric.reason})


def _without_size(report: Report) -> list[str]:
    return [f"size alone: {report.baselines.size_reason}"] if report.baselines.size is None else []


def _leak(report: Report) -> str:
    return report.leak if isinstance(report.leak, str) else f"{report.leak.summary}; {report.leak.near_note}"
