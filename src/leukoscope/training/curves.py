"""``curves.svg``: loss and accuracy of every epoch, training beside validation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from leukoscope.core.files import atomic


def draw_curves(history: list[dict[str, Any]], best_epoch: int, path: Path) -> None:
    """Write the two panels as SVG.

    Args:
        history: rows of ``metrics.jsonl``.
        best_epoch: marked by a line.
        path: the file to write.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9, 3.4), layout="constrained")
    FigureCanvasSVG(figure)
    epochs = [row["epoch"] for row in history]
    for axes, quantity in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for part, colour in (("train", "#0072B2"), ("validation", "#D55E00")):
            values = [row[f"{part}_{quantity}"] for row in history]
            if values[0] is not None:
                axes.plot(epochs, values, marker="o", markersize=3, color=colour, label=part)
        axes.axvline(
            best_epoch, color="#777777", linestyle=":", linewidth=1, label=f"kept: epoch {best_epoch}"
        )
        axes.set(xlabel="epoch", ylabel=quantity)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    with atomic(path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})
