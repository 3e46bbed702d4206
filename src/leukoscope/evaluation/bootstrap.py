"""Intervals that respect subjects: whole subjects are drawn again, all their cells with them.

Cells of one subject are alike, so a thousand cells of ten subjects say little more than ten numbers.
Subjects are drawn with replacement within their class, so that each draw has as many blast and normal
subjects as the table.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from leukoscope.core.parallel import ordered_map
from leukoscope.core.progress import track
from leukoscope.evaluation import metrics
from leukoscope.evaluation.ranking import Ranking, area_by_steps, area_under_roc

Floats = npt.NDArray[np.float64]

CONFIDENCE = 0.95
NUM_DRAWS = 2000
MIN_SUBJECTS = 5
"""Subjects of a class below which no interval is given: three people drawn again say nothing of a fourth."""

LONG = 200_000_000
"""Cells times draws from which progress is shown: some ten seconds."""

P_ACCURACY = 1e-4

IntervalMethod = Literal["expanded", "percentile", "bca"]
INTERVAL_WORDS: dict[IntervalMethod, str] = {
    "expanded": "expanded percentile interval (Hesterberg 2015)",
    "percentile": "percentile interval",
    "bca": "bias-corrected and accelerated interval (Efron 1987)",
}

CHUNK = 50_000
"""Cells times draws that are weighted at once; so few stay in the cache of a processor, and in memory that
is used again."""


class Interval(NamedTuple):
    """A confidence interval, or the reason why there is none (``low`` and ``high`` are then ``None``)."""

    low: float | None
    high: float | None
    reason: str | None = None

    @property
    def ends(self) -> tuple[float, float] | None:
        """Both ends, where there is an interval."""
        return None if self.low is None or self.high is None else (self.low, self.high)


class Bend(NamedTuple):
    """How far draws lie to one side of the estimate, and how their spread changes with it."""

    bias: float
    acceleration: float


NO_BEND = Bend(0.0, 0.0)


@dataclass(frozen=True)
class Subjects:
    """Whose the cells are.

    Attributes:
        names: (S,) subject ids, sorted.
        index: (N,) position in ``names`` of each cell's subject.
        num_blasts, num_normals: (S,) cells of each kind.
    """

    names: npt.NDArray[np.str_]
    index: npt.NDArray[np.intp]
    num_blasts: Floats
    num_normals: Floats

    @classmethod
    def of(cls, subjects: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """From one subject id and one label a cell, (N,) each."""
        names, index = np.unique(np.asarray(subjects, dtype=np.str_), return_inverse=True)
        positive = np.asarray(y, dtype=np.float64)
        blasts = np.bincount(index, weights=positive, minlength=len(names))
        cells = np.bincount(index, minlength=len(names)).astype(np.float64)
        return cls(names, index, blasts.astype(np.float64), cells - blasts)

    @cached_property
    def mixed(self) -> npt.NDArray[np.bool_]:
        """(S,) subjects with cells of both kinds; they are a stratum of their own."""
        return np.asarray((self.num_blasts > 0) & (self.num_normals > 0))

    def num_with(self, *, blasts: bool) -> int:
        """Subjects with at least one blast, or with at least one normal cell."""
        return int(np.count_nonzero(self.num_blasts if blasts else self.num_normals))

    @cached_property
    def strata(self) -> npt.NDArray[np.intp]:
        """(S,) subjects of one number are drawn among each other: those with blasts, with normal cells, with
        both."""
        return np.asarray((self.num_blasts > 0) + 2 * (self.num_normals > 0), dtype=np.intp)

    def draw(self, num_draws: int, seed: int) -> Floats:
        """How often each subject is drawn, (num_draws, S), stratified by class."""
        random = np.random.default_rng(seed)
        times = np.zeros((num_draws, len(self.names)))
        for kind in np.unique(self.strata):
            members = np.flatnonzero(self.strata == kind)
            times[:, members] = random.multinomial(len(members), [1 / len(members)] * len(members), num_draws)
        return times

    def totals(self, values: Floats) -> Floats:
        """Sums over each subject's cells, (S, F), of values (N, F)."""
        size = len(self.names)
        columns = [np.bincount(self.index, weights=column, minlength=size) for column in values.T]
        return np.stack(columns, axis=1)


def replicates(
    y: npt.NDArray[np.bool_], p: Floats, subjects: Subjects, times: Floats, *, threshold: float
) -> dict[str, Floats]:
    """Every metric of :data:`metrics.NAMES` under each row of subject weights.

    Args:
        y, p: (N,) labels and blast probabilities.
        subjects: whose the cells are.
        times: (B, S) weight of each subject's cells, as :meth:`Subjects.draw` gives it.
        threshold: a cell is called a blast from this probability on.

    Returns:
        name -> (B,), NaN where the metric is undefined.
    """
    counts = called_counts(y, p >= threshold, subjects, times)
    result = {name: metric(counts) for name, metric in metrics.CALLED.items()}
    return result | _means(y, p, subjects, times) | _ranked(y, p, subjects, times)


def called_counts(
    y: npt.NDArray[np.bool_],
    called: npt.NDArray[np.bool_],
    subjects: Subjects,
    times: Floats,
    *,
    weights: Floats | float = 1.0,
) -> metrics.Confusion:
    """The confusion matrix under each row of subject weights, four arrays (B,); ``weights`` (N,) of cells."""
    kinds = np.stack([y & called, ~y & called, y & ~called, ~y & ~called])
    cells: Floats = (kinds * weights).astype(np.float64).T
    return metrics.Confusion(*(times @ subjects.totals(cells)).T)


def _means(y: npt.NDArray[np.bool_], p: Floats, subjects: Subjects, times: Floats) -> dict[str, Floats]:
    in_bin = np.eye(metrics.NUM_BINS)[metrics.width_bin(p)] * (y - p)[:, None]
    values = np.column_stack(
        [np.ones(len(y)), metrics.squared_errors(y, p), metrics.log_losses(y, p), in_bin]
    )
    sums = times @ subjects.totals(values)
    total = np.where(sums[:, 0] > 0, sums[:, 0], np.nan)
    return {
        "brier": sums[:, 1] / total,
        "log_loss": sums[:, 2] / total,
        "ece_equal_width": np.abs(sums[:, 3:]).sum(axis=1) / total,
    }


def _ranked(y: npt.NDArray[np.bool_], p: Floats, subjects: Subjects, times: Floats) -> dict[str, Floats]:
    ranking = Ranking.of(y, p)
    owner = subjects.index[ranking.order]
    step = max(1, CHUNK // len(owner))
    parts = [times[start : start + step] for start in range(0, len(times), step)]

    def read(part: Floats) -> tuple[Floats, ...]:
        counts = ranking.sorted_counts(np.take(part, owner, axis=1))
        error = metrics.equal_mass_error(counts, ranking.scores)
        return area_under_roc(counts), area_by_steps(counts), error

    found: Iterator[tuple[Floats, ...]] = ordered_map(read, parts)
    if len(times) * len(owner) > LONG:
        found = track(found, "drawing subjects", len(parts))
    columns = zip(*found, strict=True)
    return dict(zip(("auroc", "average_precision", "ece"), map(np.concatenate, columns), strict=True))


def expanded_level(confidence: float, num_subjects: int) -> float:
    """The lower tail at which a percentile interval is cut, "expanded" for few subjects (Hesterberg 2015).

    A bootstrap distribution is too narrow by ``sqrt((n - 1) / n)`` and lacks the long tails of Student's
    t; this level, ``Phi(-sqrt(n / (n - 1)) * t)``, makes up for both.

    >>> round(expanded_level(0.95, 15), 4), round(expanded_level(0.95, 1000), 4)
    (0.0132, 0.0248)
    """
    from scipy.special import ndtr, stdtrit

    quantile = stdtrit(num_subjects - 1, (1 + confidence) / 2)
    return float(ndtr(-np.sqrt(num_subjects / (num_subjects - 1)) * quantile))


def interval(
    draws: Floats,
    num_subjects: int,
    *,
    confidence: float = CONFIDENCE,
    method: IntervalMethod = "expanded",
    bend: Bend = NO_BEND,
) -> Interval:
    """The interval of a number from its bootstrap ``draws`` (B,).

    Args:
        draws: one value a draw; NaN where it is undefined.
        num_subjects: of the smaller class.
        confidence: level of the interval.
        method: ``"expanded"``, the percentile interval widened for few subjects (:func:`expanded_level`);
            ``"percentile"``; or ``"bca"``, bias-corrected and accelerated (Efron 1987), which needs ``bend``.
        bend: how the draws lie to the estimate, of :func:`bend_of`.
    """
    if num_subjects < MIN_SUBJECTS:
        return Interval(
            None, None, f"no interval: {num_subjects} subjects in a class, {MIN_SUBJECTS} are needed"
        )
    defined = draws[np.isfinite(draws)]
    if len(defined) < 0.95 * len(draws) or not len(defined):
        return Interval(
            None, None, f"no interval: undefined in {len(draws) - len(defined)} of {len(draws)} draws"
        )
    low, high = np.quantile(defined, _levels(method, confidence, num_subjects, bend))
    return Interval(float(low), float(high))


def _levels(method: IntervalMethod, confidence: float, num_subjects: int, bend: Bend) -> tuple[float, float]:
    from scipy.special import ndtr, ndtri

    tail = (1 - confidence) / 2
    if method == "percentile":
        return tail, 1 - tail
    if method == "expanded":
        level = expanded_level(confidence, num_subjects)
        return level, 1 - level
    ends = bend.bias + ndtri(np.array([tail, 1 - tail]))
    low, high = ndtr(bend.bias + ends / (1 - bend.acceleration * ends))
    return float(low), float(high)


def bend_of(estimate: float, draws: Floats, left_out: Floats, strata: npt.NDArray[np.intp]) -> Bend:
    """What the BCa interval corrects for.

    Args:
        estimate: on the table itself.
        draws: (B,) bootstrap draws.
        left_out: (S,) the number without each subject in turn; NaN where it is undefined then.
        strata: (S,) which subjects are drawn among each other (several samples: Davison & Hinkley 1997, 5.3).
    """
    from scipy.special import ndtri

    defined = draws[np.isfinite(draws)]
    below = np.mean(defined < estimate) + np.mean(defined == estimate) / 2
    edge = 1 / (len(defined) + 1)
    influence = np.zeros(len(left_out))
    for stratum in np.unique(strata):
        mine = (strata == stratum) & np.isfinite(left_out)
        if number := int(mine.sum()):
            pull = (number - 1) * (left_out[mine].mean() - left_out[mine])
            influence[mine] = pull / number
    spread = float((influence**2).sum())
    acceleration = float((influence**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0
    return Bend(float(ndtri(np.clip(below, edge, 1 - edge))), acceleration)


def p_value(
    draws: Floats, num_subjects: int, *, method: IntervalMethod = "expanded", bend: Bend = NO_BEND
) -> float | None:
    """How readily a difference is on the other side of zero, two-sided, 0..1.

    It is one less the confidence at which the difference's interval just reaches zero.

    ``None`` where there is no interval to give. An interval that is cut beyond the outermost of B draws, at
    less than one in B + 1, is unknown and taken to hold zero: five people cannot give a p of 0.001.

    Args:
        draws, num_subjects, method, bend: as :func:`interval` takes them.
    """

    edge = 1 / (len(draws) + 1)

    def holds_zero(confidence: float) -> bool:
        low, high = _levels(method, confidence, num_subjects, bend)
        if min(low, 1 - high) < edge:
            return True
        found = interval(draws, num_subjects, confidence=confidence, method=method, bend=bend)
        return found.low is None or found.high is None or found.low <= 0 <= found.high

    if interval(draws, num_subjects).reason is not None:
        return None
    least, most = 0.0, 1 - edge
    if holds_zero(least):
        return 1.0
    if not holds_zero(most):
        return edge
    while most - least > P_ACCURACY:
        middle = (least + most) / 2
        least, most = (least, middle) if holds_zero(middle) else (middle, most)
    return 1 - most
