"""How models of one partition fall when something is wrong with the pictures of people they never met.

    python benchmarks/corruptions.py BUNDLE... --cells SOURCE [--num 1000] [-o RESULTS.json]

Each BUNDLE was trained on all people of SOURCE but some; together they leave out each person once, as the
folds of a run do. Of each person as many cells are taken in turn until there are ``--num``. A cell is judged
by the bundle that never met its person, clean and with each corruption of ``leukoscope evaluate
--corruptions``; the rows of all bundles are judged together.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import polars as pl

from leukoscope.bundle.read import Bundle, open_bundle
from leukoscope.cells.corrupt import Corruption
from leukoscope.cohort.manifest import Manifest
from leukoscope.cohort.open import open_cohort
from leukoscope.core.files import write_json
from leukoscope.core.provenance import versions
from leukoscope.evaluation.evaluate import evaluate
from leukoscope.evaluation.paired import Difference
from leukoscope.evaluation.report import write_report
from leukoscope.evaluation.table import PredictionTable
from leukoscope.inference.corruptions import predict_corrupted
from leukoscope.inference.predictor import Predictor

SHOWN = ("auroc", "weighted_f1", "sensitivity", "specificity", "ece", "brier")


def in_turn(cells: pl.DataFrame, num: int) -> pl.DataFrame:
    """As many cells of each person as come, one of each in turn."""
    turn = cells.sample(fraction=1, shuffle=True, seed=0).with_columns(
        turn=pl.int_range(pl.len()).over("subject_id")
    )
    return turn.sort("turn", maintain_order=True).head(num).drop("turn")


def unmet(bundle: Bundle, cells: Manifest) -> Manifest:
    """The cells of people who fitted nothing of the bundle."""
    met = bundle.subjects["subject_id"].unique()
    return cells.with_frame(cells.frame.filter(~pl.col("subject_id").is_in(met.implode())))


def ends(found: Difference) -> dict[str, float | None]:
    return {key: digits(getattr(found, key)) for key in ("difference", "ci_low", "ci_high")}


def digits(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("bundles", nargs="+", help="the bundles of the folds of one partition")
    ask.add_argument("--cells", type=Path, required=True, help="C-NMC cells: folder, manifest")
    ask.add_argument("--num", type=int, default=1000, help="cells, dealt to people in turn")
    ask.add_argument("--report", type=Path, help="folder for the whole report")
    ask.add_argument("-o", "--out", type=Path, help="JSON")
    given = ask.parse_args()
    cohort = open_cohort(given.cells)
    labelled = cohort.frame.filter(pl.col("label").is_not_null() & (pl.col("source") == "training"))
    cells = cohort.with_frame(in_turn(labelled, given.num))
    tables, corrupted, seconds = list[PredictionTable](), dict[Corruption, list[pl.DataFrame]](), 0.0
    for bundle in map(open_bundle, given.bundles):
        part = unmet(bundle, cells)
        tables.append(Predictor(bundle).predict(part))
        started = time.perf_counter()
        for corruption, rows in predict_corrupted(bundle, part).items():
            corrupted.setdefault(corruption, []).append(rows)
        seconds += time.perf_counter() - started
    table = PredictionTable(
        pl.concat([one.frame for one in tables]), {**tables[0].metadata, "protocol": "grouped-kfold"}
    )
    report = evaluate(
        table, data=cells, corrupted={corruption: pl.concat(rows) for corruption, rows in corrupted.items()}
    )
    assert report.corruptions is not None
    if given.report is not None:
        write_report(report, given.report)
    print(f"{report.num_cells:,} cells, {100 * seconds / report.num_cells:.1f} s for 100, all corruptions")
    print({name: digits(report.metrics[name].estimate) for name in SHOWN})
    rows = []
    for row in report.corruptions.rows:
        falls = {name: ends(row.differences[name]) for name in SHOWN}
        withheld = {key: digits(getattr(row.withheld, key).estimate) for key in ("indeterminate", "novel")}
        rows.append({"kind": row.kind, "severity": row.severity, "amount": row.amount, **falls, **withheld})
        print(f"{row.kind}, {row.severity}: {falls} {withheld}")
    if given.out is not None:
        clean = {name: digits(report.metrics[name].estimate) for name in SHOWN}
        head = {"kind": "corruptions", "num_cells": report.num_cells, "num_subjects": report.num_subjects}
        named = [one.metadata["bundle_id"] for one in tables]
        write_json(
            given.out, head | {"bundle_ids": named, "versions": versions(), "clean": clean, "rows": rows}
        )


if __name__ == "__main__":
    main()
