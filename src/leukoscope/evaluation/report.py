"""Write a report: one page that opens offline, the numbers as JSON, the rows, the figures."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from importlib import resources
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from leukoscope.core.files import write_json, write_text
from leukoscope.evaluation.bootstrap import INTERVAL_WORDS
from leukoscope.evaluation.figures import BLAST, INK, LINE, MODEL, NORMAL, RULER, draw_figures
from leukoscope.evaluation.gallery import probability
from leukoscope.evaluation.guidelines import NO_CERTIFICATE
from leukoscope.evaluation.label_suspects import LabelSuspect
from leukoscope.evaluation.pictures import Picture, read_pictures
from leukoscope.evaluation.quantisation import judged_words, rows_for_people
from leukoscope.evaluation.readings import Metric
from leukoscope.evaluation.results import Report
from leukoscope.evaluation.subgroups import Subgroup
from leukoscope.evaluation.worst_cells import NUM_CELLS, PER_SUBJECT, WorstCell

CellT = TypeVar("CellT", WorstCell, LabelSuspect)

PAGE, NUMBERS, ROWS, FIGURES = "report.html", "report.json", "predictions.parquet", "figures"

METRIC_LABELS = {
    "weighted_f1": "Weighted F1",
    "macro_f1": "Macro F1",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ppv": "Positive predictive value",
    "npv": "Negative predictive value",
    "mcc": "Matthews correlation",
    "auroc": "AUROC",
    "average_precision": "Average precision",
    "brier": "Brier score ↓",
    "ece": "Calibration error (ECE) ↓",
    "ece_equal_width": "ECE, bins of equal width ↓",
    "log_loss": "Log loss ↓",
}
HEADLINE = {
    "weighted_f1": "Weighted F1",
    "auroc": "AUROC",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ece": "Calibration error",
}

STAMP_TEXTS = {
    "LEAKY": "Cells were not kept apart by subject. These figures say nothing about new people.",
    "SYNTHETIC": "The cells were drawn by a program. These figures say nothing about real cells.",
    "LEAK FOUND": "Some of what is judged here fitted the model. These figures are too good.",
    "SUBJECTS UNKNOWN": "Whose the cells are is not known, so nothing can be said about new people.",
}

CAPTIONS = {
    "roc": ("ROC.", "Sensitivity against 1 − specificity over all thresholds; the dot is the one in use."),
    "precision_recall": ("Precision and recall.", "The grey line is what calling every cell a blast gives."),
    "reliability": (
        "Reliability.",
        "On the diagonal a probability means what it says. Bins hold equally many cells.",
    ),
    "decision_curve": (
        "Decision curve.",
        "True positives a cell, less false positives weighed by the threshold's odds (Vickers & Elkin 2006); "
        "the band is the 95 % interval of subjects, blasts being as common as here. A model is of use where "
        "it lies above all other lines.",
    ),
    "risk_coverage": (
        "Risk and coverage.",
        "Errors that are left when only the cells furthest from the threshold are answered; the band is the "
        "95 % interval of subjects. A model that knows when it errs falls to the left.",
    ),
    "probabilities": ("Probabilities.", "How the cells of each class lie; the dotted line is the threshold."),
    "subjects": (
        "Subjects.",
        "A dot is a subject. Left of the dotted line there are too few cells to count in the means; "
        "the lowest of the others are named.",
    ),
}


def write_report(report: Report, out: Path | str) -> Path:
    """Write ``report.html``, ``report.json``, ``predictions.parquet`` and ``figures/*.svg`` to the
    folder ``out``.

    Returns:
        The path of ``report.html``, which is one file: styles, figures and pictures are inside.
    """
    folder = Path(out)
    figures = draw_figures(report)
    for name in CAPTIONS:
        path = folder / FIGURES / f"{name}.svg"
        if name in figures:
            write_text(path, figures[name])
        else:
            path.unlink(missing_ok=True)
    write_json(folder / NUMBERS, report.to_json())
    report.table.write(folder / ROWS)
    write_text(folder / PAGE, render(report, figures))
    return folder / PAGE


def render(report: Report, figures: dict[str, str]) -> str:
    """The page as HTML text; ``figures`` as :func:`draw_figures` gives them."""
    from markupsafe import Markup

    pictures = read_pictures(report.root, report.worst_cells)
    suspects = _shown_suspects(report)
    suspect_pictures = read_pictures(report.root, suspects)
    labelled = groupby(report.subjects, key=lambda row: row.label)
    int8 = None if report.model.is_another else report.model.quantisation
    return fill(
        "report.html.j2",
        report=report,
        title=f"Evaluation of {report.model.name or 'predictions'}",
        negative_classes=[name for name in report.class_names if name not in report.positive_classes],
        figures={name: Markup(inline(svg)) for name, svg in figures.items()},
        captions=CAPTIONS,
        stamp_texts=STAMP_TEXTS,
        metric_labels=METRIC_LABELS,
        interval_words=INTERVAL_WORDS,
        headline=list(HEADLINE.items()),
        reasons=_reasons(report),
        confusion=_confusion(report),
        subgroups_by=_subgroups(report),
        subjects_by_label=[(label, list(rows)) for label, rows in labelled],
        worst_by_kind=_worst_by_kind(report, pictures),
        pictures_text=_pictures_text(pictures, "The furthest on the wrong side of the threshold"),
        suspects_by_kind=_by_label(
            report,
            suspects,
            suspect_pictures,
            "Labelled blast, read as normal",
            "Labelled normal, read as blast",
        ),
        suspects_text=_pictures_text(
            suspect_pictures, "Shown are those whose label gets the least probability"
        ),
        has_pictures=any(picture.uri for picture in (*pictures, *suspect_pictures)),
        no_certificate=NO_CERTIFICATE,
        eight_bits=list(rows_for_people(int8)) if int8 else [],
        eight_bits_on=judged_words(int8) if int8 else "",
        probability=probability,
    )


def fill(template: str, *, room: str = "evaluation", **facts: Any) -> str:
    """A page from a room's template, with the style that all have."""
    from jinja2 import Environment, PackageLoader
    from markupsafe import Markup

    pages = Environment(loader=PackageLoader(f"leukoscope.{room}"), autoescape=True)
    for told in (number, signed, count, brief, sentence, on_axis, p_text):
        pages.filters[told.__name__] = told
    style = resources.files("leukoscope.evaluation").joinpath("templates/report.css").read_text("utf-8")
    return pages.get_template(template).render(style=Markup(style), **facts)


def number(value: float | None, digits: int = 3) -> str:
    """A number for people.

    >>> number(0.80366), number(-0.5), number(None)
    ('0.804', '−0.500', 'undefined')
    """
    return "undefined" if value is None else f"{value:.{digits}f}".replace("-", "−")


def signed(value: float) -> str:
    """A difference for people.

    >>> signed(-0.0312)
    '−0.031'
    """
    return f"{value:+.3f}".replace("-", "−")


def count(value: int | None) -> str:
    """A count for people.

    >>> count(10661), count(None)
    ('10,661', '–')
    """
    return "–" if value is None else f"{value:,}"


def brief(value: float) -> str:
    """A measure for people, in three digits or as a whole number.

    >>> brief(0.61234), brief(12345.6), brief(82.04)
    ('0.612', '12,346', '82')
    """
    return f"{value:.3g}" if abs(value) < 10 else f"{value:,.0f}"


def p_text(value: float | None) -> str:
    """A p value for people.

    >>> p_text(0.0321), p_text(0.00002), p_text(None)
    ('0.032', '< 0.001', '–')
    """
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def sentence(text: str) -> str:
    """``text`` with a capital; the rest as it is."""
    return text[:1].upper() + text[1:]


def on_axis(value: float) -> float:
    """Where on an axis from 0 to 100 a value of 0 to 1 lies; what lies beyond is at its end."""
    return round(100 * min(1.0, max(0.0, value)), 2)


def inline(svg: str) -> str:
    """An SVG file as a part of a page, whose colours follow the page's light or dark style."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r'(<svg[^>]*?) width="[^"]*" height="[^"]*"', r"\1", body, count=1)
    names = {INK: "ink", LINE: "line", MODEL: "model", RULER: "ruler", BLAST: "blast", NORMAL: "normal"}
    for colour, name in names.items():
        body = body.replace(colour, f"var(--{name})")
    return body


def _reasons(report: Report) -> list[tuple[str, str]]:
    """Why numbers are missing, each reason once."""
    by_reason: dict[str, list[str]] = {}
    for name, metric in report.metrics.items():
        if metric.reason:
            by_reason.setdefault(metric.reason, []).append(METRIC_LABELS[name])
    everything = len(METRIC_LABELS)
    return [
        ("All" if len(names) == everything else ", ".join(names), reason)
        for reason, names in by_reason.items()
    ]


class Call(NamedTuple):
    """One field of the confusion matrix: its cells, their share of the row with its interval, is it right?"""

    num: int
    share: float
    right: bool
    ends: tuple[float, float] | None


def _confusion(report: Report) -> list[tuple[str, list[Call]]]:
    """Rows of the matrix, each with the cells called blast, then those called normal."""
    matrix, metrics = report.confusion_matrix, report.metrics
    blasts = _calls(matrix.true_blasts, matrix.false_normals, metrics["sensitivity"])
    normals = _calls(matrix.true_normals, matrix.false_blasts, metrics["specificity"])
    return [("blasts", blasts), ("normal cells", normals[::-1])]


def _calls(num_right: int, num_wrong: int, share_right: Metric) -> list[Call]:
    low, high, num = share_right.ci_low, share_right.ci_high, max(1, num_right + num_wrong)
    ends = None if low is None or high is None else (low, high)
    turned = None if ends is None else (1 - ends[1], 1 - ends[0])
    return [Call(num_right, num_right / num, True, ends), Call(num_wrong, num_wrong / num, False, turned)]


def _subgroups(report: Report) -> list[tuple[str, list[Subgroup]]]:
    """Parts of the cells by what they are parted by; folds only where no section of their own has them."""
    shown = [part for part in report.subgroups if part.by != "fold" or report.folds is None]
    return [(by, list(parts)) for by, parts in groupby(shown, key=lambda one: one.by)]


def _worst_by_kind(
    report: Report, pictures: list[Picture]
) -> list[tuple[str, list[tuple[WorstCell, Picture]]]]:
    kinds = _by_label(
        report, report.worst_cells, pictures, "Blasts called normal", "Normal cells called blast"
    )
    return kinds[::-1]


def _by_label(
    report: Report, cells: Iterable[CellT], pictures: Iterable[Picture], blasts: str, normals: str
) -> list[tuple[str, list[tuple[CellT, Picture]]]]:
    """The cells with their pictures in two groups of these names, by what they are labelled."""
    pairs = list(zip(cells, pictures, strict=True))
    return [
        (blasts, [pair for pair in pairs if pair[0].label in report.positive_classes]),
        (normals, [pair for pair in pairs if pair[0].label not in report.positive_classes]),
    ]


def _shown_suspects(report: Report) -> list[LabelSuspect]:
    """The first of them by rank, as many of a class and of a person as there are worst cells."""
    shown: list[LabelSuspect] = []
    of_subject: Counter[str] = Counter()
    of_label: Counter[str] = Counter()
    for cell in report.label_suspects.cells if report.label_suspects else []:
        if of_subject[cell.subject_id] < PER_SUBJECT and of_label[cell.label] < NUM_CELLS:
            of_subject[cell.subject_id] += 1
            of_label[cell.label] += 1
            shown.append(cell)
    return shown


def _pictures_text(pictures: Iterable[Picture], which: str) -> str:
    """What is shown, and in words what is not."""
    shown = list(pictures)
    missing = [picture.reason for picture in shown if picture.uri is None]
    text = f"{which}, at most three of one subject, all at one scale."
    if not missing:
        return text
    reasons = "; ".join(sorted({reason for reason in missing if reason}))
    return f"{text} {len(missing)} of {len(shown)} pictures could not be shown: {reasons}."


def summary(report: Report) -> list[tuple[str, str, str, str]]:
    """The report for a terminal: metric, estimate, interval, what size alone reads."""
    size: dict[str, Any] = report.baselines.size or {}
    return [
        (
            METRIC_LABELS[name],
            number(metric.estimate),
            metric.reason or f"{number(metric.ci_low)} to {number(metric.ci_high)}",
            number(size[name].estimate) if name in size else "",
        )
        for name, metric in report.metrics.items()
    ]
