"""What a report says, in sentences that need no statistics: made from its numbers, none of them fixed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from leukoscope.core.config import Config
from leukoscope.evaluation.bootstrap import MIN_SUBJECTS
from leukoscope.evaluation.leak import NOT_CHECKED

if TYPE_CHECKING:
    from leukoscope.evaluation.results import Report


class Reading(Protocol):
    """A number with its interval and its base, such as :class:`readings.Metric`."""

    @property
    def ci_low(self) -> float | None: ...  # noqa: D102
    @property
    def ci_high(self) -> float | None: ...  # noqa: D102
    @property
    def num_cells(self) -> int: ...  # noqa: D102
    @property
    def num_subjects(self) -> int | None: ...  # noqa: D102
    @property
    def reason(self) -> str | None: ...  # noqa: D102


class Statement(Config):
    """One thing that the report says.

    Attributes:
        about: what it is about, in a few words.
        text: whole sentences.
    """

    about: str
    text: str


def in_short(report: Report) -> list[Statement]:
    """The report for somebody who reads one paragraph of it."""
    if not report.num_cells:
        return [Statement(about="Nothing to judge", text="The table has no labelled, readable cell.")]
    said = (
        ("Blasts", _found(report)),
        ("Normal cells", _false_alarms(report)),
        ("The person it does worst", _worst_person(report)),
        ("Beside size alone", _beside_size(report)),
        ("Its probabilities", _probabilities(report)),
        ("Where it says nothing", " ".join(_says_nothing(report))),
        ("What these data cannot show", " ".join(_cannot_show(report))),
    )
    return [Statement(about=about, text=text) for about, text in said]


def of_hundred(share: float) -> str:
    """A share as a number of a hundred; what is nearly none or nearly all is not shown as that.

    >>> of_hundred(0.874), of_hundred(0.0), of_hundred(0.002), of_hundred(0.998)
    ('87', '0', 'fewer than 1', 'more than 99')
    """
    if 0 < share < 0.005:
        return "fewer than 1"
    return "more than 99" if 0.995 < share < 1 else f"{100 * share:.0f}"


def _found(report: Report) -> str:
    metric = report.metrics["sensitivity"]
    if metric.estimate is None:
        return "How many blasts are found cannot be said: there is no blast among these cells."
    return f"Of 100 blasts, {of_hundred(metric.estimate)} are called blasts ({_interval(metric)})."


def _false_alarms(report: Report) -> str:
    metric = report.metrics["specificity"]
    if metric.estimate is None:
        return "How many normal cells are called blasts cannot be said: there is no normal cell among these."
    return (
        f"Of 100 normal cells, {of_hundred(1 - metric.estimate)} are wrongly called blasts "
        f"({_interval(metric, turned=True)})."
    )


def _interval(found: Reading, *, turned: bool = False) -> str:
    """The 95 % interval and what it rests on; of one less the number where ``turned``."""
    base = f"{found.num_cells:,} cells"
    if found.num_subjects is not None:
        base += f" of {found.num_subjects:,} {'person' if found.num_subjects == 1 else 'people'}"
    if found.ci_low is None or found.ci_high is None:
        return f"{found.reason}; {base}"
    low, high = (1 - found.ci_high, 1 - found.ci_low) if turned else (found.ci_low, found.ci_high)
    return f"95 % interval for other people {of_hundred(low)} to {of_hundred(high)}; {base}"


def _worst_person(report: Report) -> str:
    means = report.subject_means
    if not report.subjects:
        return "Whose the cells are is not known, so nobody can be named."
    row = next((row for row in report.subjects if row.subject_id == means.worst_subject_id), None)
    if row is None or means.worst_ci is None:
        return f"Nobody has {means.min_cells} cells or more, too few to say how it does in one person."
    low, high = means.worst_ci
    return (
        f"Subject {row.subject_id}, labelled {row.label}: of 100 of this person's cells, "
        f"{of_hundred(row.accuracy)} are called what they are (95 % interval of cells {of_hundred(low)} to "
        f"{of_hundred(high)}; {row.num_cells:,} cells of one person). This is about cells and no diagnosis."
    )


def _beside_size(report: Report) -> str:
    if not report.model_minus_size:
        return f"Not known: {report.baselines.size_reason}."
    found = report.model_minus_size["auroc"]
    if found.first is None or found.second is None or found.difference is None:
        return f"Not known: {found.reason}."
    ranked = (
        f"Shown a blast and a normal cell, the model puts the blast first in {of_hundred(found.first)} of "
        f"100 such pairs; who knows only how large the cells are, in {of_hundred(found.second)}."
    )
    if found.ci_low is None or found.ci_high is None:
        return (
            f"{ranked} Whether that difference would hold for other people cannot be said ({found.reason})."
        )
    ends = f"{100 * found.ci_low:+.0f} to {100 * found.ci_high:+.0f} pairs, {found.num_subjects:,} people"
    ends = ends.replace("-", "−")
    if found.ci_low > 0:
        return f"{ranked} The model is better, and other people would be unlikely to undo that ({ends})."
    if found.ci_high < 0:
        return f"{ranked} The model is worse than size alone ({ends})."
    return (
        f"{ranked} With other people the difference may as well be none ({ends}): it is not shown that the "
        "model has learned more than size."
    )


def _probabilities(report: Report) -> str:
    slope, intercept = report.calibration.slope, report.calibration.intercept
    error = report.metrics["ece"]
    if error.estimate is None:
        return f"Nothing can be said of them: {error.reason}."
    off = (
        f"On average they lie {of_hundred(error.estimate)} points of 100 from how often such cells are "
        f"blasts ({_interval(error)})."
    )
    if faults := list(_faults(report)):
        return f"Not to be taken at their word: {' and '.join(faults)}. {off}"
    if slope.ci_low is None or intercept.ci_low is None:
        reason = slope.reason or intercept.reason
        return f"{off} Whether they can be taken at their word cannot be said ({reason})."
    return (
        "With these people no fault can be shown, which is not to say that they can be taken at their word. "
        f"{off}"
    )


def _faults(report: Report) -> Iterator[str]:
    slope, intercept = report.calibration.slope, report.calibration.intercept
    if slope.ci_high is not None and slope.ci_high < 1:
        yield "it is too sure of itself, its high probabilities too high and its low ones too low"
    if slope.ci_low is not None and slope.ci_low > 1:
        yield "it is less sure of itself than it could be"
    if intercept.ci_low is not None and intercept.ci_low > 0:
        yield "there are more blasts than its probabilities say"
    if intercept.ci_high is not None and intercept.ci_high < 0:
        yield "there are fewer blasts than its probabilities say"


def _says_nothing(report: Report) -> Iterator[str]:
    unreadable = report.num_unreadable
    yield (
        f"{unreadable:,} of {report.num_rows:,} images could not be read and are in no figure."
        if unreadable
        else "Every image could be read."
    )
    if report.num_unlabelled:
        yield f"{report.num_unlabelled:,} have no label and are in no figure either."
    open_cells = report.decisions.get("indeterminate")
    if open_cells:
        share = of_hundred(open_cells / report.num_cells)
        yield (
            f"It left {open_cells:,} of {report.num_cells:,} cells open ({share} of 100); the figures above "
            "call these, too."
        )
    elif report.decisions:
        yield "It left no cell open."
    else:
        yield "The table does not say which cells the model would rather leave open; all are called here."


def _cannot_show(report: Report) -> Iterator[str]:
    stamps = report.stamps
    if "SYNTHETIC" in stamps:
        yield "Anything about real cells: these were drawn by a program."
    if "LEAKY" in stamps:
        yield "Anything about new people: the model may have been fitted on other cells of these."
    if "LEAK FOUND" in stamps:
        yield "How it does on people it has never seen: some of what is judged here fitted it."
    elif report.folds and report.folds.num_shared_subjects:
        shared = report.folds.num_shared_subjects
        yield f"How it does on new people: {shared:,} have cells in several folds, so their model knew them."
    elif report.folds:
        yield "Whether every model was kept from the people it judged: that is the table's word."
    elif report.leak == NOT_CHECKED:
        yield "Whether it had seen these people before: that was not checked."
    if "SUBJECTS UNKNOWN" in stamps:
        yield "How far other people would read differently: whose the cells are is not known."
    else:
        yield from _people(report)
    yield (
        "Cells of another laboratory, stain, microscope or kind than those in the table; and whether anybody "
        "has leukaemia."
    )


def _people(report: Report) -> Iterator[str]:
    numbers = {
        kind: report.metrics[name].num_subjects or 0
        for kind, name in (("blasts", "sensitivity"), ("normal cells", "specificity"))
    }
    base = " and ".join(f"{number:,} people with {kind}" for kind, number in numbers.items())
    fewest = min(numbers.values())
    if fewest < MIN_SUBJECTS:
        yield f"How other people would read: it rests on {base}, too few for an interval."
    else:
        yield f"Much about people unlike these: it rests on {base}."
