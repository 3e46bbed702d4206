"""Print the tables of docs/results.md from reports that `leukoscope evaluate` wrote on the same cells.

    python scripts/results_tables.py NAME=REPORT/report.json ...

The ruler beside the models is that of the first report.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

METRICS = ("auroc", "weighted_f1", "balanced_accuracy", "sensitivity", "specificity", "ece", "brier")
FEW_CELLS = 20


def main() -> None:
    reports = {}
    for argument in sys.argv[1:]:
        name, _, path = argument.partition("=")
        reports[name] = json.loads(Path(path).read_text(encoding="utf-8"))
    print_metrics(reports)
    print_differences(reports)
    print_subjects(reports)


def print_metrics(reports: dict[str, Any]) -> None:
    first = next(iter(reports.values()))
    columns = {name: report["metrics"] for name, report in reports.items()}
    columns["ruler"] = first["baselines"]["size"]
    print(f"| metric | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for metric in METRICS:
        print(f"| {metric} | {' | '.join(reading(metrics[metric]) for metrics in columns.values())} |")
    for words, key in (
        ("mean of ALL subjects", "blast"),
        ("mean of HEM subjects", "normal"),
        ("worst subject", "worst"),
    ):
        shown = [mean_text(report["subject_means"], key) for report in reports.values()]
        print(f"| accuracy, {words} | {' | '.join(shown)} | |")
    print()


def reading(metric: dict[str, Any]) -> str:
    if metric["estimate"] is None:
        return "undefined"
    if metric["ci_low"] is None:
        return f"{metric['estimate']:.3f}"
    return f"{metric['estimate']:.3f} ({metric['ci_low']:.3f} to {metric['ci_high']:.3f})"


def mean_text(means: dict[str, Any], key: str) -> str:
    who = f" ({means['worst_subject_id']})" if key == "worst" else ""
    return "undefined" if means[key] is None else f"{means[key]:.3f}{who}"


def print_differences(reports: dict[str, Any]) -> None:
    print("| minus the ruler, same cells, same draws of subjects | AUROC | weighted F1 |\n|---|---|---|")
    for name, report in reports.items():
        found = [report["model_minus_size"][metric] for metric in ("auroc", "weighted_f1")]
        cells = [f"{d['difference']:+.3f} ({d['ci_low']:+.3f} to {d['ci_high']:+.3f})" for d in found]
        print(f"| {name} | {' | '.join(cells)} |")
    print()


def print_subjects(reports: dict[str, Any]) -> None:
    print(f"| subject | cells | {' | '.join(reports)} |\n|---|---|{'---|' * len(reports)}")
    tables = [{row["subject_id"]: row for row in report["subjects"]} for report in reports.values()]
    for subject, row in sorted(tables[0].items(), key=lambda item: (item[1]["label"], -item[1]["num_cells"])):
        few = "" if row["num_cells"] >= FEW_CELLS else " *"
        accuracies = " | ".join(f"{table[subject]['accuracy']:.2f}" for table in tables)
        print(f"| {subject}{few} | {row['num_cells']} | {accuracies} |")


if __name__ == "__main__":
    main()
