"""Which calibration does best for people who did not fit it?

Out-of-fold rows of a recipe that draws both classes alike, each fold calibrated on all others by every
method, by the one that ``fit_calibration`` chooses, and by the one of least cross-validated loss, chance
disregarded. The log loss (nats a cell), Brier score and AUROC of all rows together are printed.

    python benchmarks/calibration.py RUN/predictions.parquet...
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl

from leukoscope.evaluation import metrics
from leukoscope.evaluation.calibrators import fit_calibration
from leukoscope.evaluation.table import PredictionTable

WAYS = ("temperature", "platt", "beta", "isotonic", "auto", "least loss")


def by_fold(table: PredictionTable, way: str) -> tuple[np.ndarray, Counter[str]]:
    """Blast probabilities of all rows, and how often each method was taken."""
    rows, classes = table.judged, table.classes
    logits = rows.select(f"logit_{name}" for name in classes).to_numpy().astype(float)
    labels = np.array([classes.index(label) for label in rows["label"]])
    subjects, folds = rows["subject_id"].to_numpy(), rows["fold"].to_numpy()
    shares = np.bincount(labels) / len(labels)
    p, taken = np.empty(len(labels)), Counter[str]()
    for fold in np.unique(folds):
        others, here = folds != fold, folds == fold
        cells = logits[others], labels[others], subjects[others]
        method = "auto" if way == "least loss" else way
        fitted = fit_calibration(*cells, method, shares=shares)
        if way == "least loss":
            least = min(fitted.cross_validated, key=fitted.cross_validated.__getitem__)
            fitted = fit_calibration(*cells, least, shares=shares)
        taken[fitted.method] += 1
        p[here] = fitted.apply(logits[here])[:, classes.index(table.positive_classes[0])]
    return p, taken


def main() -> None:
    """Print a row for each table and way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="+", type=Path)
    for path in parser.parse_args().tables:
        table = PredictionTable.read(path)
        table = PredictionTable(
            table.frame.drop_nulls("label").filter(pl.col("error").is_null()), table.metadata
        )
        for way in WAYS:
            p, taken = by_fold(table, way)
            log_loss, brier = metrics.log_loss(table.y, p), metrics.brier(table.y, p)
            methods = ", ".join(f"{method} {num}" for method, num in taken.items())
            print(
                f"{path.parent.name:10} {way:12} log loss {log_loss:.4f}  Brier {brier:.4f}  "
                f"AUROC {metrics.auroc(table.y, p):.4f}  {methods}"
            )


if __name__ == "__main__":
    main()
