"""One row a subject: what its cells were called. No diagnosis is given for a subject."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import polars as pl

from leukoscope.cells.segmentation.found import NO_CELL_AT_ALL, NOT_A_LYMPHOID_CELL, NOT_A_SINGLE_CELL

Z_95 = 1.959963984540054
"""The 0.975 quantile of the standard normal distribution."""


def by_subject(frame: pl.DataFrame | pl.LazyFrame) -> pl.DataFrame:
    """Count the decisions of each subject, in the order in which subjects first appear.

    Args:
        frame: rows of a prediction table with ``subject_id, decision, blast_probability`` and, where
            known, ``error``. Of photographs (with the column ``photograph``) also ``reason``.
            Rows without a subject make one row with an empty ``subject_id``.

    Returns:
        ``subject_id, num_cells, num_blast, num_normal, num_indeterminate, num_unreadable, blast_fraction,
        ci_low, ci_high, mean_probability``. The four counts add up to ``num_cells``; an unreadable cell is
        not counted as indeterminate. ``blast_fraction`` is blasts among the decided cells (blast or normal),
        with the 95 % Wilson interval, which takes cells as independent; null where no cell was decided. Of
        photographs two more counts stand apart, and the six add up: ``num_not_lymphoid``, white cells of
        another kind, and ``num_not_single``, what is no single whole cell; neither is in a mean or a share.
    """
    columns = frame.collect_schema().names()
    broken = pl.col("blast_probability").is_null()
    if "error" in columns:
        broken = broken | (pl.col("error").fill_null("") != "")
    apart = _apart() if "photograph" in columns else {}
    asked = ~broken & ~pl.any_horizontal(pl.lit(False), *apart.values())
    counts = {
        f"num_{name}": (asked & (pl.col("decision") == name)).sum()
        for name in ("blast", "normal", "indeterminate")
    } | {name: (~broken & told).sum() for name, told in apart.items()}
    rows = (
        frame.lazy()
        .group_by(pl.col("subject_id").fill_null(""), maintain_order=True)
        .agg(
            num_cells=pl.len(),
            **counts,
            num_unreadable=broken.sum(),
            mean_probability=pl.col("blast_probability").filter(asked).mean(),
        )
    )
    low, high = wilson(pl.col("num_blast"), pl.col("num_blast") + pl.col("num_normal"))
    decided = pl.col("num_blast") + pl.col("num_normal")
    share = pl.when(decided > 0).then(pl.col("num_blast") / decided)
    rows = rows.with_columns(blast_fraction=share, ci_low=low, ci_high=high)
    order = ["subject_id", "num_cells", *counts, "num_unreadable", "blast_fraction", "ci_low", "ci_high"]
    return rows.select(*order, "mean_probability").collect()


def _apart() -> dict[str, pl.Expr]:
    """What a model of lymphoid cells was not asked about, by the reason."""
    reason = pl.col("reason").fill_null("")
    other = reason.str.starts_with(NOT_A_LYMPHOID_CELL)
    not_single = reason.str.starts_with(NOT_A_SINGLE_CELL) | reason.str.starts_with(NO_CELL_AT_ALL)
    return {"num_not_lymphoid": other, "num_not_single": not_single}


def wilson(successes: pl.Expr, trials: pl.Expr, *, z: float = Z_95) -> tuple[pl.Expr, pl.Expr]:
    """Wilson's score interval (Wilson 1927) for a share; null where there are no trials.

    >>> low, high = wilson(pl.lit(8), pl.lit(10))
    >>> pl.select(low.round(4).alias("low"), high.round(4).alias("high")).row(0)
    (0.4902, 0.9433)
    """
    n = trials.cast(pl.Float64)
    low, high = _ends(successes / n, n, z, pl.Expr.sqrt)
    known = trials > 0
    return pl.when(known).then(low.clip(0.0, 1.0)), pl.when(known).then(high.clip(0.0, 1.0))


def wilson_of(successes: int, trials: int) -> tuple[float, float] | tuple[None, None]:
    """The same of two numbers, at once: Polars shares even these out to threads, and waits for them.

    >>> tuple(round(end, 4) for end in wilson_of(8, 10)), wilson_of(0, 0)
    ((0.4902, 0.9433), (None, None))
    """
    if not trials:
        return None, None
    low, high = _ends(successes / trials, float(trials), Z_95, math.sqrt)
    return max(0.0, low), min(1.0, high)


def _ends(share: Any, n: Any, z: float, root: Callable[[Any], Any]) -> tuple[Any, Any]:
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * root(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return centre - half, centre + half
