"""``leukoscope demo``: the whole way once, from cells to a report. What ``make demo`` runs."""

from __future__ import annotations

import json
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from leukoscope.cli.failures import Interrupted, keeping, needing_training
from leukoscope.cli.output import print_table, reading

if TYPE_CHECKING:
    from leukoscope.cohort.manifest import Manifest
    from leukoscope.evaluation.results import Report

RECIPE = "leukoscope-s"

COHORT = {"subjects": 30, "cells_per_subject": 32, "unlabelled": 100, "seed": 0}
"""As many cells as ``data synth`` draws, of more people, so that the preliminary set (the test) has five
of each class: the fewest that an interval is given for."""

SETTINGS = ("training.epochs=4", "training.cells_per_epoch=640", "training.average=0.9")
"""Changes of the recipe for synthetic cells, which are soon learned."""

OWN_SETTINGS: tuple[str, ...] = ()
"""Changes of the recipe for cells of the user's own: none."""

MARKER = "demo.json"
_MADE = ("cohort", "cohort.parquet", "split.parquet", "run", "report", "unlabelled.csv", MARKER)
METRICS = ("auroc", "weighted_f1", "sensitivity", "specificity", "ece")


@dataclass(frozen=True)
class Demo:
    """What the demo made.

    Attributes:
        split: the cohort with its roles.
        report: the judgement of the test subjects.
        page: its HTML page.
        bundle: the trained model.
        unlabelled: predictions of the cells without a label, None where there are none.
        seconds: it took.
    """

    split: Path
    report: Report
    page: Path
    bundle: Path
    unlabelled: Path | None
    seconds: float


def demo(
    data: Annotated[
        Path | None, typer.Option(metavar="SOURCE", help="Your cells; without: a synthetic cohort is drawn.")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new folder, or that of a former demo.")] = Path(
        "demo"
    ),
) -> int:
    """Go the whole way once: cells in, report out.

    A cohort is drawn (or SOURCE read), checked, split by subject and audited; a model is trained on some
    subjects, judged on others, and predicts the unlabelled cells.
    """
    with keeping(f"finished steps are in {out}; the same command goes on from there"):
        done = run_demo(data, out)
    _print_result(done, out)
    return 0


def run_demo(data: Path | None, out: Path) -> Demo:
    """Make everything in ``out``; a demo that was interrupted goes on, a finished one is made anew.

    Raises:
        UsageError: when ``out`` holds something else.
        LeukoscopeError: when the cells cannot be used.
    """
    started = time.monotonic()
    _claim(data, out)
    split = _cohort(data, out)
    bundle, predictions = _train(data, out)
    report, page = _evaluate(predictions, bundle, split, out)
    unlabelled = _predict(bundle, split, out)
    _mark(data, out, finished=True)
    return Demo(out / "split.parquet", report, page, bundle, unlabelled, time.monotonic() - started)


def _claim(data: Path | None, out: Path) -> None:
    """Make ``out`` this demo's folder; keep of a former one what this one would make again."""
    from leukoscope.errors import UsageError

    marker = out / MARKER
    if not marker.is_file() and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} holds something else than a demo", hint="name another --out, a new folder")
    if marker.is_file():
        former = json.loads(marker.read_text(encoding="utf-8"))
        same = {key: former.get(key) for key in ("data", "settings")} == _choices(data)
        if not same or former.get("finished"):
            _remove(out, keep=("cohort",) if same and data is None else ())
    _mark(data, out, finished=False)


def _choices(data: Path | None) -> dict[str, Any]:
    settings = [RECIPE, *SETTINGS, json.dumps(COHORT)]
    return {"data": None if data is None else str(data.absolute()), "settings": settings}


def _mark(data: Path | None, out: Path, *, finished: bool) -> None:
    from leukoscope import __version__
    from leukoscope.core.files import write_json

    write_json(out / MARKER, {"version": __version__, **_choices(data), "finished": finished})


def _remove(out: Path, keep: tuple[str, ...]) -> None:
    for name in (name for name in _MADE if name not in keep):
        path = out / name
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)


def _cohort(data: Path | None, out: Path) -> Manifest:
    """Cells, manifest, split, each checked before it is used."""
    from leukoscope.cli.data import print_check, print_split
    from leukoscope.cohort.audit import audit
    from leukoscope.cohort.check import check
    from leukoscope.cohort.open import open_cohort
    from leukoscope.cohort.splits import default_protocol, split

    source = _synthetic(out) if data is None else data
    if data is not None:
        _step(1, f"your cells: {data}")
    _step(2, f"check {source}")
    print_check(check(source))
    _step(3, "measure every cell: data index")
    manifest = open_cohort(source)
    manifest.write(out / "cohort.parquet")
    _step(4, "share the subjects out: data split, data audit")
    made = manifest if manifest.is_split else split(manifest, protocol=default_protocol(manifest))
    print_split(made.write(out / "split.parquet"), made)
    print("\n".join(audit(made).sentences(limit=5)))
    return made


def _synthetic(out: Path) -> Path:
    from leukoscope.cohort.synth import DATASET_FOLDER, synthesize

    cohort = out / "cohort"
    _step(1, "draw a synthetic cohort: data synth")
    if not (cohort / DATASET_FOLDER).is_dir():
        synthesize(cohort, **COHORT)
    print(f"{cohort}: {COHORT['subjects']} synthetic subjects, {COHORT['unlabelled']} cells without a label")
    return cohort


def _train(data: Path | None, out: Path) -> tuple[Path, Path]:
    with needing_training():
        from leukoscope.studies.run import train
    settings = SETTINGS if data is None else OWN_SETTINGS
    _step(5, f"train {RECIPE} {' '.join(f'--set {setting}' for setting in settings)}")
    run = train(RECIPE, out / "split.parquet", out / "run", settings=settings, resume=True)
    if run.interrupted:
        raise Interrupted(f"the best epoch so far is in {run.bundle}; the same command goes on")
    return run.bundle, run.predictions


def _evaluate(predictions: Path, bundle: Path, split: Manifest, out: Path) -> tuple[Report, Path]:
    from leukoscope.bundle.read import open_bundle
    from leukoscope.cli.evaluate import facts
    from leukoscope.evaluation.evaluate import evaluate
    from leukoscope.evaluation.report import write_report

    _step(6, "judge the model on subjects it has not seen: evaluate")
    opened = open_bundle(bundle)
    report = evaluate(predictions, bundle_info=facts(opened), train=opened.subjects, data=split)
    return report, write_report(report, out / "report")


def _predict(bundle: Path, split: Manifest, out: Path) -> Path | None:
    from leukoscope.inference.predict import predict

    cells = split.part("unlabelled")
    if not len(cells):
        return None
    _step(7, "predict the unlabelled cells: predict")
    predict(bundle, cells, out=out / "unlabelled.csv")
    return out / "unlabelled.csv"


def _step(number: int, text: str) -> None:
    print(f"\n{number}/7 {text}", flush=True)


def _print_result(done: Demo, out: Path) -> None:
    report, size = done.report, done.report.baselines.size or {}
    stamp = "".join(f"[{name}] " for name in report.stamps)
    print(f"\n{stamp}{report.num_cells:,} cells of {report.num_subjects} subjects that fitted nothing")
    rows = [
        (name, reading(report.metrics[name]), reading(size[name]) if name in size else "unknown")
        for name in METRICS
    ]
    print_table(("metric (95 % interval by subject)", RECIPE, "size of the cell alone"), rows)
    print(f"\nreport: {done.page}")
    if done.unlabelled is not None:
        print(f"unlabelled cells: {done.unlabelled}")
    print(f"done in {done.seconds:.0f} seconds. Try next:")
    for command in _next(done, out):
        print(f"  {_program()} {command}")


def _next(done: Demo, out: Path) -> tuple[str, str, str]:
    return (
        f"predict {done.bundle} {done.split} --by-subject {out / 'subjects.csv'}",
        f"train --recipe cnn-45px --data {done.split} --out {out / 'cnn-45px'}",
        f"bundle show {done.bundle}",
    )


def _program() -> str:
    """How the user calls this program: by name where that works."""
    if shutil.which("leukoscope"):
        return "leukoscope"
    path = Path(sys.argv[0])
    if path.name != "leukoscope":
        return "python -m leukoscope"
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
