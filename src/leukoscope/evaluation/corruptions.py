"""How each metric falls when something is wrong with the pictures: the same cells, clean and corrupted."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from leukoscope.cells.corrupt import Corruption
from leukoscope.core.config import Config
from leukoscope.errors import TableError
from leukoscope.evaluation import metrics
from leukoscope.evaluation.paired import Difference, differences
from leukoscope.evaluation.readings import Cells, Judgement, Metric, read_calls

COLUMNS = ("cell_id", "blast_probability", "decision", "reason")
"""What is needed of the rows of each corruption."""

NOVEL = "novel"


class Withheld(Config):
    """How often no answer is given.

    Attributes:
        indeterminate: share of the cells whose decision is ``indeterminate``, for whatever reason.
        novel: share of the cells with the reason ``novel``.
        reasons: every reason -> cells.
    """

    indeterminate: Metric
    novel: Metric
    reasons: dict[str, int]


class CorruptionRow(Config):
    """The cells with one thing wrong.

    Attributes:
        kind, severity, amount: what is wrong and how much, as :class:`~leukoscope.cells.corrupt.Corruption`.
        differences: metric -> corrupted less clean, paired by subject; ``first`` is the corrupted reading.
        withheld: how often no answer is given.
    """

    kind: str
    severity: str
    amount: str
    differences: dict[str, Difference]
    withheld: Withheld


class CorruptionReading(Config):
    """Every corruption against the clean cells; ``clean`` is how often no answer is given to these."""

    clean: Withheld
    rows: list[CorruptionRow]


def read_corruptions(
    clean: Judgement, judged: pl.DataFrame, corrupted: Mapping[Corruption, pl.DataFrame]
) -> CorruptionReading:
    """Set every corruption beside the clean cells, on the same draws of subjects.

    Args:
        clean: what the clean cells read.
        judged: their rows, in the order of ``clean``.
        corrupted: corruption -> rows of the same cells, in any order, with :data:`COLUMNS`.

    Raises:
        TableError: when a corruption lacks one of the cells, or could not be read where the clean cell was.
    """
    rows = []
    for corruption, predicted in corrupted.items():
        same = judged.select("cell_id").join(
            predicted, on="cell_id", how="left", validate="1:1", maintain_order="left"
        )
        if missing := same["blast_probability"].null_count():
            raise TableError(f"{corruption.name}: {missing:,} judged cells have no probability")
        model = Judgement(clean.cells, same["blast_probability"].to_numpy(), clean.threshold)
        rows.append(
            CorruptionRow(
                kind=corruption.kind,
                severity=corruption.severity,
                amount=corruption.amount,
                differences=differences(model, clean, metrics.NAMES),
                withheld=_withheld(clean.cells, same),
            )
        )
    return CorruptionReading(clean=_withheld(clean.cells, judged), rows=rows)


def _withheld(cells: Cells, rows: pl.DataFrame) -> Withheld:
    decided = (rows["decision"] != "indeterminate").to_numpy()
    known = (rows["reason"].fill_null("") != NOVEL).to_numpy()
    counted = rows["reason"].drop_nulls().value_counts(sort=True)
    nobody = np.zeros(len(decided), dtype=np.bool_)
    return Withheld(
        indeterminate=read_calls(cells, decided, nobody)["share_indeterminate"],
        novel=read_calls(cells, known, nobody)["share_indeterminate"],
        reasons={str(reason): int(count) for reason, count in counted.iter_rows()},
    )
