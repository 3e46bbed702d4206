"""What size alone reads on the judged cells: the ruler beside the model."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl

from leukoscope.cohort.manifest import Manifest
from leukoscope.errors import UsageError
from leukoscope.evaluation.readings import Bools, Floats
from leukoscope.evaluation.ruler import out_of_fold_ruler
from leukoscope.evaluation.table import PredictionTable

_SIZES = ("cell_width", "cell_height")


class SizeBaseline(NamedTuple):
    """The ruler's probabilities, or why there are none.

    Attributes:
        p: (N,) for each judged row, NaN where the size is unknown; ``None`` where there is no ruler.
        source: where they come from, in words.
        reason: why there are none.
    """

    p: Floats | None
    source: str | None = None
    reason: str | None = None

    def known(self) -> Bools | None:
        """(N,) which judged rows have a probability; ``None`` where there is no ruler."""
        return None if self.p is None else np.isfinite(self.p)


def size_baseline(table: PredictionTable, data: Manifest | None) -> SizeBaseline:
    """The ruler on the judged rows of ``table``.

    From the column ``ruler_probability``. Without it from sizes and folds of ``data`` (or of the table
    itself), fitted for each fold on the labelled cells of the others. The folds are the table's where it
    has them.
    """
    judged = table.judged
    if not judged.height:
        return SizeBaseline(None, reason="there are no labelled, readable cells")
    if "ruler_probability" in judged.columns and judged["ruler_probability"].is_not_null().any():
        values = judged["ruler_probability"].fill_null(np.nan).to_numpy()
        return SizeBaseline(values, "the model's own ruler, column ruler_probability")
    own = {*_SIZES, "fold"} <= set(judged.columns) and judged["fold"].is_not_null().any()
    if data is None and not own:
        return SizeBaseline(
            None, reason="no column ruler_probability, and no manifest (--data) to fit a ruler on"
        )
    rows = judged if data is None else _with_sizes(judged, data)
    try:
        fitted = out_of_fold_ruler(rows, positive=table.positive_classes)
    except UsageError as error:
        return SizeBaseline(None, reason=f"no column ruler_probability, and {error.message}")
    if not np.isfinite(fitted[: judged.height]).any():
        return SizeBaseline(None, reason="no judged cell has both a fold and a known size")
    where = "the table" if data is None else "the manifest"
    return SizeBaseline(fitted[: judged.height], f"fitted fold by fold on sizes in {where}")


def _with_sizes(judged: pl.DataFrame, data: Manifest) -> pl.DataFrame:
    """The judged rows with sizes and folds; with the manifest's folds, its other cells come after them."""
    facts = data.frame.select("cell_id", "label", "fold", *_SIZES)
    own_folds = "fold" in judged.columns and not judged["fold"].null_count()
    kept = judged.select("cell_id", "label", *(["fold"] if own_folds else []))
    added = facts.drop("label", *(["fold"] if own_folds else []))
    rows = kept.join(added, on="cell_id", how="left", maintain_order="left").select(facts.columns)
    return rows if own_folds else pl.concat([rows, facts.join(kept, on="cell_id", how="anti")])
