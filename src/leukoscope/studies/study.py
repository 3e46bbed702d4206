"""``leukoscope study`` as one function: many recipes, trained and judged alike, in one table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

from leukoscope.cohort.manifest import Manifest
from leukoscope.cohort.open import open_cohort
from leukoscope.core.config import read_yaml, write_yaml
from leukoscope.core.files import write_text
from leukoscope.core.progress import say
from leukoscope.errors import SplitError, UsageError
from leukoscope.recipes.schema import load_recipe
from leukoscope.studies.crew import Worker
from leukoscope.studies.outcome import Job, Need, Outcome, fingerprint, read_outcome
from leukoscope.studies.pretrained import starts_from_given
from leukoscope.studies.study_page import Facts, write_page
from leukoscope.studies.study_rows import Finished, Row, failed, read_rows
from leukoscope.studies.study_splits import Parting, Partings, check_unsplit, sample_cells, wanted_parting
from leukoscope.studies.study_table import write_table
from leukoscope.studies.suite import Entry, Suite, WeightsName, entries, load_suite
from leukoscope.studies.tracker import TrackerName, open_tracker

CONFIG, PAGE, TABLE = "study.yaml", "study.html", "study.csv"
FREE = {"title", "words", "recipes", "readings", "seeds", "weights", "hours", "keep_models"}
"""What of a suite may change when a study goes on: which runs there are, not what a run is."""

NOT_RUN = Outcome(status="interrupted", reason="not run yet")


@dataclass(frozen=True)
class Study:
    """A study, finished or interrupted.

    Attributes:
        path: its folder.
        rows: one for each recipe.
        page, table: ``study.html`` and ``study.csv`` in it.
        failed: runs that went wrong, and why.
        interrupted: the user stopped it; the same call goes on.
    """

    path: Path
    rows: list[Row]
    page: Path
    table: Path
    failed: list[tuple[str, str]]
    interrupted: bool


def study(
    suite: str,
    data: Path,
    out: Path,
    *,
    only: Sequence[str] = (),
    settings: Sequence[str] = (),
    seeds: int | None = None,
    hours: float | None = None,
    weights: Path | None = None,
    download: bool = False,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    tracker: TrackerName = "none",
) -> Study:
    """Train every recipe of a suite under its readings, and write one page and one table.

    Every run is a folder below ``out/runs``; one that is finished is not repeated by a second call, which so
    goes on after an interruption of any kind.

    Args:
        suite: a suite's name, or a YAML file.
        data: a folder, its zip or a manifest; not a split, since the study makes its own.
        out: the study's folder.
        only: names of recipes; the others are left out of this call.
        settings: ``KEY=VALUE`` changes of every recipe, after the suite's.
        seeds, hours: in place of the suite's.
        weights: a folder of ``RECIPE.safetensors`` or ``NETWORK.safetensors`` files to start from.
        download: whether timm may fetch weights from the model hub.
        device: where to train.
        tracker: ``mlflow`` keeps the runs there, too.

    Raises:
        UsageError: when ``data`` is a split, or ``out`` holds something else or another study.
        ConfigError: for a suite or setting that does not fit.
        MissingExtraError: for a tracker that is not installed.
    """
    chosen = _changed(load_suite(suite), settings, seeds, hours)
    listed = entries(chosen, only)
    if weights is not None and not weights.is_dir():
        raise UsageError(
            f"--weights {weights}: expected a folder", hint="name the folder of .safetensors files"
        )
    manifest = open_cohort(data)
    check_unsplit(manifest, data)
    cells = sample_cells(manifest, chosen.max_cells)
    name = Path(suite).stem
    _claim(out, name, chosen, cells)
    facts = Facts(name, chosen, cells, device)
    more = {"device": device, "weights_folder": weights, "download": download}
    partings = Partings(cells, out / "splits", chosen.folds)
    planned = list(_plan(listed, chosen, partings, out, more))
    runs, interrupted = _run_all(planned, out, tracker)
    say("judging the runs, drawing their curves")
    rows = read_rows(listed, runs, out)
    write_table(rows, out / TABLE)
    write_page(rows, runs, facts, out / PAGE)
    return Study(out, rows, out / PAGE, out / TABLE, failed(rows), interrupted)


def _changed(suite: Suite, settings: Sequence[str], seeds: int | None, hours: float | None) -> Suite:
    changes: dict[str, Any] = {"settings": (*suite.settings, *settings)}
    changes |= {} if seeds is None else {"seeds": seeds}
    changes |= {} if hours is None else {"hours": hours}
    return suite.model_copy(update=changes)


def _claim(out: Path, name: str, suite: Suite, cells: Manifest) -> None:
    """Make ``out`` this study's folder, or make sure that it is."""
    config = {
        "suite": name,
        "fixed": suite.model_dump(mode="json", exclude=FREE),
        "data": {"fingerprint": cells.fingerprint(), "num_cells": len(cells)},
    }
    path = out / CONFIG
    if path.is_file():
        found = read_yaml(path)
        parts = [words for key, words in _PARTS.items() if found.get(key) != config[key]]
        if parts:
            raise UsageError(
                f"{out} holds a study of another {' and another '.join(parts)}",
                hint="name another --out, or repeat the call that began it",
            )
    elif out.exists() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty and holds no study", hint="name another --out")
    write_text(path, write_yaml(config))


_PARTS = {"suite": "suite", "fixed": "setting", "data": "set of cells"}


def _run_all(
    planned: Sequence[tuple[Job, Outcome | None]], out: Path, tracker: TrackerName
) -> tuple[list[Finished], bool]:
    """Every run with its outcome, and whether the user stopped before the last."""
    outcomes = {job.folder: outcome for job, outcome in planned if outcome is not None}
    interrupted = False
    needs: dict[tuple[str, str], Need | None] = {}
    with open_tracker(tracker, out) as keep, Worker() as worker:
        try:
            for number, (job, known) in enumerate(planned, start=1):
                place = f"run {number} of {len(planned)}: {job.words}"
                kind = (job.name, job.weights)
                counted = job.model_copy(update={"need": needs.get(kind)})
                outcome = outcomes[job.folder] = known or _do(worker, counted, place)
                needs[kind] = outcome.need
                keep(Finished(job, outcome))
        except KeyboardInterrupt:
            interrupted = True
    return [Finished(job, outcomes.get(job.folder, NOT_RUN)) for job, _ in planned], interrupted


def _do(worker: Worker, job: Job, place: str) -> Outcome:
    done = read_outcome(job.folder)
    if done is not None and done.status == "done":
        if done.recipe == fingerprint(load_recipe(job.source, [*job.settings, f"training.seed={job.seed}"])):
            return done
        hint = f"remove {job.folder} to train it again"
        return Outcome(status="failed", reason=f"the recipe has changed since this run; {hint}", hint=hint)
    say(place)
    outcome = worker.do(job)
    if outcome.status != "done":
        say(f"{outcome.status}: {outcome.reason}")
    return outcome


def _plan(
    listed: Sequence[Entry], suite: Suite, partings: Partings, out: Path, more: dict[str, Any]
) -> Iterator[tuple[Job, Outcome | None]]:
    """All runs in order; one whose cells cannot be parted has its outcome already."""
    for entry in listed:
        kinds: list[WeightsName] = ["none"]
        if suite.weights == "auto" and starts_from_given(entry.recipe, more["weights_folder"]):
            kinds.append("pretrained")
        for weights, reading, seed in product(kinds, suite.readings, range(suite.seeds)):
            wanted = wanted_parting(entry.recipe.protocol, reading, suite, seed=seed)
            parting, outcome = _part(partings, wanted, seed)
            folder = out / "runs" / entry.recipe.name / reading / weights / f"seed-{seed}"
            yield (
                Job(
                    source=entry.source,
                    name=entry.recipe.name,
                    settings=entry.settings,
                    reading=reading,
                    weights=weights,
                    seed=seed,
                    parting=parting,
                    split=partings.path(parting),
                    folder=folder,
                    hours=suite.hours,
                    keep_models=suite.keep_models,
                    **more,
                ),
                outcome,
            )


def _part(partings: Partings, wanted: Parting, seed: int) -> tuple[Parting, Outcome | None]:
    try:
        return partings.make(wanted, seed=seed), None
    except SplitError as error:
        return wanted, Outcome(status="failed", reason=error.message, hint=error.hint)
