"""The card says what somebody must know, and nothing that bundle.json does not."""

from __future__ import annotations

import polars as pl
import pytest

from leukoscope.bundle.card import card
from leukoscope.bundle.format import Count, Metric, NoveltyLimit, Privacy, TrainingData
from leukoscope.bundle.privacy import salted, unnamed
from leukoscope.bundle.read import open_bundle
from leukoscope.evaluation.calibration import Calibration
from leukoscope.evaluation.partitions import read_partitions
from leukoscope.evaluation.people import PersonReading
from leukoscope.evaluation.table import PredictionTable

CITATION = "Gupta & Gupta 2019, The Cancer Imaging Archive, doi 10.7937/tcia.2019.dc64i46r"


def card_of(tiny_bundle, **changes) -> str:
    return card(open_bundle(tiny_bundle).info.model_copy(update=changes))


def test_every_card_says_research_use_only_and_what_it_is_not_for(tiny_bundle):
    text = card_of(tiny_bundle)
    assert "Research use only. Not a medical device, not for diagnosis." in text
    assert "Not intended: diagnosis" in text
    assert "384 x 384" in text and "32 x 32" in text


def test_the_data_are_cited_and_counted(tiny_bundle):
    data = TrainingData(
        name="C-NMC 2019",
        counts={"train": {"blast": Count(num_cells=1234, num_subjects=17)}},
        protocol="official",
        licence="CC BY 3.0",
        citation=CITATION,
    )
    text = card_of(tiny_bundle, training_data=data)
    assert CITATION in text and "CC BY 3.0" in text
    assert "| train | blast | 1,234 | 17 |" in text
    assert "SYNTHETIC" not in text and "LEAKY" not in text


def test_synthetic_and_leaky_stand_at_the_top(tiny_bundle):
    text = card_of(tiny_bundle, training_data=TrainingData(synthetic=True, leaky=True, unit="image"))
    head = text[: text.index("## Intended use")]
    assert "SYNTHETIC" in head and "LEAKY" in head
    assert "by image" in text


def test_metrics_have_intervals_or_say_why_not(tiny_bundle):
    metrics = {
        "auroc": Metric(estimate=0.9, ci_low=0.85, ci_high=0.94, num_cells=2000, num_subjects=20),
        "specificity": Metric(estimate=0.8, num_cells=900, reason="fewer than 5 subjects"),
        "ppv": Metric(estimate=None, num_cells=0, reason="nothing was called blast"),
    }
    text = card_of(tiny_bundle, metrics=metrics, metrics_on="the test subjects")
    assert "| auroc | 0.900 (95% 0.850 to 0.940) |" in text
    assert "| specificity | 0.800, no interval (fewer than 5 subjects) |" in text
    assert "| ppv | undefined (nothing was called blast) |" in text
    assert "On the test subjects: 2,000 cells of 20 subjects" in text


def test_thresholds_and_limits_are_printed(tiny_bundle):
    text = card_of(tiny_bundle, novelty=NoveltyLimit(distance=0.25, k=3))
    assert "| sensitivity-0.95 | 0.4000 | 0.6000 | nobody |" in text
    assert "0.2500" in text and "novel" in text
    assert "keeps no references" in card_of(tiny_bundle, novelty=None)


def test_a_bar_in_a_name_does_not_break_the_table(tiny_bundle):
    text = card_of(tiny_bundle, metrics={"a|b": Metric(estimate=None, num_cells=0)})
    assert "| a/b | undefined |" in text


def test_the_recipe_is_in_it(tiny_bundle):
    assert "epochs: 5" in card_of(tiny_bundle, recipe={"training": {"epochs": 5}})


@pytest.fixture(scope="module")
def judged():
    """Metrics and evidence of invented cells in two partitions: H3 is read wrong, the others mostly right."""
    rows = [
        {"cell_id": f"{who}-{n}", "subject_id": who, "label": label, "fold": n % 2, "ruler_probability": 0.4}
        | {"blast_probability": (0.2 + 0.6 * (label == "blast")) if n % 5 else 0.5}
        for who, label in [*((str(n), "blast") for n in range(6)), *((f"H{n}", "normal") for n in range(6))]
        for n in range(25)
    ]
    frame = pl.DataFrame(rows)
    wrong = pl.when(pl.col("subject_id") == "H3").then(0.9).otherwise(pl.col("blast_probability"))
    frame = frame.with_columns(wrong.alias("blast_probability"))
    return read_partitions([PredictionTable(frame)] * 2, None, without=["H3"], draws=50)


def test_the_ruler_and_people_stand_beside_the_figures(tiny_bundle, judged):
    metrics, evidence = judged
    text = card_of(tiny_bundle, metrics=metrics, evidence=evidence)
    assert "| metric | this model | ruler |" in text
    auroc, ruler = metrics["auroc"], evidence.size["auroc"]
    assert f"| auroc | {auroc.estimate:.3f} (95% {auroc.ci_low:.3f} to {auroc.ci_high:.3f}) | " in text
    assert f"{ruler.estimate:.3f}" in text and "minus the ruler" in text
    assert "mean over 2 partitions" in text
    left = evidence.without["H3"]["auroc"]
    assert f"| H3 | {left.estimate:.3f}" in text and left.estimate > auroc.estimate
    assert "| H3 | normal | 25 | 0.00 | 1.00 |" in text and "worst 0.000 (0.000 to " in text


def test_what_people_read_at_the_operating_points_is_told_without_their_names(tiny_bundle):
    point = open_bundle(tiny_bundle).info.operating_points[0].name
    people = tuple(
        PersonReading(label=label, num_cells=50, num_judged=num, blast_fraction=share)
        for label, num, share in [
            ("normal", 40, 0.0),
            ("normal", 20, 0.125),
            ("normal", 30, 0.5),
            ("normal", 19, 1.0),
            ("blast", 40, 0.75),
        ]
    )
    text = card_of(tiny_bundle, reference_readings={point: people})
    assert f"| {point} | healthy | 3 | 0.125 | 0.000 | 0.500 | 1 |" in text
    assert f"| {point} | leukaemic | 1 | 0.750 | 0.750 | 0.750 | 0 |" in text
    assert "at least 20 judged cells" in text
    assert "What people read" in text and "What people read" not in card_of(tiny_bundle)


def test_a_demonstration_says_so_at_the_top(tiny_bundle):
    text = card_of(tiny_bundle, demonstration=True)
    assert "for trying the software" in text[: text.index("## Intended use")]
    assert "for trying the software" not in card_of(tiny_bundle)


def test_the_bias_of_the_probabilities_is_named(tiny_bundle):
    text = card_of(tiny_bundle, calibration=Calibration(temperature=2.0, bias=(0.0, 0.25)))
    assert "+0.250" in text and "as common as there" in text


def test_a_private_card_names_nobody(tiny_bundle, judged):
    metrics, evidence = judged
    privacy = Privacy(hashed=True, salt="ab")
    hidden = unnamed(evidence, privacy)
    text = card_of(tiny_bundle, metrics=metrics, evidence=hidden)
    assert "H3" not in text and salted(["H3"], privacy)[0] in text
    assert hidden.subject_means.worst_subject_id == salted(["H3"], privacy)[0]
    assert unnamed(evidence, Privacy()) == evidence


def test_what_guidelines_ask_for_is_answered_where_the_bundle_can(tiny_bundle):
    data = TrainingData(name="C-NMC 2019", protocol="official", citation=CITATION)
    text = card_of(tiny_bundle, training_data=data)
    section = text[text.index("## What guidelines ask for") : text.index("## How it was made")]
    assert "not a certificate" in section
    assert f"| Source of the data | 5a | 7 | data source | Trained on C-NMC 2019. {CITATION}. |" in section
    assert (
        "| Level at which partitions are disjoint | 12a | 20 | partition of the data | By subject. |"
        in section
    )
    missing = section[section.index("Not reported here:") :]
    assert "Blinding of those who labelled" in missing and "Source of the data" not in missing
    bare = card_of(tiny_bundle, training_data=TrainingData())
    assert "Source of the data" in bare[bare.index("Not reported here:") :]
