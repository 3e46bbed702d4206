"""The figures of a study as SVG text: accuracy against cost, and the curves of every run."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from leukoscope.evaluation.figures import BLAST, INK, LINE, MODEL, NORMAL, STYLE
from leukoscope.studies.study_words import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUBJECT, IMAGE = MODEL, BLAST
TRAINING, VALIDATION = NORMAL, BLAST
WIDTH, HEIGHT = 6.0, 4.6
DECADES = 50
ROOM = 0.25
"""What a name takes of the width of the figure."""

NEAR, TRIED = 0.05, 80
"""Names nearer than this, as a share of the figure's height, are moved apart."""


class Point(NamedTuple):
    """A recipe in the plot of accuracy against cost, 0 where that is not known; no reading is ``None``."""

    name: str
    cost: float
    image: float | None
    subject: float | None


def draw_cost(points: Sequence[Point], label: str) -> str:
    """Accuracy against a cost on a logarithmic axis: both readings of each recipe, joined by a line.

    Args:
        points: the recipes; those without a cost or a reading are left out.
        label: of the axis, with its unit.
    """

    def draw(figure: Figure) -> None:
        from matplotlib.ticker import LogLocator, NullFormatter

        axes = figure.add_axes((0.1, 0.11, 0.87, 0.86))
        known = [p for p in points if p.cost > 0 and (p.subject is not None or p.image is not None)]
        for point in known:
            both = [value for value in (point.image, point.subject) if value is not None]
            axes.plot([point.cost] * len(both), both, color=LINE, linewidth=1.5, zorder=1)
        for values, colour, marker, text in (
            ([p.image for p in known], IMAGE, "s", "by image (LEAKY)"),
            ([p.subject for p in known], SUBJECT, "o", "by subject"),
        ):
            shown = [(p.cost, value) for p, value in zip(known, values, strict=True) if value is not None]
            if shown:
                axes.plot(*zip(*shown, strict=True), marker, color=colour, ms=6, mec="none", label=text)
        axes.set(xscale="log", xlabel=label, ylabel="accuracy")
        axes.margins(x=0.16, y=0.08)
        low, high = axes.get_xlim()
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < DECADES * low else (1,)))
        axes.xaxis.set_major_formatter(lambda value, _: short(value))
        axes.xaxis.set_minor_formatter(NullFormatter())
        _name(axes, known)
        if known:
            axes.legend(loc="best")

    return _svg(label, (WIDTH, HEIGHT), draw)


def _name(axes: Axes, points: Sequence[Point]) -> None:
    """Write each name beside its lower dot; one that would lie on another goes to the nearest free place."""
    low, high = axes.get_ylim()
    step = NEAR * (high - low)
    placed: list[tuple[float, float]] = []
    left, right = axes.get_xlim()
    room = (right / left) ** ROOM
    for point in sorted(points, key=lambda p: -_lower(p)):
        at = _lower(point)
        to_the_right = point.cost * room < right
        start = point.cost if to_the_right else point.cost / room
        for tried in range(1, TRIED):
            near = [x_y for x_y in placed if max(start / x_y[0], x_y[0] / start) < room]
            if low < at < high and all(abs(at - y) >= step for _, y in near):
                break
            at = _lower(point) + (-1) ** tried * (tried // 2 + 1) * step / 2
        placed.append((start, at))
        aside = room**0.09 if to_the_right else room**-0.09
        axes.annotate(
            point.name,
            (point.cost, _lower(point)),
            xytext=(point.cost * aside, at),
            ha="left" if to_the_right else "right",
            va="center",
            fontsize=8.5,
            color=INK,
            arrowprops={"arrowstyle": "-", "color": LINE, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 3},
        )


def _lower(point: Point) -> float:
    return min(value for value in (point.image, point.subject) if value is not None)


def draw_curves(histories: Sequence[Sequence[dict[str, Any]]], kept: Sequence[int], key: str) -> str:
    """Loss and accuracy of every epoch, training and validation, one line for each fold or seed.

    Args:
        histories: rows of ``metrics.jsonl``, a list for each fold.
        kept: the kept epoch of each, marked by a dot.
        key: a text of its own for each drawing, so that equal runs give equal bytes.
    """

    def draw(figure: Figure) -> None:
        from matplotlib.ticker import MaxNLocator

        for place, quantity in enumerate(("loss", "accuracy")):
            axes = figure.add_axes((0.105 + 0.5 * place, 0.2, 0.385, 0.67))
            for history, epoch in zip(histories, kept, strict=False):
                _lines(axes, history, epoch, quantity, alone=len(histories) == 1)
            axes.set(xlabel="epoch", title=quantity)
            axes.title.set_fontsize(10)
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
            axes.yaxis.set_major_locator(MaxNLocator(5))
            axes.yaxis.set_major_formatter("{x:.4g}")
            axes.set_xlim(0.5, max(map(len, histories), default=1) + 0.5)

    return _svg(key, (5.2, 2.1), draw)


def _lines(axes: Axes, history: Sequence[dict[str, Any]], kept: int, quantity: str, *, alone: bool) -> None:
    for part, colour in (("train", TRAINING), ("validation", VALIDATION)):
        rows = [row for row in history if row[f"{part}_{quantity}"] is not None]
        x, y = [row["epoch"] for row in rows], [row[f"{part}_{quantity}"] for row in rows]
        axes.plot(x, y, color=colour, linewidth=1.8 if alone else 1.0, alpha=1.0 if alone else 0.6)
        dot = [(row["epoch"], row[f"{part}_{quantity}"]) for row in rows if row["epoch"] == kept]
        if dot:
            axes.plot(*dot[0], "o", color=colour, ms=5, mec="none")


def _svg(key: str, size: tuple[float, float], draw: Callable[[Figure], None]) -> str:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE | {"svg.hashsalt": key}):
        figure = Figure(figsize=size)
        draw(figure)
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return text.getvalue()
