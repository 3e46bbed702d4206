"""The card says what somebody must know, and nothing that bundle.json does not."""

from __future__ import annotations

from leukoscope.bundle.card import card
from leukoscope.bundle.format import Count, Metric, NoveltyLimit, TrainingData
from leukoscope.bundle.read import open_bundle

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
