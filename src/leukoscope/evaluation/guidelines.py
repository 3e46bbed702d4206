"""What three reporting guidelines ask for, and what the data at hand answer: a help for authors.

Items are paraphrased. The numbers of TRIPOD+AI (Collins et al., BMJ 2024;385:e078378) and CLAIM 2024
(Tejani et al., Radiology: Artificial Intelligence 2024;6:e240300) are those of their checklists; STARD-AI
(Sounderajah et al., Nature Medicine 2025) is referred to by topics of its sections.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from leukoscope.core.config import Config

NO_CERTIFICATE = (
    "A help for authors, not a certificate: it says which facts were at hand when this was written, not that "
    "a guideline is met. Items are paraphrased; numbers are those of TRIPOD+AI (Collins et al. 2024) and "
    "CLAIM 2024 (Tejani et al. 2024), and STARD-AI (Sounderajah et al. 2025) is referred to by topic."
)


class Topic(NamedTuple):
    """What is asked for, and where: item numbers, or words; empty where a guideline does not ask."""

    name: str
    tripod_ai: str
    claim: str
    stard_ai: str


TOPICS = (
    Topic("Intended use and users", "3b", "3, 41", "intended use of the AI test"),
    Topic("Source of the data", "5a", "7", "data source"),
    Topic("Centres and dates of collection", "5b, 6a", "7", "setting and dates"),
    Topic("Who was eligible", "6b", "8", "eligibility"),
    Topic("How images were taken", "9b", "13", ""),
    Topic("Preparation and quality of the input", "7", "9", ""),
    Topic("Reference standard: what the labels rest on", "8a, 8b", "14–18", "reference standard"),
    Topic("Blinding of those who labelled", "8c", "", "blinding"),
    Topic("How the sample size was planned", "10", "21", "sample size"),
    Topic("Missing, unreadable and undecided cells", "11", "12", "missing and indeterminate results"),
    Topic("How cells were shared out to training and test", "12a", "19", "partition of the data"),
    Topic("Level at which partitions are disjoint", "12a", "20", "partition of the data"),
    Topic("Type of model, input and output", "12c, 15", "22", "description of the AI test"),
    Topic("Where its weights started", "", "24", ""),
    Topic("Training, step by step", "12c", "25", ""),
    Topic("How the final model was chosen", "12c", "26", ""),
    Topic("Software and versions", "", "23", ""),
    Topic("Class imbalance", "13", "", ""),
    Topic("Thresholds, and when they were fixed", "15", "22", "positivity thresholds"),
    Topic("Measures of performance", "12e", "28", "measures of accuracy"),
    Topic("Statistical uncertainty", "12e", "29", "precision of the estimates"),
    Topic("Data unlike those of development", "16", "32, 33", ""),
    Topic("Flow of cells and people", "20a", "35", "flow of participants"),
    Topic("Age, sex, origin and illness of the people", "20b", "36", "characteristics of participants"),
    Topic("Cells and people in the analysis", "21", "35", ""),
    Topic("Calls against labels", "", "", "cross tabulation"),
    Topic("Performance with intervals", "23a", "37, 38", "accuracy with precision"),
    Topic("Calibration", "12e, 23a", "37", ""),
    Topic("Performance by subgroup, and fairness", "14, 23a", "", "bias and fairness"),
    Topic("Differences between people and folds", "12d, 23b", "", "variability"),
    Topic("Robustness and sensitivity analyses", "", "30", ""),
    Topic("Analysis of failures", "", "39", ""),
    Topic("Explanations of single results", "", "31", ""),
    Topic("Limitations", "26", "40", "limitations"),
    Topic("Poor or missing input in use", "27a", "", ""),
    Topic("What users must do and know", "27b", "41", "human interaction"),
    Topic("Availability of model and code", "18f", "43", "availability"),
    Topic(
        "Ethics, protocol, registration, funding, interests", "17, 18a–d", "34, 42, 44", "other information"
    ),
)


class GuidelineRow(Config):
    """One thing that guidelines ask for.

    Attributes:
        topic: in plain words.
        tripod_ai, claim, stard_ai: where they ask for it; empty where one does not.
        predictions, bundle: what the table and what the bundle say of it; where both are ``None``, it is not
            reported.
    """

    topic: str
    tripod_ai: str
    claim: str
    stard_ai: str
    predictions: str | None = None
    bundle: str | None = None

    @property
    def is_reported(self) -> bool:
        """Whether anything is known of it."""
        return self.predictions is not None or self.bundle is not None


def crosswalk(
    *, predictions: Mapping[str, str] | None = None, bundle: Mapping[str, str] | None = None
) -> list[GuidelineRow]:
    """Every topic with what is known of it.

    Args:
        predictions: topic -> answer, of :func:`guideline_answers.prediction_answers`.
        bundle: topic -> answer, of :func:`guideline_answers.bundle_answers`.
    """
    of_table, of_bundle = predictions or {}, bundle or {}
    return [
        GuidelineRow(
            topic=topic.name,
            tripod_ai=topic.tripod_ai,
            claim=topic.claim,
            stard_ai=topic.stard_ai,
            predictions=of_table.get(topic.name),
            bundle=of_bundle.get(topic.name),
        )
        for topic in TOPICS
    ]
