"""How often the interval of an AUROC holds the truth, for a few ways of making it.

Invented people: each shifts the logits of all their cells, cells differ around that, people have very
different numbers of cells. The truth is the AUROC of a very large number of such people.

    python benchmarks/interval_coverage.py [--cohorts 2000]
"""

from __future__ import annotations

import argparse

import numpy as np

from leukoscope.evaluation import metrics
from leukoscope.evaluation.bootstrap import Subjects, expanded_level

SHIFT, SPREAD, CELLS = 0.8, 1.2, 40
DRAWS = 2000
COHORTS = ((47, 26), (30, 15), (14, 7), (8, 5))
"""Blast and normal subjects: the official training set, the cells that tests use, smaller ones."""


def draw_cohort(random: np.random.Generator, blasts: int, normals: int) -> tuple[np.ndarray, ...]:
    """Labels, probabilities and subjects of one cohort."""
    kind = np.repeat([True, False], [blasts, normals])
    size = np.maximum(1, random.lognormal(np.log(CELLS), 0.9, len(kind))).astype(int)
    subject = np.repeat(np.arange(len(kind)), size)
    shift = random.normal(0, SHIFT, len(kind))[subject]
    y = kind[subject]
    z = 1.6 * y - 0.8 + shift + random.normal(0, SPREAD, len(y))
    return y, 1 / (1 + np.exp(-z)), subject


def by_draw(y: np.ndarray, p: np.ndarray, owner: np.ndarray, num_draws: int) -> np.ndarray:
    """The AUROC of each draw; it is bilinear in the weights of owners, so pairs of them are counted once."""
    owners = Subjects.of(owner, y)
    times = owners.draw(num_draws, 0)
    blasts, normals = (np.flatnonzero(kind) for kind in (owners.num_blasts, owners.num_normals))
    order = np.argsort(p)
    below = np.zeros((len(p), len(owners.names)))
    below[np.arange(len(p)), owners.index[order]] = ~y[order]
    below = np.cumsum(below, axis=0)[y[order]]
    pairs = np.zeros((len(owners.names), len(owners.names)))
    np.add.at(pairs, owners.index[order][y[order]], below)
    won = np.einsum(
        "bs,st,bt->b", times[:, blasts], pairs[np.ix_(blasts, normals)], times[:, normals], optimize=True
    )
    return won / ((times @ owners.num_blasts) * (times @ owners.num_normals))


def intervals(
    y: np.ndarray, p: np.ndarray, subject: np.ndarray, smaller: int
) -> dict[str, tuple[float, float]]:
    """Three intervals of the AUROC: cells drawn again (by a formula); subjects, percentile and expanded."""
    draws = by_draw(y, p, subject, DRAWS)
    level = expanded_level(0.95, smaller)
    area = float(metrics.auroc(y, p))
    half = 1.96 * hanley_mcneil(area, int(y.sum()), int((~y).sum()))
    return {
        "cells, Hanley-McNeil": (area - half, area + half),
        "subjects, percentile": tuple(np.quantile(draws, [0.025, 0.975])),
        "subjects, expanded": tuple(np.quantile(draws, [level, 1 - level])),
    }


def hanley_mcneil(area: float, blasts: int, normals: int) -> float:
    """The standard error of an AUROC whose cells are taken as independent (Hanley & McNeil 1982)."""
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (blasts - 1) * (q1 - area**2) + (normals - 1) * (q2 - area**2)
    return float(np.sqrt(variance / (blasts * normals)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cohorts", type=int, default=2000)
    num_cohorts = parser.parse_args().cohorts
    random = np.random.default_rng(0)
    truth = float(metrics.auroc(*draw_cohort(random, 8000, 8000)[:2]))
    print(f"true AUROC {truth:.4f}; {num_cohorts} cohorts of each size, {DRAWS} draws, level 95 %")
    for blasts, normals in COHORTS:
        held: dict[str, list[bool]] = {}
        width: dict[str, list[float]] = {}
        for _ in range(num_cohorts):
            cells = draw_cohort(random, blasts, normals)
            for name, (low, high) in intervals(*cells, smaller=min(blasts, normals)).items():
                held.setdefault(name, []).append(low <= truth <= high)
                width.setdefault(name, []).append(high - low)
        for name, hits in held.items():
            share, mean = 100 * np.mean(hits), np.mean(width[name])
            print(f"{blasts:>3} and {normals:>3} subjects, {name:<22} {share:5.1f} %, width {mean:.3f}")


if __name__ == "__main__":
    main()
