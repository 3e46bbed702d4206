"""How often the interval of an AUROC holds the truth, for a few ways of making it.

Invented people: each shifts the logits of all their cells, cells differ around that, people have very
different numbers of cells. The truth is the AUROC of a very large number of such people.

    python benchmarks/interval_coverage.py [--cohorts 500]
"""

from __future__ import annotations

import argparse

import numpy as np

from leukoscope.evaluation import metrics
from leukoscope.evaluation.bootstrap import Subjects, expanded_level, replicates

SHIFT, SPREAD, CELLS = 0.8, 1.2, 40
DRAWS = 1000
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


def intervals(
    y: np.ndarray, p: np.ndarray, subject: np.ndarray, smaller: int
) -> dict[str, tuple[float, float]]:
    """Three intervals of the AUROC: cells drawn again; subjects drawn again, percentile and expanded."""
    found = {}
    of_subjects = Subjects.of(subject.astype(str), y)
    of_cells = Subjects.of(np.arange(len(y)).astype(str), y)
    ranks = {
        name: replicates(y, p, subjects, subjects.draw(DRAWS, 0), threshold=0.5)["auroc"]
        for name, subjects in (("cells", of_cells), ("subjects", of_subjects))
    }
    found["cells, percentile"] = tuple(np.quantile(ranks["cells"], [0.025, 0.975]))
    found["subjects, percentile"] = tuple(np.quantile(ranks["subjects"], [0.025, 0.975]))
    level = expanded_level(0.95, smaller)
    found["subjects, expanded"] = tuple(np.quantile(ranks["subjects"], [level, 1 - level]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cohorts", type=int, default=500)
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
