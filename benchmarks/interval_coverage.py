"""How often 95 % intervals hold the truth, for a few ways of making them.

Invented people: each shifts the logits of all their cells, cells differ around that, people have very
different numbers of cells. The truth is the AUROC, or the specificity at 0.5, of a very large number of such
people.

    python benchmarks/interval_coverage.py [--cohorts 1000] [--figure docs/images/interval_coverage.svg]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from leukoscope.core.files import write_text
from leukoscope.core.progress import progress
from leukoscope.evaluation import metrics
from leukoscope.evaluation.bootstrap import Subjects, bend_of, called_counts, interval
from leukoscope.evaluation.subject_pairs import auroc_of_draws

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHIFT, SPREAD, CELLS = 0.8, 1.2, 40
DRAWS = 2000
COHORTS = ((47, 26), (30, 15), (13, 15), (14, 7), (8, 5))
"""Blast and normal subjects: official training, the cells that tests use, official preliminary, smaller."""

WAYS = ("cells", "percentile", "bca", "expanded")
SHOWN = {"cells": "cells as independent", "percentile": "percentile", "bca": "BCa", "expanded": "expanded"}
Held = dict[tuple[str, str], float]


def draw_cohort(random: np.random.Generator, blasts: int, normals: int) -> tuple[np.ndarray, ...]:
    """Labels, probabilities and subjects of one cohort."""
    kind = np.repeat([True, False], [blasts, normals])
    size = np.maximum(1, random.lognormal(np.log(CELLS), 0.9, len(kind))).astype(int)
    subject = np.repeat(np.arange(len(kind)), size)
    shift = random.normal(0, SHIFT, len(kind))[subject]
    y = kind[subject]
    z = 1.6 * y - 0.8 + shift + random.normal(0, SPREAD, len(y))
    return y, 1 / (1 + np.exp(-z)), subject


def truths(random: np.random.Generator) -> dict[str, float]:
    """What a very large number of people reads."""
    y, p, _ = draw_cohort(random, 8000, 8000)
    return {"auroc": float(metrics.auroc(y, p)), "specificity": float((p[~y] < 0.5).mean())}


def intervals(
    y: np.ndarray, p: np.ndarray, subject: np.ndarray
) -> dict[tuple[str, str], tuple[float, float]]:
    """(metric, way) -> the interval of one cohort."""
    subjects = Subjects.of(subject, y)
    size = len(subjects.names)
    times = np.concatenate([np.ones((1, size)), subjects.draw(DRAWS, 0), 1 - np.eye(size)])
    num_normals = subjects.num_with(blasts=False)
    smaller = {"auroc": min(num_normals, subjects.num_with(blasts=True)), "specificity": num_normals}
    values = {
        "auroc": auroc_of_draws(y, p, subjects, times),
        "specificity": metrics.specificity(called_counts(y, p >= 0.5, subjects, times)),
    }
    found = {}
    for name, value in values.items():
        estimate, draws, left_out = value[0], value[1 : 1 + DRAWS], value[1 + DRAWS :]
        bend = bend_of(estimate, draws, left_out, subjects.strata)
        found[name, "cells"] = by_cells(name, float(estimate), y)
        for way in ("percentile", "bca", "expanded"):
            ends = interval(draws, smaller[name], method=way, bend=bend)  # type: ignore[arg-type]
            assert ends.low is not None and ends.high is not None
            found[name, way] = (ends.low, ends.high)
    return found


def by_cells(name: str, estimate: float, y: np.ndarray) -> tuple[float, float]:
    """The usual interval, whose cells are taken as independent: of an AUROC by Hanley & McNeil (1982), of a
    share by the normal distribution."""
    blasts, normals = int(y.sum()), int((~y).sum())
    if name == "auroc":
        q1, q2 = estimate / (2 - estimate), 2 * estimate**2 / (1 + estimate)
        variance = estimate * (1 - estimate) + (blasts - 1) * (q1 - estimate**2)
        variance = (variance + (normals - 1) * (q2 - estimate**2)) / (blasts * normals)
    else:
        variance = estimate * (1 - estimate) / normals
    half = 1.96 * np.sqrt(variance)
    return estimate - half, estimate + half


def coverage(
    blasts: int, normals: int, num_cohorts: int, *, seed: int = 0, step: Callable[[int], None] | None = None
) -> tuple[Held, Held]:
    """(metric, way) -> the share of cohorts whose interval holds the truth, and the mean width."""
    random = np.random.default_rng(seed)
    truth = truths(random)
    held: dict[tuple[str, str], list[bool]] = {}
    width: dict[tuple[str, str], list[float]] = {}
    for _ in range(num_cohorts):
        for (name, way), (low, high) in intervals(*draw_cohort(random, blasts, normals)).items():
            held.setdefault((name, way), []).append(low <= truth[name] <= high)
            width.setdefault((name, way), []).append(high - low)
        if step:
            step(1)
    return (
        {key: float(np.mean(hits)) for key, hits in held.items()},
        {key: float(np.mean(each)) for key, each in width.items()},
    )


def draw_figure(found: dict[tuple[int, int], Held]) -> str:
    """Coverage of each way over the cohorts, AUROC solid and specificity dashed, as SVG text."""
    from leukoscope.evaluation.figures import INK, draw

    colours = {"cells": "#8c8c8c", "percentile": "#0072b2", "bca": "#009e73", "expanded": "#6a3d9a"}

    def drawing(axes: Axes) -> None:
        places = np.arange(len(found))
        axes.axhspan(92, 97, color="#6a3d9a", alpha=0.08, linewidth=0)
        axes.axhline(95, color=INK, linewidth=0.8, linestyle=":")
        for way in WAYS:
            for metric, style in (("auroc", "o-"), ("specificity", "s--")):
                shares = [100 * held[metric, way] for held in found.values()]
                label = SHOWN[way] if metric == "auroc" else None
                axes.plot(places, shares, style, color=colours[way], ms=5, linewidth=1.5, label=label)
        axes.set(xlabel="blast and normal subjects", ylabel="intervals that hold the truth, %", ylim=(0, 102))
        axes.set_xticks(places, [f"{blasts} + {normals}" for blasts, normals in found])
        axes.legend(loc="center right")

    told = "; ".join(
        f"{SHOWN[way]}, {metric}: " + ", ".join(f"{100 * held[metric, way]:.0f} %" for held in found.values())
        for way in WAYS
        for metric in ("auroc", "specificity")
    )
    people = ", ".join(f"{blasts} + {normals}" for blasts, normals in found)
    text = f"Share of 95 % intervals that hold the truth, with {people} subjects. {told}."
    return draw("interval_coverage", drawing, text=text, width=7)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cohorts", type=int, default=1000)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    print(f"{options.cohorts} cohorts of each size, {DRAWS} draws, level 95 %: share held (mean width)")
    found = {}
    for blasts, normals in COHORTS:
        with progress(f"{blasts} and {normals} subjects", options.cohorts) as bar:
            held, width = coverage(blasts, normals, options.cohorts, step=bar.advance)
        found[blasts, normals] = held
        for metric in ("auroc", "specificity"):
            told = [f"{way} {100 * held[metric, way]:.1f} % ({width[metric, way]:.3f})" for way in WAYS]
            print(f"{blasts:>3} and {normals:>2}, {metric:<11} {'; '.join(told)}", flush=True)
    if options.figure:
        write_text(options.figure, draw_figure(found))


if __name__ == "__main__":
    main()
