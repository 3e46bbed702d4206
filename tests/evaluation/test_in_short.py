"""What a report says in sentences is made from its numbers."""

from __future__ import annotations

import re

import polars as pl
import pytest

from leukoscope.evaluation.evaluate import evaluate
from leukoscope.evaluation.table import PredictionTable


def said(report):
    return {one.about: one.text for one in report.in_short}


def with_ruler(table, p):
    return PredictionTable(table.frame.with_columns(ruler_probability=p), table.metadata)


def test_the_numbers_are_those_of_the_report(make_table):
    report = evaluate(make_table(blasts=12, normals=12, cells=40), draws=300)
    text = said(report)
    blasts, normals = report.metrics["sensitivity"], report.metrics["specificity"]
    found = [
        int(number) for number in re.findall(r"\d+", text["Blasts"].replace(",", "").replace("95 %", ""))
    ]
    assert found == [
        100,
        round(100 * blasts.estimate),
        round(100 * blasts.ci_low),
        round(100 * blasts.ci_high),
        blasts.num_cells,
        12,
    ]
    found = [
        int(number)
        for number in re.findall(r"\d+", text["Normal cells"].replace(",", "").replace("95 %", ""))
    ]
    wrong = [1 - normals.estimate, 1 - normals.ci_high, 1 - normals.ci_low]
    assert found == [100, *(round(100 * share) for share in wrong), normals.num_cells, 12]
    means = report.subject_means
    assert text["The person it does worst"].startswith(f"Subject {means.worst_subject_id}, labelled ")
    assert "no diagnosis" in text["The person it does worst"]


def test_better_worse_or_no_different_from_size_alone(make_table):
    table = make_table(blasts=15, normals=15, cells=60)
    p = pl.col("blast_probability")
    better = said(evaluate(with_ruler(table, 1 - p), draws=300))["Beside size alone"]
    worse = said(evaluate(with_ruler(table, pl.col("label").eq("blast").cast(pl.Float64)), draws=300))
    same = said(evaluate(with_ruler(table, p), draws=300))["Beside size alone"]
    assert "The model is better" in better
    assert "worse than size alone" in worse["Beside size alone"]
    assert "it is not shown that the model has learned more" in same
    without = said(evaluate(table, draws=50))["Beside size alone"]
    assert without.startswith("Not known: no column ruler_probability")


@pytest.mark.parametrize(
    ("p", "words"),
    [
        (lambda y: 0.5 + (y - 0.5) * 1.0, "cannot be said"),
        (lambda y: 0.02 + 0.96 * y, "too sure of itself"),
        (lambda y: 0.4 + 0.2 * y, "less sure of itself than it could be"),
    ],
)
def test_whether_probabilities_can_be_taken_at_their_word(p, words):
    """Nine in ten cells of each of 40 people are called right, whatever the probabilities say."""
    rows = [
        (f"{who}-{cell}", str(who), "blast" if who < 20 else "normal", (who < 20) ^ (cell % 10 == 0))
        for who in range(40)
        for cell in range(20)
    ]
    perfect = words == "cannot be said"
    frame = pl.DataFrame(rows, orient="row", schema=["cell_id", "subject_id", "label", "called"])
    told = (frame["label"] == "blast") if perfect else frame["called"]
    frame = frame.with_columns(blast_probability=pl.Series([p(float(one)) for one in told])).drop("called")
    frame = frame.sample(fraction=0.8, seed=0)  # people must differ, or there is no interval
    assert words in said(evaluate(PredictionTable(frame), draws=300))["Its probabilities"]


def test_too_many_blasts_for_the_probabilities(make_table):
    table = make_table(blasts=20, normals=20, cells=60)
    low = table.frame.with_columns(blast_probability=pl.col("blast_probability") ** 3)
    text = said(evaluate(PredictionTable(low), draws=300))["Its probabilities"]
    assert "more blasts than its probabilities say" in text


def test_few_people_stamps_and_leaks_are_said(make_table):
    few = said(evaluate(make_table(normals=3), draws=50))
    assert "3 subjects in a class, 5 are needed" in few["Normal cells"]
    assert "3 people with normal cells, too few for an interval" in few["What these data cannot show"]
    assert "not checked" in few["What these data cannot show"]
    stamped = said(evaluate(make_table(leaky="true", synthetic="true"), draws=0))[
        "What these data cannot show"
    ]
    assert "drawn by a program" in stamped and "Anything about new people" in stamped
    table = make_table()
    leak = evaluate(table, draws=0, train=table.frame.select("subject_id").with_columns(role=pl.lit("train")))
    assert "some of what is judged here fitted it" in said(leak)["What these data cannot show"]
    assert all("another laboratory" in one["What these data cannot show"] for one in (few, said(leak)))


def test_what_is_left_open_and_unreadable_is_said(make_table):
    table = make_table()
    p = pl.when(pl.int_range(pl.len()) < 2).then(None).otherwise("blast_probability")
    decision = (
        pl.when(pl.int_range(pl.len()) % 5 == 0).then(pl.lit("indeterminate")).otherwise(pl.lit("blast"))
    )
    frame = table.frame.with_columns(blast_probability=p, decision=decision)
    report = evaluate(PredictionTable(frame), draws=0)
    text = said(report)["Where it says nothing"]
    assert f"2 of {frame.height:,} images could not be read" in text
    assert f"It left {report.decisions['indeterminate']:,} of {report.num_cells:,} cells open" in text
    some = table.frame.with_columns(label=pl.when(pl.int_range(pl.len()) > 2).then("label"))
    assert "3 have no label" in said(evaluate(PredictionTable(some), draws=0))["Where it says nothing"]
    assert "does not say which cells" in said(evaluate(table, draws=0))["Where it says nothing"]


def test_the_undefined_reads_well(make_table):
    for report in (
        evaluate(make_table(normals=0), draws=20),
        evaluate(make_table(blasts=0), draws=20),
        evaluate(make_table(cells=2), draws=0),
        evaluate(PredictionTable(make_table().frame.with_columns(label=pl.lit(None, pl.Utf8)))),
        evaluate(PredictionTable(make_table().frame.with_columns(subject_id=pl.lit(None, pl.Utf8))), draws=9),
    ):
        for one in report.in_short:
            assert one.text.endswith(".")
            assert "None" not in one.text and "nan" not in one.text.split()
            assert not re.search(r"\(\)|\.\.|\( ", one.text)
