"""What guidelines ask for, and what is answered of it."""

from __future__ import annotations

import polars as pl

from leukoscope.evaluation.evaluate import evaluate
from leukoscope.evaluation.guideline_answers import bundle_answers, prediction_answers
from leukoscope.evaluation.guidelines import TOPICS, crosswalk
from leukoscope.evaluation.table import PredictionTable

INFO = {
    "architecture": {"name": "cnn-baseline"},
    "classes": ["normal", "blast"],
    "positive_classes": ["blast"],
    "preprocess": {"field": 336, "size": 112},
    "forbidding_flags": ["blank"],
    "training_data": {
        "name": "C-NMC 2019",
        "protocol": "official",
        "unit": "subject",
        "citation": "Gupta & Gupta 2019",
        "counts": {"validation": {"blast": {"num_cells": 1200, "num_subjects": 7}}},
    },
    "operating_points": [
        {
            "name": "sensitivity-0.95",
            "criterion": "sensitivity at least",
            "target": 0.95,
            "normal_below": 0.2,
            "blast_from": 0.4,
            "fitted_on": "calibration subjects",
        }
    ],
    "bundle_id": "abc",
}
NEVER = ("Blinding of those who labelled", "Reference standard: what the labels rest on")


def of(rows):
    return {row.topic: row for row in rows}


def test_topics_are_named_once_and_asked_for_by_somebody():
    names = [topic.name for topic in TOPICS]
    assert len(set(names)) == len(names)
    assert all(topic.tripod_ai or topic.claim or topic.stard_ai for topic in TOPICS)


def test_every_item_number_is_one_of_its_checklist():
    """TRIPOD+AI has 27 items, CLAIM 2024 has 44."""
    for column, last in (("tripod_ai", 27), ("claim", 44)):
        for topic in TOPICS:
            for item in filter(None, getattr(topic, column).replace("–", ", ").split(", ")):
                digits = "".join(sign for sign in item if sign.isdigit())
                assert not digits or 1 <= int(digits) <= last


def test_answers_are_to_what_was_asked(make_table):
    """An answer to a topic that is not in the table would be lost."""
    table = make_table().frame.with_columns(fold=pl.col("subject_id").str.len_chars())
    report = evaluate(PredictionTable(table), draws=20)
    asked = {topic.name for topic in TOPICS}
    assert set(bundle_answers(INFO)) <= asked
    assert set(prediction_answers(report)) <= asked


def test_without_a_bundle_what_concerns_the_model_is_not_reported(make_table):
    rows = of(evaluate(make_table(), draws=50).guidelines)
    for topic in ("Intended use and users", "Type of model, input and output", *NEVER):
        assert not rows[topic].is_reported
    assert rows["Cells and people in the analysis"].predictions
    assert all(row.bundle is None for row in rows.values())


def test_a_bundle_answers_for_the_model(make_table):
    report = evaluate(make_table(), bundle_info=INFO, draws=50)
    rows = of(report.guidelines)
    assert rows["Intended use and users"].bundle.startswith("Sorting images")
    split = rows["How cells were shared out to training and test"].bundle
    assert split == "official, by subject. validation: 1,200 blast cells of 7 subjects."
    thresholds = rows["Thresholds, and when they were fixed"]
    assert thresholds.bundle == "sensitivity-0.95, fitted on calibration subjects."
    assert not any(rows[topic].is_reported for topic in NEVER)


def test_another_bundle_does_not_answer_for_these_rows(make_table):
    other = PredictionTable(make_table().frame.with_columns(bundle_id=pl.lit("xyz")))
    rows = evaluate(other, bundle_info=INFO, draws=0).guidelines
    assert all(row.bundle is None for row in rows)


def test_the_figures_are_those_of_the_report(make_table):
    report = evaluate(make_table(), draws=100)
    auroc = report.metrics["auroc"]
    told = of(report.guidelines)["Performance with intervals"].predictions
    assert f"AUROC {auroc.estimate:.3f} ({auroc.ci_low:.3f} to {auroc.ci_high:.3f})" in told


def test_leaks_and_folds_say_at_which_level_parts_are_disjoint(make_table):
    topic = "Level at which partitions are disjoint"
    table = make_table()
    assert not of(evaluate(table, draws=0).guidelines)[topic].is_reported
    leaky = evaluate(PredictionTable(table.frame, {"leaky": "true"}), draws=0)
    assert of(leaky.guidelines)[topic].predictions.startswith("LEAKY")
    folds = evaluate(
        PredictionTable(table.frame.with_columns(fold=pl.col("subject_id").str.len_chars())), draws=0
    )
    assert of(folds.guidelines)[topic].predictions == "By subject: nobody is in two folds."
    mixed = PredictionTable(table.frame.with_columns(fold=pl.int_range(pl.len()) % 2))
    assert "lie in several folds" in of(evaluate(mixed, draws=0).guidelines)[topic].predictions


def test_nothing_known_is_nothing_reported():
    assert not any(row.is_reported for row in crosswalk(bundle=bundle_answers({})))
