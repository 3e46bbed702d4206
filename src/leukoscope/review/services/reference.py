"""What people of the model's evaluation read at the operating point of a case, to lay its reading beside."""

from __future__ import annotations

from typing import NamedTuple

from leukoscope.bundle.format import BundleInfo
from leukoscope.evaluation.people import PeopleSummary, summarise_people
from leukoscope.evaluation.subject_table import MIN_CELLS

UNKNOWN = "this model's bundle does not say what people of its evaluation read at this operating point"
KINDS = {"normal": "healthy people", "blast": "leukaemic people"}


class Reference(NamedTuple):
    """Median and range of both kinds of people.

    Attributes:
        kinds: healthy people, then leukaemic ones; empty where the bundle does not say.
        words: what they are, in one sentence.
    """

    kinds: tuple[PeopleSummary, ...]
    words: str


def reference_readings(info: BundleInfo, operating_point: str) -> Reference:
    """What the bundle says of people at this operating point."""
    found = (info.reference_readings or {}).get(operating_point)
    if not found:
        return Reference((), UNKNOWN)
    whom = "drawn, not real, people" if info.training_data.synthetic else "people"
    whose = info.metrics_on or "its evaluation"
    words = (
        f"share of judged cells called blast of {whom} whom the model had not seen ({whose}), "
        f"at least {MIN_CELLS} judged cells each, at {operating_point}"
    )
    return Reference(summarise_people(found, info.positive_classes), words)
