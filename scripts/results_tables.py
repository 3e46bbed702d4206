"""Print the tables of docs/results.md, from reports that `leukoscope evaluate` wrote or from bundles.

    python scripts/results_tables.py NAME=REPORT/report.json NAME=MODEL.leuko/bundle.json ...

All must be of the same cells. The ruler beside the models is that of the first.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

METRICS = ("auroc", "weighted_f1", "balanced_accuracy", "sensitivity", "specificity", "ece", "brier")
FEW_CELLS = 20


class Figures(NamedTuple):
    """What a report or a bundle says of one model, as plain data."""

    metrics: dict[str, Any]
    size: dict[str, Any] | None
    minus_size: dict[str, Any] | None
    subjects: list[dict[str, Any]]
    means: dict[str, Any]


def read(path: Path) -> Figures:
    """The figures of a ``report.json`` or a ``bundle.json``."""
    said = json.loads(path.read_text(encoding="utf-8"))
    if "baselines" in said:
        size, minus = said["baselines"]["size"], said["model_minus_size"]
        return Figures(said["metrics"], size, minus, said["subjects"], said["subject_means"])
    beside = said["evidence"]
    return Figures(
        said["metrics"], beside["size"], beside["minus_size"], beside["subjects"], beside["subject_means"]
    )


def main() -> None:
    """Print all tables."""
    found = {}
    for argument in sys.argv[1:]:
        name, _, path = argument.partition("=")
        found[name] = read(Path(path))
    print_rows(found)
    print_metrics(found)
    print_differences(found)
    print_subjects(found)


def print_rows(found: dict[str, Figures]) -> None:
    """One line a model, as the tables of what was tried have it."""
    print("| | AUROC | weighted F1 | mean of ALL | mean of HEM | worst |\n|---|---|---|---|---|---|")
    for name, figures in found.items():
        metrics = [reading(figures.metrics[metric]) for metric in ("auroc", "weighted_f1")]
        means = [mean_text(figures.means, key) for key in ("blast", "normal", "worst")]
        print(f"| {name} | {' | '.join(metrics + means)} |")
    print()


def print_metrics(found: dict[str, Figures]) -> None:
    """All metrics beside the ruler's."""
    columns = {name: figures.metrics for name, figures in found.items()}
    first = next(iter(found.values()))
    if first.size:
        columns["ruler"] = first.size
    print(f"| metric | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for metric in METRICS:
        print(f"| {metric} | {' | '.join(reading(metrics[metric]) for metrics in columns.values())} |")
    for words, key in (
        ("mean of ALL subjects", "blast"),
        ("mean of HEM subjects", "normal"),
        ("worst subject", "worst"),
    ):
        shown = [mean_text(figures.means, key) for figures in found.values()]
        print(f"| accuracy, {words} | {' | '.join(shown)} | |")
    print()


def reading(metric: dict[str, Any]) -> str:
    """Estimate and interval."""
    if metric["estimate"] is None:
        return "undefined"
    return f"{metric['estimate']:.3f}{between((metric['ci_low'], metric['ci_high']))}"


def mean_text(means: dict[str, Any], key: str) -> str:
    """A mean over subjects, or the worst, with its interval."""
    if means[key] is None:
        return "undefined"
    who = f", {means['worst_subject_id']}" if key == "worst" else ""
    return f"{means[key]:.3f}{between(means[f'{key}_ci'])}{who}"


def between(ends: Any) -> str:
    """An interval in brackets, if there is one."""
    return "" if ends is None or ends[0] is None else f" ({ends[0]:.3f} to {ends[1]:.3f})"


def print_differences(found: dict[str, Figures]) -> None:
    """Each model less its ruler."""
    print("| minus the ruler, same cells, same draws of subjects | AUROC | weighted F1 |\n|---|---|---|")
    for name, figures in found.items():
        if figures.minus_size is None:
            continue
        rows = [figures.minus_size[metric] for metric in ("auroc", "weighted_f1")]
        cells = [f"{d['difference']:+.3f} ({d['ci_low']:+.3f} to {d['ci_high']:+.3f})" for d in rows]
        print(f"| {name} | {' | '.join(cells)} |")
    print()


def print_subjects(found: dict[str, Figures]) -> None:
    """Accuracy of every subject."""
    print(f"| subject | cells | {' | '.join(found)} |\n|---|---|{'---|' * len(found)}")
    tables = [{row["subject_id"]: row for row in figures.subjects} for figures in found.values()]
    for subject, row in sorted(tables[0].items(), key=lambda item: (item[1]["label"], -item[1]["num_cells"])):
        few = "" if row["num_cells"] >= FEW_CELLS else " *"
        accuracies = " | ".join(f"{table[subject]['accuracy']:.2f}" for table in tables)
        print(f"| {subject}{few} | {row['num_cells']} | {accuracies} |")


if __name__ == "__main__":
    main()
