"""Write a comparison: one page that opens offline, the numbers as JSON, the figure."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from leukoscope.core.files import write_json, write_text
from leukoscope.evaluation.bootstrap import INTERVAL_WORDS
from leukoscope.evaluation.cell_tests import IGNORES_SUBJECTS
from leukoscope.evaluation.compare import Comparison, DisputedCell
from leukoscope.evaluation.figure_texts import reading
from leukoscope.evaluation.figures import LINE, draw, unit_square
from leukoscope.evaluation.paired import PAIRED, Difference
from leukoscope.evaluation.pictures import Picture, read_pictures
from leukoscope.evaluation.report import FIGURES, METRIC_LABELS, NUMBERS, PAGE, STAMP_TEXTS, fill, inline

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROC = "roc"
COLOURS = ("#6a3d9a", "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#8c8c8c")
"""From the palette of Okabe and Ito, with the purple that other figures have for a model."""
STYLES = ("-", "--", ":")


class Whisker(NamedTuple):
    """Where on an axis from 0 to 100, with no difference at 50, a difference and its interval lie."""

    at: float
    low: float | None
    high: float | None


def write_comparison(comparison: Comparison, out: Path | str) -> Path:
    """Write ``report.html``, ``report.json`` and ``figures/roc.svg`` to the folder ``out``.

    Returns:
        The path of ``report.html``, which is one file: style, figure and pictures are inside.
    """
    folder = Path(out)
    figure = draw_rocs(comparison)
    path = folder / FIGURES / f"{ROC}.svg"
    if figure:
        write_text(path, figure)
    else:
        path.unlink(missing_ok=True)
    write_json(folder / NUMBERS, comparison.to_json())
    write_text(folder / PAGE, render(comparison, figure))
    return folder / PAGE


def render(comparison: Comparison, figure: str) -> str:
    """The page as HTML text; ``figure`` as :func:`draw_rocs` gives it."""
    from markupsafe import Markup

    pictures = read_pictures(comparison.root, comparison.disputed)
    scale = _scale(comparison)
    return fill(
        "compare.html.j2",
        comparison=comparison,
        title=f"{comparison.names[0]} beside {', '.join(comparison.names[1:])}",
        stamp_texts=STAMP_TEXTS,
        metric_labels=METRIC_LABELS,
        interval_words=INTERVAL_WORDS,
        first_shown=PAIRED,
        ignores_subjects=IGNORES_SUBJECTS,
        scale=scale,
        whisker=lambda found: whisker(found, scale),
        figure=Markup(inline(figure)) if figure else "",
        disputed=_by_label(comparison, pictures),
        has_pictures=any(picture.uri for picture in pictures),
    )


def draw_rocs(comparison: Comparison) -> str:
    """All ROC curves in one figure as SVG text; empty where they are undefined."""
    if not all(comparison.rocs.values()):
        return ""

    def drawing(axes: Axes) -> None:
        unit_square(axes, "1 − specificity", "sensitivity")
        axes.plot([0, 1], [0, 1], color=LINE, linewidth=1)
        colours, number = cycle(COLOURS), 0
        for number, (name, curve) in enumerate(comparison.rocs.items()):
            if curve is not None:
                style = STYLES[number // len(COLOURS)]
                x, y = curve.false_positive_rate, curve.sensitivity
                axes.plot(x, y, style, color=next(colours), linewidth=1.5, label=name)
        axes.legend(loc="lower right", fontsize=10 if number < len(COLOURS) else 7)

    areas = [f"{name} {reading(found['auroc'])}" for name, found in comparison.metrics.items()]
    return draw(ROC, drawing, text=f"ROC curves. Areas under the curve: {'; '.join(areas)}.")


def _scale(comparison: Comparison) -> float:
    """The largest difference that the axes of the page reach: the furthest end of an interval, rounded up."""
    found = [pair.differences[name] for pair in comparison.pairs for name in PAIRED]
    ends = [abs(end) for one in found for end in (one.difference, one.ci_low, one.ci_high) if end is not None]
    furthest = max(ends, default=0.0)
    return next((step for step in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if furthest <= step), 1.0)


def whisker(found: Difference, scale: float) -> Whisker | None:
    """Where a difference lies on an axis from ``-scale`` to ``scale``; ``None`` where there is none.

    >>> whisker(Difference(first=0.9, second=0.8, difference=0.1, ci_low=0.0, ci_high=0.2, num_cells=9), 0.2)
    Whisker(at=75.0, low=50.0, high=100.0)
    """

    def place(value: float) -> float:
        return round(50 + 50 * max(-1.0, min(1.0, value / scale)), 2)

    if found.difference is None:
        return None
    if found.ci_low is None or found.ci_high is None:
        return Whisker(place(found.difference), None, None)
    return Whisker(place(found.difference), place(found.ci_low), place(found.ci_high))


def _by_label(
    comparison: Comparison, pictures: list[Picture]
) -> list[tuple[str, list[tuple[DisputedCell, Picture]]]]:
    pairs = list(zip(comparison.disputed, pictures, strict=True))
    blasts = [pair for pair in pairs if pair[0].label in comparison.positive_classes]
    normals = [pair for pair in pairs if pair[0].label not in comparison.positive_classes]
    return [(name, cells) for name, cells in (("Blasts", blasts), ("Normal cells", normals)) if cells]
