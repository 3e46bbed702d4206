"""A study's table for docs/results.md, from study.csv files.

    python scripts/study_table.py STUDY/study.csv...

One row for each recipe: the published accuracy; accuracy, loss, recall, weighted F1 and AUROC by image and
by subject, with the interval where there is one; the ruler's AUROC; parameters and seconds of training.
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

METRICS = ("accuracy", "log_loss", "sensitivity", "weighted_f1", "auroc")
COLUMNS = (
    "recipe",
    "published",
    "reading",
    "accuracy",
    "loss",
    "recall",
    "weighted F1",
    "AUROC",
    "size alone",
)
COSTS = ("parameters", "training, s", "protocol")


def reading(row: dict[str, object], prefix: str) -> list[str]:
    cells = [figure(row, f"{prefix}_{name}") for name in METRICS]
    return [*cells, number(row[f"{prefix}_size_auroc"])]


def figure(row: dict[str, object], name: str) -> str:
    low, high = row[f"{name}_ci_low"], row[f"{name}_ci_high"]
    interval = "" if low is None else f" ({number(low)} to {number(high)})"
    return number(row[name]) + interval


def number(value: object) -> str:
    return "" if value is None else f"{value:.3f}"


def lines(row: dict[str, object]) -> list[list[str]]:
    found = []
    for name in ("image", "subject"):
        prefix = f"none_{name}"
        if row.get(f"{prefix}_status") != "done":
            found.append([str(row["recipe"]), "", name, str(row.get(f"{prefix}_status")), *[""] * 8])
            continue
        published = row["published_accuracy"]
        cost = [f"{row['parameters']:,}", f"{row[f'{prefix}_training_seconds']:,.0f}"]
        found.append(
            [
                str(row["recipe"]) if name == "image" else "",
                "" if published is None or name == "subject" else f"{published:g}",
                "image, LEAKY" if name == "image" else "subject",
                *reading(row, prefix),
                *cost,
                str(row[f"{prefix}_protocol"]),
            ]
        )
    return found


def main(paths: list[str]) -> None:
    header = [*COLUMNS, *COSTS]
    print("| " + " | ".join(header) + " |\n|" + "---|" * len(header))
    for path in paths:
        for row in pl.read_csv(Path(path), infer_schema_length=None).iter_rows(named=True):
            for line in lines(row):
                print("| " + " | ".join(line) + " |")


if __name__ == "__main__":
    main(sys.argv[1:])
