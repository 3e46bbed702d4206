"""One chart of all targets: what was measured over what was asked for, so that all stand on one scale."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from leukoscope.evaluation.figures import BLAST, INK, LINE, NORMAL, STYLE
from tables import Target

ROW, ABOVE, BELOW, WIDTH = 0.27, 0.4, 0.6, 9.6
"""Height of a row, of what is above and below them, and the width; inches."""
LABELS, NUMBERS = 0.37, 0.2
"""Shares of the width for what stands left and right of the rows."""
NEAREST = 1.25
"""The scale reaches at least so many times the target to either side."""


def shares(target: Target) -> tuple[float, float, float]:
    """Median, worst and best over the limit; turned over where less is better, so that 1 or more is met.

    >>> shares(Target("", {"median": 2.0, "least": 1.0, "greatest": 4.0}, limit=4.0, at_most=True))
    (2.0, 1.0, 4.0)
    """
    median, least, greatest = (target.spread[name] / target.limit for name in ("median", "least", "greatest"))
    return (1 / median, 1 / greatest, 1 / least) if target.at_most else (median, least, greatest)


def numbers(target: Target) -> str:
    """What was measured and what was asked for.

    >>> numbers(Target("", {"median": 1.514}, limit=1.4, unit="times"))
    '1.51 times (at least 1.4)'
    """
    sign, unit = "most" if target.at_most else "least", f" {target.unit}" if target.unit else ""
    return f"{target.spread['median']:,.3g}{unit} (at {sign} {target.limit:,g})"


def draw(targets: Sequence[Target]) -> str:
    """SVG text, on a ground of its own, so that it is legible on a dark page, too."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    height = ROW * len(targets) + ABOVE + BELOW
    with mpl.rc_context(STYLE | {"svg.hashsalt": "targets"}):
        figure = Figure(figsize=(WIDTH, height), facecolor="white")
        axes = figure.add_axes(
            (LABELS, BELOW / height, 1 - LABELS - NUMBERS - 0.02, 1 - (ABOVE + BELOW) / height)
        )
        axes.set(xscale="log", ylim=(len(targets) - 0.4, -0.6), yticks=[])
        reach = max(NEAREST, *(share for one in targets for share in shares(one)))
        least = min(1 / NEAREST, *(share for one in targets for share in shares(one)))
        axes.set_xlim(least / 1.1, reach * 1.1)
        axes.axvline(1, color=INK, linewidth=1)
        for row, target in enumerate(targets):
            _row(axes, row, target)
        axes.text(1, 1.01, "asked for", ha="center", va="bottom", transform=axes.get_xaxis_transform())
        axes.set_xlabel("times as good as asked for")
        ticks = [tick for tick in (0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8, 12, 16) if least <= tick <= reach]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.spines["left"].set_visible(False)
        drawn = io.StringIO()
        # whole, however long its texts are
        figure.savefig(drawn, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    return drawn.getvalue()


def _row(axes: Any, row: int, target: Target) -> None:
    median, worst, best = shares(target)
    colour = NORMAL if target.met else BLAST
    axes.axhline(row, color=LINE, linewidth=0.6)
    axes.plot([worst, best], [row, row], color=colour, linewidth=2.5, solid_capstyle="round", alpha=0.45)
    axes.plot([median], [row], "o" if target.met else "X", color=colour, markersize=6.5)
    edge = {"transform": axes.get_yaxis_transform(), "va": "center", "fontsize": 9}
    axes.text(-0.015, row, target.label, ha="right", **edge)
    axes.text(1.015, row, numbers(target), ha="left", color=colour, **edge)
