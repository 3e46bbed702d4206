"""The files of a report."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import polars as pl
import pytest

from leukoscope.evaluation.evaluate import evaluate
from leukoscope.evaluation.report import METRIC_LABELS, inline, summary, write_report
from leukoscope.evaluation.table import PredictionTable

METRIC_FIELDS = [
    *("estimate", "ci_low", "ci_high", "confidence_level", "unit", "num_cells", "num_subjects", "threshold"),
    "reason",
]


@pytest.fixture(scope="module")
def written(make_table, tmp_path_factory):
    """A report with everything in it: ruler, operating point, pictures, one of them missing."""
    folder = tmp_path_factory.mktemp("written")
    made = make_table(leaky="true", synthetic="true", root=str(folder))
    image = np.zeros((64, 64, 3), np.uint8)
    cv2.circle(image, (32, 32), 20, (160, 60, 120), -1)
    cv2.imwrite(str(folder / "cell.png"), image)
    worst = evaluate(made, draws=0).worst_cells[0].cell_id
    frame = made.frame.with_columns(
        ruler_probability=pl.col("blast_probability") * 0.5 + 0.2,
        path=pl.when(pl.col("cell_id") == worst).then(pl.lit("gone.png")).otherwise(pl.lit("cell.png")),
        subject_id=pl.col("subject_id").replace({"1": "<b>1</b>"}),
    )
    point = {"name": "sensitivity-0.95", "criterion": "sensitivity at least", "target": 0.95}
    info = {"name": "leukoscope-s", "operating_points": [{**point, "normal_below": 0.2, "blast_from": 0.4}]}
    report = evaluate(PredictionTable(frame, made.metadata), bundle_info=info, draws=100)
    page = write_report(report, folder / "report")
    return report, page


class Page(HTMLParser):
    """Collects what a page would fetch, and that every tag is closed."""

    VOID = frozenset({"meta", "img", "br", "link", "input", "path", "circle", "use"})

    def __init__(self):
        super().__init__()
        self.open, self.fetched, self.text, self.images = [], [], [], 0

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)
        self.images += tag == "img"
        self.fetched += [v for k, v in attrs if k in ("src", "href", "xlink:href", "data") and v]
        self.fetched += re.findall(r"url\(([^)]*)\)", dict(attrs).get("style") or "")

    def handle_startendtag(self, tag, attrs):
        self.images += tag == "img"
        self.fetched += [v for k, v in attrs if k in ("src", "href", "xlink:href") and v]

    def handle_endtag(self, tag):
        if tag in self.VOID:
            return
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.text.append(data)


def read(page):
    parser = Page()
    parser.feed(page.read_text(encoding="utf-8"))
    assert parser.open == []
    return parser


def test_the_folder_holds_what_is_promised(written):
    _, page = written
    names = {path.relative_to(page.parent).as_posix() for path in page.parent.rglob("*") if path.is_file()}
    figures = {
        f"figures/{name}.svg"
        for name in (
            "roc",
            "precision_recall",
            "reliability",
            "probabilities",
            "subjects",
            "decision_curve",
            "risk_coverage",
        )
    }
    assert names == {"report.html", "report.json", "predictions.parquet"} | figures


def test_the_page_opens_offline(written):
    """Nothing is fetched: every reference is inside the page."""
    parser = read(written[1])
    assert parser.fetched
    assert all(link.startswith(("data:image/", "#")) for link in parser.fetched)


def test_the_page_says_what_it_must(written):
    report, page = written
    text = " ".join(" ".join(read(page).text).split())
    assert text.count("Research use only. Not a medical device, not for diagnosis.") == 2
    assert (
        text.index("Research use only")
        < text.index("LEAKY")
        < text.index("SYNTHETIC")
        < text.rindex("Evaluation of")
    )
    for label in METRIC_LABELS.values():
        assert label in text
    for row in report.subjects:
        assert row.subject_id in text
    for words in (
        "sensitivity-0.95",
        "size alone",
        "Overlap with training not checked",
        "No diagnosis is given",
        "seed 0",
    ):
        assert words in text
    auroc = report.metrics["auroc"]
    assert f"{auroc.estimate:.3f} {auroc.ci_low:.3f} to {auroc.ci_high:.3f}" in text


def test_names_from_outside_are_text_and_not_markup(written):
    text = written[1].read_text(encoding="utf-8")
    assert "&lt;b&gt;1&lt;/b&gt;" in text
    assert "<b>1</b>" not in text


def test_missing_pictures_are_said_in_words(written):
    report, page = written
    parser = read(page)
    assert parser.images == len(report.worst_cells) - 1
    assert f"1 of {len(report.worst_cells)} pictures could not be shown: no such file" in " ".join(
        parser.text
    )


def test_the_numbers_are_those_of_the_command_line_document(written):
    report, page = written
    found = json.loads((page.parent / "report.json").read_text(encoding="utf-8"))
    assert list(found["metrics"]) == list(METRIC_LABELS)
    assert all(list(metric) == METRIC_FIELDS for metric in found["metrics"].values())
    assert all(list(metric) == METRIC_FIELDS for metric in found["baselines"]["size"].values())
    point = found["operating_points"]["sensitivity-0.95"]
    assert {"sensitivity", "specificity", "ppv", "npv", "share_indeterminate"} <= set(point)
    fields = ["subject_id", "label", "num_cells", "accuracy", "blast_fraction", "mean_probability"]
    assert list(found["subjects"][0]) == [*fields, "ci_low", "ci_high"]
    assert {"blast", "normal", "worst"} <= set(found["subject_means"])
    assert found["leak"] == "overlap with training not checked"
    assert found["num_unreadable"] == 0
    assert found["metrics"]["auroc"]["estimate"] == report.metrics["auroc"].estimate
    assert found["metrics"]["auroc"]["unit"] == "subject"


def test_the_rows_can_be_judged_again(written):
    report, page = written
    again = evaluate(page.parent / "predictions.parquet", draws=100)
    assert again.metrics == report.metrics
    assert again.stamps == report.stamps


def test_equal_reports_give_equal_figures(written, tmp_path):
    report, page = written
    other = write_report(report, tmp_path / "again").parent
    for figure in (page.parent / "figures").iterdir():
        assert (other / "figures" / figure.name).read_bytes() == figure.read_bytes()
    pages = [p.read_text(encoding="utf-8") for p in (page, other / "report.html")]
    assert pages[0] == pages[1]


def test_colours_of_the_page_follow_its_style(written):
    svg = (written[1].parent / "figures" / "roc.svg").read_text(encoding="utf-8")
    assert svg.startswith("<?xml")
    assert "var(--" not in svg
    inlined = inline(svg)
    assert inlined.startswith("<svg")
    assert "var(--model)" in inlined and "var(--ink)" in inlined
    assert not re.search(r"<svg[^>]* width=", inlined)


def test_means_over_people_have_their_intervals(make_table, tmp_path):
    report = evaluate(make_table(blasts=8, normals=8, cells=80), draws=200)
    text = " ".join(" ".join(read(write_report(report, tmp_path)).text).split())
    means = report.subject_means
    for low, high in (means.blast_ci, means.normal_ci, means.worst_ci):
        assert f"({low:.3f} to {high:.3f})" in text


def test_undefined_is_said(make_table, tmp_path):
    table = make_table(normals=0)
    page = write_report(evaluate(table, draws=50), tmp_path / "report")
    text = " ".join(" ".join(read(page).text).split())
    assert "undefined: there are no normal cells" in text
    assert "curves are undefined" in text
    assert "nan" not in text.lower().split()
    assert not (page.parent / "figures" / "roc.svg").exists()


def test_an_empty_report_can_be_written(make_table, tmp_path):
    table = make_table()
    empty = PredictionTable(table.frame.with_columns(label=pl.lit(None, pl.Utf8)))
    page = write_report(evaluate(empty), tmp_path / "report")
    assert "no labelled, readable cells" in " ".join(read(page).text)


def test_a_report_written_again_has_no_figure_of_the_old_one(make_table, tmp_path):
    write_report(evaluate(make_table(), draws=0), tmp_path / "report")
    write_report(evaluate(make_table(normals=0), draws=0), tmp_path / "report")
    assert not (tmp_path / "report" / "figures" / "roc.svg").exists()


def test_the_summary_has_a_line_for_every_metric(written):
    report, _ = written
    lines = summary(report)
    assert len(lines) == len(METRIC_LABELS)
    assert lines[9][0] == "AUROC"
    assert lines[9][1] == f"{report.metrics['auroc'].estimate:.3f}"


def test_every_figure_says_in_words_what_it_shows(written):
    report, page = written
    for path in (page.parent / "figures").iterdir():
        head = path.read_text(encoding="utf-8").split("<svg", 1)[1]
        opened, told = head.split(">", 1)
        assert 'role="img"' in opened
        name = re.search(r'aria-labelledby="([^"]*)"', opened)[1]
        words = re.match(rf'\s*<desc id="{name}">([^<]*)</desc>', told)[1]
        assert len(words) > 40 and re.search(r"\d", words)
        assert words in page.read_text(encoding="utf-8")
    auroc = report.metrics["auroc"]
    roc = (page.parent / "figures" / "roc.svg").read_text(encoding="utf-8")
    assert f"{auroc.estimate:.3f} ({auroc.ci_low:.3f} to {auroc.ci_high:.3f})" in roc
    assert len(set(re.findall(r'<desc id="([^"]*)"', page.read_text(encoding="utf-8")))) == 7


def test_the_page_is_as_confidential_as_its_pictures(written, make_table, tmp_path):
    note = "as confidential as they are"
    assert note in written[1].read_text(encoding="utf-8")
    assert note not in write_report(evaluate(make_table(), draws=0), tmp_path).read_text(encoding="utf-8")


def test_sentences_come_before_figures_and_guidelines_behind(written):
    report, page = written
    text = " ".join(" ".join(read(page).text).split())
    for one in report.in_short:
        assert one.text in text
    order = ["In short", "All metrics", "Subjects", "What guidelines ask for", "How this was made"]
    assert [text.index(words) for words in order] == sorted(text.index(words) for words in order)
    assert "not a certificate" in text and "not reported" in text


@pytest.fixture(scope="module")
def cross_validated(make_table, tmp_path_factory):
    made = make_table(blasts=12, normals=9, cells=60)
    fold = made.frame["subject_id"].str.extract("([0-9]+)").cast(pl.Int32) % 3
    lowest = (pl.col("label") == "blast") & (pl.int_range(pl.len()) % 80 == 0)
    p = pl.when(lowest).then(0.001).otherwise(pl.col("blast_probability"))
    frame = made.frame.with_columns(fold=fold, blast_probability=p)
    report = evaluate(PredictionTable(frame), draws=100)
    return report, write_report(report, tmp_path_factory.mktemp("folds"))


class TestCrossValidated:
    def test_folds_stand_in_a_table_of_their_own(self, cross_validated):
        report, path = cross_validated
        text = " ".join(" ".join(read(path).text).split())
        assert "Fold by fold" in text and "no independent samples" in text
        for note in report.folds.notes:
            assert note in text
        assert text.count("Fold 1") >= 1
        parts = text[text.index("Parts of the cells") :]
        assert "fold 1" not in parts

    def test_label_suspects_are_worth_a_second_look_and_never_wrong(self, cross_validated):
        report, path = cross_validated
        assert report.label_suspects.cells
        text = " ".join(" ".join(read(path).text).split())
        start = text.index("Labels worth a second look")
        section = text[start : text.index("Overlap with training", start)]
        assert report.label_suspects.cells[0].cell_id in section
        assert "wrong" not in section
        found = json.loads((path.parent / "report.json").read_text(encoding="utf-8"))["label_suspects"][
            "cells"
        ]
        fields = {"rank", "cell_id", "subject_id", "label", "blast_probability"}
        assert all(fields <= set(cell) for cell in found)

    def test_without_folds_there_is_neither(self, make_table, tmp_path):
        text = write_report(evaluate(make_table(), draws=0), tmp_path).read_text(encoding="utf-8")
        assert "Fold by fold" not in text and "second look" not in text
