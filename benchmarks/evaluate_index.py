"""The evaluation at full scale: the ruler's out-of-fold predictions for all 10,661 training cells of
C-NMC 2019.

Boxes, folds, labels and subjects come from the official index in the package; no image is needed. A
fresh process reads the table, evaluates it and writes the report. Published: weighted F1 0.787, AUROC
0.804.

    python benchmarks/evaluate_index.py [--out FOLDER]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl

from leukoscope.cohort.official import official_index
from leukoscope.evaluation.ruler import RULER_FEATURES, out_of_fold_ruler
from leukoscope.evaluation.table import PredictionTable

PROCESS = """
import sys, time
from leukoscope.evaluation.evaluate import evaluate
from leukoscope.evaluation.report import summary, write_report
report = evaluate(sys.argv[1])
for name, estimate, interval, _ in summary(report):
    print(f"{name:<28} {estimate:>6}   {interval}")
judged = time.process_time()
write_report(report, sys.argv[2])
print(f"processor time: {judged:.2f} s for the numbers, {time.process_time():.2f} s with the page")
"""


def ruler_table() -> PredictionTable:
    """What the ruler says of every training cell, fitted on the other two official folds."""
    index = official_index().filter(pl.col("split") == "training")
    p = out_of_fold_ruler(index, features=tuple(RULER_FEATURES))
    rows = index.select("sha256", "fold", "label", cell_id="uid_name", subject_id="subject")
    return PredictionTable(rows.with_columns(blast_probability=p))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="keep table and report here")
    out = parser.parse_args().out or Path(tempfile.mkdtemp())
    table = ruler_table().write(out / "ruler.parquet")
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", PROCESS, str(table), str(out / "report")], check=True)
    print(f"the whole process: {time.perf_counter() - started:.2f} s; report in {out / 'report'}")


if __name__ == "__main__":
    main()
