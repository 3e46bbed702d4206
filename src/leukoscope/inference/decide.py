"""From probabilities to decisions: blast, normal, or indeterminate with its reason."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from leukoscope.bundle.format import BundleInfo
from leukoscope.cohort.smears import Origin
from leukoscope.evaluation.operating_points import BETWEEN, INDETERMINATE

NOVEL = "novel"


def decide(
    probability: np.ndarray,
    *,
    errors: Sequence[str | None],
    flags: Sequence[Iterable[str]],
    novelty: np.ndarray,
    info: BundleInfo,
    origins: Sequence[Origin | None] | None = None,
) -> tuple[list[str], list[str | None]]:
    """A decision for every cell, by the bundle's first operating point, and why it is indeterminate.

    The first reason that holds is given: a file that cannot be read (``"unreadable: ..."``), something found
    in a photograph that is no single lymphoid cell (``"not a single cell: edge"``, ``"not a lymphoid cell:
    lobed"``), a flag that
    forbids an answer (``"quality: blank"``), an image unlike everything in training (``"novel"``), a
    probability between the thresholds (``"between thresholds"``).

    Args:
        probability: (N,) calibrated blast probability, NaN where there is none.
        errors: (N,) why a file could not be read, ``None`` where it could.
        flags: (N,) quality flags of each cell.
        novelty: (N,) distance to the training references, NaN where unknown.
        info: holds operating points and limits.
        origins: (N,) where in a photograph each was found, ``None`` for a cell that came cut out.

    Returns:
        The decisions ``blast``, ``normal`` or ``indeterminate``, and the reasons, ``None`` for a decided
        cell.
    """
    called = info.operating_points[0].decide(probability)
    limit = info.novelty.distance if info.novelty else np.inf
    decisions: list[str] = []
    reasons: list[str | None] = []
    places = origins or [None] * len(errors)
    for call, error, place, found, distance in zip(called, errors, places, flags, novelty, strict=True):
        forbidden = [flag for flag in found if flag in info.forbidding_flags]
        other = place.why_not_judged if place else None
        reason = _reason(
            str(call), error=error, other=other, forbidden=forbidden, novel=bool(distance > limit)
        )
        decisions.append(INDETERMINATE if reason else str(call))
        reasons.append(reason)
    return decisions, reasons


def _reason(
    call: str, *, error: str | None, other: str | None, forbidden: Sequence[str], novel: bool
) -> str | None:
    if error is not None:
        return f"unreadable: {error}"
    if other is not None:
        return other
    if forbidden:
        return f"quality: {','.join(forbidden)}"
    if novel:
        return NOVEL
    return BETWEEN if call == INDETERMINATE else None
