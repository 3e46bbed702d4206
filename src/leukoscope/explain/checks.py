"""Is a map worth looking at? Some questions, asked on some of the cells, answered with numbers.

J. Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018. V. Petsiuk et al., "RISE", BMVC 2018
(deletion and insertion).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field

from leukoscope.core.config import Config
from leukoscope.errors import LeukoscopeError
from leukoscope.evaluation.report import number
from leukoscope.explain.evidence import Cells, Evidence, Floats
from leukoscope.explain.foreground import Mask, foreground, shares
from leukoscope.explain.methods import Method, over_views

DRAWS = 3
"""Networks with random weights that maps are compared with."""
ALIKE = 0.5
"""Rank correlation from which on maps of the trained and of a random network are called alike."""
ORDERS = 3
"""Random orders that a map is compared with, for each cell."""
MOST = 0.75
"""Share of the cells in which a map must beat random orders: with 12 cells, chance does in 7 of 100 cases."""
STEPS = 8
"""In which the pixels of a cell are taken away, or put back."""
BLUR = 1 / 16
"""Deviation of the blur that insertion starts from, as a share of the picture's side."""
GAP = 0.05
"""Of what a map should add up to: how much may be missing."""
UNCHANGED = 1e-6
"""Log-odds that differ by less than this are the same."""


class Check(Config):
    """One question and its answer.

    Attributes:
        name: of the check.
        question: in plain words.
        answer: in plain words, with its figures.
        holds: what a map worth looking at would answer; ``None`` where the question could not be put.
        figures: the numbers by name.
    """

    name: str
    question: str
    answer: str
    holds: bool | None = None
    figures: dict[str, float | int] = Field(default_factory=dict)


class Sample(NamedTuple):
    """Cells (N, S, S, 3) that show a cell, and their maps (N, h, w)."""

    cells: Cells
    maps: Floats


def check(method: Method, evidence: Evidence, sample: Sample, *, views: int, seed: int = 0) -> list[Check]:
    """Put all questions to the maps of these cells.

    Args:
        method: that made the maps.
        evidence: what the bundle says of cells.
        sample: the cells and their maps.
        views: 1 or 8, as the bundle predicts.
        seed: of random weights and random orders.
    """
    if not len(sample.cells):
        return []
    masks = [foreground(cell) for cell in sample.cells]
    found = [
        depends_on_weights(method, sample, masks, views=views, seed=seed),
        *follows_the_map(evidence, sample, masks, seed=seed),
        lies_on_the_cell(sample, masks),
    ]
    return found if method.reference is None else [*found, adds_up(method, evidence, sample)]


def depends_on_weights(
    method: Method, sample: Sample, masks: Sequence[Mask], *, views: int, seed: int
) -> Check:
    """Whether the map is another one when the network has random weights.

    Maps of the trained and of random networks are compared by rank over the places that show the cell: beyond
    it all networks see the same black.
    """
    name, question = "randomised weights", "Does the map show what the network has learned?"
    alike: list[float] = []
    for draw in range(DRAWS):
        try:
            mapper = method.randomised(seed + draw)
        except LeukoscopeError as error:
            return Check(
                name=name, question=question, answer=f"Not checked: {error.message}. {error.hint}".strip()
            )
        maps = over_views(mapper, sample.cells, views)
        pairs = [
            rank_correlation(*(one[shares(mask, one.shape) > 0] for one in (ours, random)))
            for ours, random, mask in zip(sample.maps, maps, masks, strict=True)
        ]
        alike += [value for value in pairs if value is not None]
    if not alike:
        return Check(name=name, question=question, answer="Not checked: the maps have one value everywhere.")
    mean, size = float(np.mean(alike)), float(np.mean(np.abs(alike)))
    answer = (
        f"Rank correlation with the maps of {DRAWS} networks of random weights, over the places on the cell: "
        f"mean {number(mean, 2)}, mean of its size {number(size, 2)}, from {number(min(alike), 2)} to "
        f"{number(max(alike), 2)}. "
        "Near 0 the maps have nothing in common; near 1 the map shows the picture and not the network."
    )
    figures = {"mean": mean, "mean_size": size, "least": min(alike), "greatest": max(alike)}
    return Check(
        name=name,
        question=question,
        answer=answer,
        holds=size < ALIKE,
        figures=figures | {"num_pairs": len(alike), "num_networks": DRAWS},
    )


def rank_correlation(first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]) -> float | None:
    """Spearman's, equal values sharing their rank; ``None`` where one of the two has one value only."""
    one, other = (pl.Series(values.ravel().astype(np.float64)) for values in (first, second))
    value = pl.select(pl.corr(one, other, method="spearman")).item()
    return None if value is None or not np.isfinite(value) else float(value)


class Way(NamedTuple):
    """How pixels are exchanged in the order of a map: ``falls`` says whether the log-odds should go down."""

    name: str
    question: str
    done: str
    falls: bool


WAYS = (
    Way("deletion", "Does the answer fall when what speaks for blast is blurred first?", "blurred", True),
    Way("deletion to black", "Does it fall when that is blackened first?", "blackened", True),
    Way("insertion", "Does it rise when that is put back first?", "put back into the blurred cell", False),
)
"""Blackening makes holes, which no network of whole cells has seen: what it says of holes is mixed into the
answer (docs/decisions/0801). It is asked all the same."""


def follows_the_map(evidence: Evidence, sample: Sample, masks: Sequence[Mask], *, seed: int) -> list[Check]:
    """Deletion and insertion: whether the answer goes with what the map says first, more than by chance."""
    rng = np.random.default_rng(seed)
    found = [
        gains(evidence, cell, values, mask, rng=rng)
        for cell, values, mask in zip(sample.cells, sample.maps, masks, strict=True)
    ]
    moved = any(np.any(one) for one in found)
    return [_follows(way, [float(one[place]) for one in found], moved) for place, way in enumerate(WAYS)]


def _follows(way: Way, gained: list[float], moved: bool) -> Check:
    if not moved:
        answer = "Not checked: the answer is the same whatever is taken away."
        return Check(name=way.name, question=way.question, answer=answer)
    better, mean = sum(gain > UNCHANGED for gain in gained), float(np.mean(gained))
    return Check(
        name=way.name,
        question=way.question,
        answer=f"With the cell's pixels {way.done}, strongest place first, the log-odds of blast are "
        f"{'lower' if way.falls else 'higher'} in {better} of {len(gained)} cells than with the places in "
        f"random order; by {number(mean, 2)} in the mean over the whole way.",
        holds=mean > 0 and better >= MOST * len(gained),
        figures={"num_better": better, "num_cells": len(gained), "mean_gain": mean, "num_orders": ORDERS},
    )


def gains(
    evidence: Evidence,
    cell: npt.NDArray[np.uint8],
    found: Floats,
    mask: Mask,
    *,
    rng: np.random.Generator,
    orders: int = ORDERS,
    steps: int = STEPS,
) -> npt.NDArray[np.float64]:
    """How much better than random orders the map's order is for one cell, for each of :data:`WAYS`, (3,).

    That is the difference of the mean log-odds on the way (the area under the curve), less the mean over the
    random orders; above zero is better. Only pixels of the cell are exchanged: to take black from black would
    be no feat. A random order is that of the same map with its values on the cell exchanged among places, so
    that what is taken away at once is as large and as connected. All zero where the log-odds never change.

    Args:
        evidence: the log-odds of blast of cells.
        cell: (S, S, 3).
        found: its map (h, w).
        mask: (S, S), the cell's pixels.
        rng: draws the orders.
        orders: random orders.
        steps: of each curve.
    """
    on_cell = shares(mask, found.shape) > 0
    maps = [found, *(_exchanged(found, on_cell, rng) for _ in range(orders))]
    blurred = _blurred(cell, mask)
    ways = ((cell, blurred), (cell, np.zeros_like(cell)), (blurred, cell))
    pictures = [
        picture
        for one in maps
        for before, after in ways
        for picture in _on_the_way(before, after, order_of(one, mask), steps)
    ]
    odds = evidence(np.stack(pictures)).reshape(len(maps), len(ways), steps + 1)
    if np.ptp(odds) <= UNCHANGED:
        return np.zeros(len(ways))
    areas = ((odds[..., 1:] + odds[..., :-1]) / 2).mean(axis=2)
    higher = areas[0] - areas[1:].mean(axis=0)
    return np.asarray(higher * [-1 if way.falls else 1 for way in WAYS])


def _on_the_way(
    before: npt.NDArray[np.uint8], after: npt.NDArray[np.uint8], order: npt.NDArray[np.int64], steps: int
) -> Iterator[npt.NDArray[np.uint8]]:
    """Pictures from ``before`` on, the pixels exchanged for those of ``after`` in this order."""
    for step in range(steps + 1):
        part = order[: len(order) * step // steps]
        picture = before.reshape(-1, 3).copy()
        picture[part] = after.reshape(-1, 3)[part]
        yield picture.reshape(before.shape)


def _exchanged(found: Floats, on_cell: npt.NDArray[np.bool_], rng: np.random.Generator) -> Floats:
    mixed = found.copy()
    mixed[on_cell] = rng.permutation(mixed[on_cell])
    return mixed


def order_of(found: Floats, mask: Mask) -> npt.NDArray[np.int64]:
    """Pixels of the cell, as places in the flattened picture, strongest evidence for blast first."""
    height, width = mask.shape
    large = cv2.resize(found, (width, height), interpolation=cv2.INTER_LINEAR).ravel()
    pixels = np.flatnonzero(mask)
    return np.asarray(pixels[np.argsort(-large[pixels], kind="stable")])


def _blurred(cell: npt.NDArray[np.uint8], mask: Mask) -> npt.NDArray[np.uint8]:
    """The cell without its texture: blurred within its outline, so that no black flows in."""
    inside = mask.astype(np.float32)
    deviation = max(len(cell) * BLUR, 1.0)
    weight = cv2.GaussianBlur(inside, (0, 0), deviation)
    colours = cv2.GaussianBlur(cell * inside[..., None], (0, 0), deviation)
    smooth = np.divide(colours, weight[..., None], out=np.zeros_like(colours), where=mask[..., None])
    return np.asarray(smooth.round().clip(0, 255), dtype=np.uint8)


def lies_on_the_cell(sample: Sample, masks: Sequence[Mask]) -> Check:
    """How much of the map lies on the cell, beside how much of the picture the cell covers."""
    name, question = "share on the cell", "Does the map lie on the cell?"
    found = [share_on_cell(one, mask) for one, mask in zip(sample.maps, masks, strict=True)]
    held = [share for share in found if share is not None]
    area = float(np.mean([mask.mean() for mask in masks]))
    if not held:
        return Check(name=name, question=question, answer="Not checked: the maps are empty.")
    if area > 1 - UNCHANGED:
        return Check(name=name, question=question, answer="Not checked: the cells do not lie on black.")
    share = float(np.mean(held))
    return Check(
        name=name,
        question=question,
        answer=f"{share:.0%} of the map (of its size, for and against) lies on the cell, which covers "
        f"{area:.0%} of the picture. A map that knew nothing of the cell would have these two alike.",
        holds=share > area,
        figures={"mean_share": share, "mean_area": area, "num_cells": len(held)},
    )


def share_on_cell(found: Floats, mask: Mask) -> float | None:
    """Share of a map's size (sum of its absolute values) that lies on the cell; ``None`` for an empty map."""
    size = np.abs(found)
    total = float(size.sum())
    return float((size * shares(mask, found.shape)).sum() / total) if total > 0 else None


def adds_up(method: Method, evidence: Evidence, sample: Sample) -> Check:
    """Whether the values of a map add up to the log-odds of the cell less those of its reference."""
    assert method.reference is not None
    wanted = evidence(sample.cells) - evidence(method.reference(sample.cells))
    gap = float(np.abs(sample.maps.sum(axis=(1, 2)) - wanted).mean())
    size = float(np.abs(wanted).mean())
    missing = "less than 0.01" if gap < 0.01 else number(gap, 2)
    return Check(
        name="sum of the map",
        question="Is nothing left out, and nothing added?",
        answer="The values of a map add up to the log-odds of the cell less those of what it is compared "
        f"with, but for {missing}; that difference is {number(size, 2)} in the mean.",
        holds=gap <= GAP * size + UNCHANGED,
        figures={"mean_gap": gap, "mean_difference": size, "num_cells": len(sample.cells)},
    )
