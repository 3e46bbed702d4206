"""Does the int8 model stand in for the one that it was made from? Two prediction tables of the same cells."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
from pydantic import Field

from leukoscope.core.config import Config
from leukoscope.evaluation.bootstrap import NUM_DRAWS
from leukoscope.evaluation.paired import Difference, differences
from leukoscope.evaluation.partitions import aligned
from leukoscope.evaluation.ranking import ratio
from leukoscope.evaluation.readings import Bools, Cells, Judgement, Metric, read_metric
from leukoscope.evaluation.table import PredictionTable

COMPARED = ("auroc", "log_loss", "brier", "ece")
NOVEL = "novel"


class Budget(Config):
    """What int8 may cost.

    Attributes:
        decisions: share of the decisions that may be others, 0..1.
        auroc: by how much the AUROC may be lower.
    """

    decisions: float = Field(default=0.02, ge=0, le=1)
    auroc: float = Field(default=0.005, ge=0, le=1)


class StandIn(Config):
    """What changes where an int8 model takes the place of the fp32 one, on labelled cells of N people.

    Attributes:
        decisions_changed: share of the cells whose decision (blast, normal or indeterminate, for whatever
            reason) is another one, both models having temperature, thresholds and novelty limit fitted on the
            same people.
        changed_in_all: the same share against the fp32 model as it stands, whose thresholds may be fitted on
            others.
        differences: name -> fp32 less int8, paired by subject: ``auroc`` (what is lost), ``log_loss``,
            ``brier``, ``ece`` (how calibration moved; above 0, int8 is the better one).
        largest_difference, mean_difference: of the blast probability of a cell, absolute.
        num_novel, num_novel_before: cells called novel, by the int8 and by the fp32 model.
    """

    decisions_changed: Metric
    changed_in_all: Metric
    differences: dict[str, Difference]
    largest_difference: float
    mean_difference: float
    num_novel: int
    num_novel_before: int

    def within(self, budget: Budget) -> bool:
        """Whether both estimates are within the budget; what is undefined is not."""
        changed, lost = self.decisions_changed.estimate, self.differences["auroc"].difference
        return (
            changed is not None and lost is not None and changed <= budget.decisions and lost <= budget.auroc
        )


class Quantisation(Config):
    """How a bundle's graph became int8, and what that cost.

    Attributes:
        of_bundle: id of the fp32 bundle.
        way: which way of quantising, by name.
        way_words: the same in words.
        given_up: ways tried before it, which missed the budget on the people fitted on.
        versions: of the programs that quantised.
        num_range_cells, num_range_subjects: on whom the ranges of the activations were measured.
        num_fitting_cells, num_fitting_subjects: on whom temperature, operating points and the novelty limit
            were fitted again, and the way was chosen.
        num_left_out: subjects that would have judged had they not fitted the fp32 bundle.
        references: the novelty references, ``"recomputed"`` by the int8 graph, ``"kept"`` from the fp32 graph
            where their cells were not at hand, or ``"none"``.
        budget: what it was allowed to cost.
        measured: what it costs, on people who fitted nothing.
    """

    of_bundle: str
    way: str
    way_words: str = ""
    given_up: tuple[str, ...] = ()
    versions: dict[str, str] = Field(default_factory=dict)
    num_range_cells: int
    num_range_subjects: int
    num_fitting_cells: int
    num_fitting_subjects: int
    num_left_out: int = 0
    references: str = "none"
    budget: Budget
    measured: StandIn

    @property
    def holds(self) -> bool:
        """Whether the cost is within the budget."""
        return self.measured.within(self.budget)


def stand_in(
    as_it_stands: PredictionTable,
    before: PredictionTable,
    after: PredictionTable,
    *,
    draws: int = NUM_DRAWS,
    seed: int = 0,
) -> StandIn:
    """Compare the decisions and probabilities of three tables of the same cells.

    Args:
        as_it_stands: by the fp32 model.
        before: by the fp32 model with all that is fitted to a graph fitted on the same people as ``after``.
        after: by the int8 model.
        draws: of the subject bootstrap; 0 gives no intervals.
        seed: of the draws.

    Raises:
        TableError: when the tables do not hold the same labelled, readable cells.
    """
    as_it_stands, before, after = aligned([as_it_stands, before, after])
    cells = Cells(before.y, before.subjects, draws, seed)
    apart = np.abs(before.p - after.p)
    old, new = (Judgement(cells, table.p, 0.5) for table in (before, after))
    return StandIn(
        decisions_changed=_share(_others(before, after), cells),
        changed_in_all=_share(_others(as_it_stands, after), cells),
        differences=differences(old, new, COMPARED),
        largest_difference=float(apart.max(initial=0.0)),
        mean_difference=float(apart.mean()) if len(apart) else 0.0,
        num_novel=_num_novel(after),
        num_novel_before=_num_novel(before),
    )


def _others(first: PredictionTable, second: PredictionTable) -> Bools:
    return (first.judged["decision"] != second.judged["decision"]).to_numpy()


def _num_novel(table: PredictionTable) -> int:
    return table.judged.filter(pl.col("reason") == NOVEL).height


def _share(marked: Bools, cells: Cells) -> Metric:
    """Share of the marked cells, by subject."""
    totals = cells.subjects.totals(np.column_stack([marked, np.ones(len(marked))]).astype(np.float64))
    some, every = (cells.times @ totals).T
    return read_metric("share", ratio(some, every), cells, marked)


def rows_for_people(found: Quantisation) -> Iterator[tuple[str, str]]:
    """What was measured, a line each: what, and how much with its interval."""
    measured, budget = found.measured, found.budget
    yield "decisions changed", f"{_share_words(measured.decisions_changed)}, allowed {budget.decisions:.1%}"
    yield "against the 32-bit bundle as it stands", _share_words(measured.changed_in_all)
    lost = measured.differences["auroc"]
    yield "AUROC lost", f"{_difference_words(lost)}, allowed {budget.auroc:.4f}"
    yield "AUROC, 32 bits and int8", f"{_number(lost.first)} and {_number(lost.second)}"
    for name, words in (("log_loss", "log loss"), ("ece", "calibration error"), ("brier", "Brier score")):
        moved = measured.differences[name]
        yield f"{words}, 32 bits and int8", f"{_number(moved.first)} and {_number(moved.second)}"
    yield (
        "probability of a cell moved by",
        f"{measured.mean_difference:.4f} on average, {measured.largest_difference:.4f} at most",
    )
    yield "called novel, 32 bits and int8", f"{measured.num_novel_before} and {measured.num_novel}"


def judged_words(found: Quantisation) -> str:
    """On whom it was measured, and on whom anything was fitted."""
    changed = found.measured.decisions_changed
    left_out = f"; {found.num_left_out} others fitted the fp32 model" if found.num_left_out else ""
    return (
        f"judged on {changed.num_cells:,} cells of {changed.num_subjects} people who fitted nothing"
        f"{left_out}; temperature and thresholds fitted on {found.num_fitting_cells:,} cells of "
        f"{found.num_fitting_subjects} others, ranges measured on {found.num_range_cells:,} cells of "
        f"{found.num_range_subjects}"
    )


def _share_words(share: Metric) -> str:
    if share.estimate is None:
        return "undefined"
    if share.ci_low is None or share.ci_high is None:
        return f"{share.estimate:.2%}"
    return f"{share.estimate:.2%} ({share.ci_low:.2%} to {share.ci_high:.2%})"


def _difference_words(found: Difference) -> str:
    if found.difference is None:
        return "undefined"
    if found.ci_low is None or found.ci_high is None:
        return f"{found.difference:+.4f}"
    return f"{found.difference:+.4f} ({found.ci_low:+.4f} to {found.ci_high:+.4f})"


def _number(value: Any) -> str:
    return "undefined" if value is None else f"{value:.4f}"
