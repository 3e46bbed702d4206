"""All metrics under 2,000 draws of subjects on one core, beside a plain loop over scikit-learn.

The cells are the 10,661 training cells of C-NMC 2019 with the ruler's out-of-fold predictions, from the
official index in the package. The loop takes the cells of the drawn subjects and asks scikit-learn for each
metric that it has; it is timed on a few draws.

    python benchmarks/bootstrap.py [--rounds 5] [--loop-draws 20]
"""

from __future__ import annotations

import argparse
import os
import time
from statistics import median

import numpy as np
from sklearn import metrics as sk

from evaluate_index import ruler_table
from leukoscope.evaluation.bootstrap import NUM_DRAWS, Subjects, replicates


def ours(y: np.ndarray, p: np.ndarray, subjects: Subjects) -> float:
    """Seconds of all draws and all 15 metrics."""
    started = time.perf_counter()
    replicates(y, p, subjects, subjects.draw(NUM_DRAWS, 0), threshold=0.5)
    return time.perf_counter() - started


def loop(y: np.ndarray, p: np.ndarray, subjects: Subjects, num_draws: int) -> float:
    """Seconds that all draws would take, of 13 metrics (scikit-learn has no calibration error)."""
    cells_of = [np.flatnonzero(subjects.index == place) for place in range(len(subjects.names))]
    times = subjects.draw(num_draws, 0).astype(int)
    started = time.perf_counter()
    for row in times:
        drawn = np.concatenate([np.tile(cells, count) for cells, count in zip(cells_of, row, strict=True)])
        truth, score = y[drawn], p[drawn]
        called = score >= 0.5
        sk.f1_score(truth, called, average="weighted")
        sk.f1_score(truth, called, average="macro")
        sk.accuracy_score(truth, called)
        sk.balanced_accuracy_score(truth, called)
        sk.recall_score(truth, called)
        sk.recall_score(truth, called, pos_label=False)
        sk.precision_score(truth, called)
        sk.precision_score(truth, called, pos_label=False)
        sk.matthews_corrcoef(truth, called)
        sk.roc_auc_score(truth, score)
        sk.average_precision_score(truth, score)
        sk.brier_score_loss(truth, score)
        sk.log_loss(truth, score)
    return (time.perf_counter() - started) * NUM_DRAWS / num_draws


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--loop-draws", type=int, default=20)
    options = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    table = ruler_table()
    subjects = Subjects.of(table.subjects, table.y)
    print(f"{len(table.p):,} cells of {len(subjects.names)} subjects, {NUM_DRAWS:,} draws, one core")
    pairs = []
    for _ in range(options.rounds):
        own, theirs = ours(table.y, table.p, subjects), loop(table.y, table.p, subjects, options.loop_draws)
        pairs.append((own, theirs))
        print(f"ours {own:6.2f} s, loop {theirs:8.1f} s, {theirs / own:6.0f} times", flush=True)
    ratios = [theirs / own for own, theirs in pairs]
    print(
        f"median: {median(own for own, _ in pairs):.2f} s, {median(ratios):.0f} times "
        f"({min(ratios):.0f} to {max(ratios):.0f}, {len(ratios)} pairs)"
    )


if __name__ == "__main__":
    main()
