"""``study.html``: the page of a study, one file that opens offline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from leukoscope.cohort.manifest import Manifest
from leukoscope.core.files import write_text
from leukoscope.core.provenance import RESEARCH_USE_ONLY, provenance
from leukoscope.evaluation.readings import Metric
from leukoscope.evaluation.report import STAMP_TEXTS, count, inline, number, sentence, signed
from leukoscope.studies.gap import histories
from leukoscope.studies.study_figures import Point, draw_cost, draw_curves
from leukoscope.studies.study_rows import Finished, Reading, Row, failed
from leukoscope.studies.study_table import WEIGHTS, status_of
from leukoscope.studies.study_words import duration, joules, short, size
from leukoscope.studies.suite import READINGS, ReadingName, Suite, WeightsName

LABELS = {
    "accuracy": ("Accuracy", "The share of cells told right at a probability of 0.5."),
    "log_loss": (
        "Loss ↓",
        "Log loss of the calibrated probabilities; the documents give that of training. A leak lowers it.",
    ),
    "sensitivity": ("Recall", "The share of blasts found (sensitivity) at a probability of 0.5."),
    "weighted_f1": ("Weighted F1", "The metric of the challenge, for each cell."),
    "auroc": ("AUROC", "The chance that a blast scores above a normal cell; no threshold in it."),
}
HEADS: dict[WeightsName, str] = {
    "none": "weights=none: random starting weights",
    "pretrained": "pretrained weights",
}
READING_HEADS: dict[ReadingName, str] = {"image": "by image", "subject": "by subject"}


class Facts(NamedTuple):
    """What the page says of the study itself: its name, suite, cells and device."""

    name: str
    suite: Suite
    cells: Manifest
    device: str


class Curves(NamedTuple):
    """The curves of one reading of one recipe, with their gap in words."""

    title: str
    svg: Any
    reading: Reading


def write_page(rows: Sequence[Row], runs: Sequence[Finished], facts: Facts, path: Path) -> None:
    """Write the page.

    Args:
        rows: of the study.
        runs: of the study, for their curves.
        facts: of the study.
        path: the file to write.
    """
    write_text(path, render(rows, runs, facts))


def render(rows: Sequence[Row], runs: Sequence[Finished], facts: Facts) -> str:
    """The page as HTML text."""
    from jinja2 import Environment, PackageLoader
    from markupsafe import Markup

    pages = Environment(loader=PackageLoader("leukoscope.studies"), autoescape=True)
    pages.filters |= {"number": number, "signed": without_minus_zero, "count": count, "sentence": sentence}
    pages.filters |= {"short": short, "duration": duration, "size": size, "joules": joules}
    style = "\n".join(
        resources.files(f"leukoscope.{room}").joinpath(f"templates/{name}.css").read_text("utf-8")
        for room, name in (("evaluation", "report"), ("studies", "study"))
    )
    labelled = facts.cells.frame.drop_nulls("label")
    only_random = not any(_done(row, "pretrained") for row in rows)
    return pages.get_template("study.html.j2").render(
        rows=rows,
        facts=facts,
        style=Markup(style),
        research_use_only=RESEARCH_USE_ONLY,
        title=facts.suite.title,
        heading=HEADS["none"] if only_random else "",
        stamps=_stamps(rows),
        num_cells=labelled.height,
        num_subjects=labelled["subject_id"].drop_nulls().n_unique() or None,
        tally=_tally(runs),
        failed=failed(rows),
        cards=_cards(rows),
        labels=LABELS,
        heads=HEADS,
        reading_heads=READING_HEADS,
        weights_names=WEIGHTS,
        reading_names=READINGS,
        status_of=status_of,
        published=_published,
        costs=_costs(rows),
        plots=[Markup(inline(svg)) for svg in _plots(rows)],
        curves=_curves(rows, runs),
        provenance=provenance(),
    )


def _done(row: Row, weights: WeightsName) -> bool:
    return any(reading.status == "done" for reading in row.readings.get(weights, {}).values())


def _stamps(rows: Iterable[Row]) -> list[tuple[str, str]]:
    readings = [one for row in rows for both in row.readings.values() for one in both.values()]
    found = []
    if any("LEAKY" in one.stamps for one in readings):
        words = (
            "By image, cells of one person are on both sides. Those columns are here to show what that adds."
        )
        found.append(("LEAKY", words))
    if any("SYNTHETIC" in one.stamps for one in readings):
        found.append(("SYNTHETIC", STAMP_TEXTS["SYNTHETIC"]))
    return found


def _tally(runs: Sequence[Finished]) -> dict[str, int]:
    words = {"done": "done", "skipped": "skipped", "absent": "without their weights", "failed": "failed"}
    words["interrupted"] = "not run yet"
    counted = {text: sum(run.outcome.status == status for run in runs) for status, text in words.items()}
    return {text: num for text, num in counted.items() if num}


def _all(rows: Iterable[Row], name: ReadingName) -> list[tuple[str, Reading]]:
    return [
        (row.recipe, both[name])
        for row in rows
        for both in row.readings.values()
        if name in both and both[name].status == "done"
    ]


def _cards(rows: Sequence[Row]) -> list[tuple[str, str, str]]:
    """(name, value, words) of what a reader wants first."""
    cards = []
    for name in ("auroc", "accuracy"):
        found = [(recipe, one.metrics[name]) for recipe, one in _all(rows, "subject")]
        found = [(recipe, metric) for recipe, metric in found if metric.estimate is not None]
        if found:
            recipe, best = max(found, key=lambda pair: pair[1].estimate or 0)
            words = f"{recipe}{_interval(best)}"
            cards.append((f"Highest {LABELS[name][0]} by subject", number(best.estimate), words))
    for name in ("auroc", "accuracy"):
        leaks = [leak[name].difference for row in rows for leak in row.leak.values() if name in leak]
        known = [value for value in leaks if value is not None]
        if known:
            ends = f"{without_minus_zero(min(known))} to {without_minus_zero(max(known))}"
            words = f"image less subject, median of {len(known)} recipes; {ends}"
            cards.append((f"What leaks into {LABELS[name][0]}", without_minus_zero(median(known)), words))
    return cards


def without_minus_zero(difference: float) -> str:
    """A difference for people.

    >>> without_minus_zero(-0.0001), without_minus_zero(0.1234)
    ('+0.000', '+0.123')
    """
    return signed(round(difference, 3) + 0.0)


def _interval(metric: Metric) -> str:
    return "" if metric.ci_low is None else f", {number(metric.ci_low)}–{number(metric.ci_high)}"


def _published(row: Row, name: str) -> str:
    """What the document says under this metric; its words where it has no number."""
    value = {"accuracy": row.published.accuracy, "log_loss": row.published.loss}.get(name)
    return "" if value is None else max(f"{value:g}", f"{value:.2f}", key=len)


def _costs(rows: Iterable[Row]) -> list[tuple[Row, WeightsName, dict[ReadingName, Reading]]]:
    return [
        (row, weights, both) for row in rows for weights, both in row.readings.items() if _done(row, weights)
    ]


def _plots(rows: Sequence[Row]) -> list[str]:
    timed, counted = [], []
    for row, weights, both in _costs(rows):
        image, subject = (_accuracy(both.get(name)) for name in READINGS)
        name = row.recipe if weights == "none" else f"{row.recipe} (pretrained)"
        costs = [one.cost.seconds for one in both.values() if one.cost is not None]
        timed.append(Point(name, max(costs, default=0), image, subject))
        counted.append(Point(name, row.need.multiply_adds if row.need else 0, image, subject))
    if not timed:
        return []
    return [
        draw_cost(timed, "training time of a run, seconds"),
        draw_cost(counted, "multiply-adds for one cell"),
    ]


def _accuracy(reading: Reading | None) -> float | None:
    return reading.metrics["accuracy"].estimate if reading and reading.status == "done" else None


def _curves(rows: Sequence[Row], runs: Sequence[Finished]) -> list[tuple[str, list[Curves]]]:
    """For each recipe, the curves of its readings: all seeds and folds of one in one drawing."""
    from markupsafe import Markup

    made = []
    for row in rows:
        here = []
        for weights, both in row.readings.items():
            for name, reading in both.items():
                own = [
                    run
                    for run in runs
                    if (run.job.name, run.job.weights, run.job.reading) == (row.recipe, weights, name)
                    and run.outcome.status == "done"
                ]
                if not own:
                    continue
                lines = [history for run in own for history in histories(run.job.folder)]
                kept = [epoch for run in own for epoch in run.outcome.best_epochs]
                key = f"{row.recipe}-{weights}-{name}"
                title = READING_HEADS[name] + (", pretrained" if weights == "pretrained" else "")
                here.append(Curves(title, Markup(inline(draw_curves(lines, kept, key))), reading))
        if here:
            made.append((row.recipe, here))
    return made
