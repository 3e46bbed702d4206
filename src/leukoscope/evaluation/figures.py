"""The figures of a report as SVG text: equal reports give equal bytes, colours suit every eye."""

from __future__ import annotations

import io
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from leukoscope.evaluation.figure_texts import FIGURE_TEXTS
from leukoscope.evaluation.results import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLAST, NORMAL, MODEL, RULER = "#d55e00", "#0072b2", "#6a3d9a", "#8c8c8c"
"""From the palette of Okabe and Ito, which the colour-blind can tell apart, with the purple of a stain."""

INK, LINE = "#1f2430", "#d4d7dd"
SIDE, WIDE = 4.2, 2.06
LEFT, RIGHT, LOW, HIGH = 0.62, 0.12, 0.52, 0.1
"""Side of a figure and its margins, inches."""

NAMED_SUBJECTS = 5
STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["system-ui", "Segoe UI", "Helvetica", "Arial", "DejaVu Sans"],
    "font.size": 10,
    "svg.fonttype": "none",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "lines.linewidth": 2,
}


def draw_figures(report: Report) -> dict[str, str]:
    """Name -> SVG text of every figure that the report's numbers allow, in the order of the page."""
    drawings: dict[str, Callable[[Axes, Report], None]] = {}
    if report.curves.roc and report.curves.precision_recall:
        drawings |= {"roc": _roc, "precision_recall": _precision_recall}
    if report.num_cells:
        drawings |= {"reliability": _reliability, "probabilities": _probabilities}
    if report.decision_curve:
        drawings["decision_curve"] = _decision_curve
    if report.risk_coverage:
        drawings["risk_coverage"] = _risk_coverage
    if report.subjects:
        drawings["subjects"] = _subjects
    return {
        name: draw(
            name,
            _of(report, drawing),
            text=FIGURE_TEXTS[name](report),
            width=WIDE * SIDE if name == "subjects" else SIDE,
        )
        for name, drawing in drawings.items()
    }


def _of(report: Report, drawing: Callable[[Axes, Report], None]) -> Callable[[Axes], None]:
    return lambda axes: drawing(axes, report)


def draw(name: str, drawing: Callable[[Axes], None], *, text: str, width: float = SIDE) -> str:
    """One figure as SVG text.

    Args:
        name: from which the ids in the SVG are made, so that several can stand on one page.
        drawing: what is drawn on the axes.
        text: what the figure shows, for those who do not see it.
        width: inches.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE | {"svg.hashsalt": name}):
        figure = Figure(figsize=(width, SIDE))
        # Fixed margins: a layout engine draws every figure twice to find the same ones.
        left, right = LEFT / width, RIGHT / width
        drawing(figure.add_axes((left, LOW / SIDE, 1 - left - right, 1 - (LOW + HIGH) / SIDE)))
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _told(drawn.getvalue(), name, text)


def _told(svg: str, name: str, text: str) -> str:
    """The SVG as one picture to a screen reader, with ``text`` in place of the words scattered over it."""
    start = svg.index("<svg")
    end = svg.index(">", start)
    told = f' role="img" aria-labelledby="{name}-text">\n <desc id="{name}-text">{escape(text)}</desc>'
    return svg[:end] + told + svg[end + 1 :]


def unit_square(axes: Axes, x: str, y: str) -> None:
    """Axes from 0 to 1, with these labels."""
    ticks = np.linspace(0, 1, 6)
    axes.set(xlabel=x, ylabel=y, xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xticks=ticks, yticks=ticks)


def _roc(axes: Axes, report: Report) -> None:
    unit_square(axes, "1 − specificity", "sensitivity")
    axes.plot([0, 1], [0, 1], color=LINE, linewidth=1)
    for label, color, style, curve in _curves(report.curves.roc, report.curves.roc_size):
        axes.plot(curve.false_positive_rate, curve.sensitivity, style, color=color, label=label)
    matrix = report.confusion_matrix
    false_positive_rate = matrix.false_blasts / report.num_normals
    sensitivity = matrix.true_blasts / report.num_blasts
    axes.plot(false_positive_rate, sensitivity, "o", color=MODEL, label=f"at {report.threshold:g}")
    axes.legend(loc="lower right")


def _precision_recall(axes: Axes, report: Report) -> None:
    unit_square(axes, "sensitivity (recall)", "positive predictive value (precision)")
    axes.axhline(report.num_blasts / report.num_cells, color=LINE, linewidth=1)
    curves = report.curves
    for label, color, style, curve in _curves(curves.precision_recall, curves.precision_recall_size):
        axes.plot(curve.sensitivity, curve.ppv, style, color=color, label=label)
    axes.legend(loc="lower left")


def _curves(model: Any, size: Any) -> list[tuple[str, str, str, Any]]:
    shown = [("size alone", RULER, "--", size), ("model", MODEL, "-", model)]
    return [entry for entry in shown if entry[3] is not None]


def _reliability(axes: Axes, report: Report) -> None:
    unit_square(axes, "mean probability of a bin", "share of blasts in it")
    axes.plot([0, 1], [0, 1], color=LINE, linewidth=1)
    bins = report.calibration.bins
    for one in bins:
        if one.ci_low is not None and one.ci_high is not None:
            axes.plot(
                [one.mean_probability] * 2, [one.ci_low, one.ci_high], color=MODEL, linewidth=1, alpha=0.5
            )
    axes.plot([b.mean_probability for b in bins], [b.blast_share for b in bins], "o-", color=MODEL, ms=5)


def _decision_curve(axes: Axes, report: Report) -> None:
    curve = report.decision_curve
    assert curve is not None
    axes.axhline(0, color=INK, linewidth=0.8, label="call none a blast")
    axes.plot(curve.threshold, curve.all_blasts, ":", color=INK, linewidth=1.2, label="call all blasts")
    if curve.size:
        axes.plot(curve.threshold, curve.size, "--", color=RULER, label="size alone")
    low, high = (np.array(ends, dtype=float) for ends in (curve.model_low, curve.model_high))  # None is NaN
    axes.fill_between(curve.threshold, low, high, color=MODEL, alpha=0.15, linewidth=0)
    axes.plot(curve.threshold, curve.model, color=MODEL, label="model")
    axes.set(xlabel="threshold", ylabel="net benefit", xlim=(-0.01, 1.01))
    axes.set_ylim(-0.5 * curve.prevalence, 1.1 * curve.prevalence)  # room for the legend below all curves
    axes.legend(loc="best")


def _risk_coverage(axes: Axes, report: Report) -> None:
    curve = report.risk_coverage
    assert curve is not None
    if curve.size:
        axes.plot(curve.coverage, curve.size, "--", color=RULER, label="size alone")
    low, high = (np.array(ends, dtype=float) for ends in (curve.error_low, curve.error_high))  # None is NaN
    axes.fill_between(curve.coverage, low, high, color=MODEL, alpha=0.15, linewidth=0)
    axes.plot(curve.coverage, curve.error, color=MODEL, label="model")
    axes.set(xlabel="share of cells answered", ylabel="share of these called wrong", xlim=(-0.01, 1.01))
    axes.set_ylim(bottom=0)
    axes.legend(loc="best")


def _probabilities(axes: Axes, report: Report) -> None:
    from matplotlib.ticker import MaxNLocator

    bins = report.curves.histogram
    for label, color, shares in (("normal cells", NORMAL, bins.normals), ("blasts", BLAST, bins.blasts)):
        axes.stairs(shares, bins.edges, color=color, fill=True, alpha=0.25)
        axes.stairs(shares, bins.edges, color=color, linewidth=1.5, label=label)
    axes.axvline(report.threshold, ymax=0.8, color=INK, linewidth=0.8, linestyle=":")
    axes.set(xlabel="blast probability", ylabel="share of the class's cells", xlim=(-0.01, 1.01))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=(1, 2, 5, 10)))  # two digits: the margin is fixed
    axes.legend(loc="best")


def _subjects(axes: Axes, report: Report) -> None:
    """A dot a subject, by number of cells, so that the ones whose rate means little stand apart."""
    from matplotlib.ticker import LogLocator, NullFormatter

    for label, color, marker, blast in (("normal", NORMAL, "s", False), ("blast", BLAST, "o", True)):
        rows = [row for row in report.subjects if row.label != "mixed"]
        rows = [row for row in rows if (row.label in report.positive_classes) == blast]
        x, y = [row.num_cells for row in rows], [row.accuracy for row in rows]
        axes.plot(x, y, marker, color=color, alpha=0.75, ms=6, mec="none", label=f"{label} subjects")
    enough = [row for row in report.subjects if row.num_cells >= report.subject_means.min_cells]
    for row in sorted(enough, key=lambda row: row.accuracy)[:NAMED_SUBJECTS]:
        axes.annotate(
            row.subject_id, (row.num_cells, row.accuracy), xytext=(5, 4), textcoords="offset points"
        )
    axes.axvline(report.subject_means.min_cells, color=INK, linewidth=0.8, linestyle=":")
    axes.set(xscale="log", xlabel="cells of the subject", ylabel="share called right", ylim=(-0.03, 1.03))
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.legend(loc="best")
