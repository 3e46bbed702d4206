"""``leukoscope evaluate``: of a table, and of a bundle on labelled cells."""

from __future__ import annotations

import json

import polars as pl
import pytest

from leukoscope.cohort.manifest import Manifest


@pytest.fixture
def table(tmp_path, tiny_split):
    """What another program might write: nothing but the four columns."""
    labelled = pl.read_parquet(tiny_split).drop_nulls("label").sort("cell_id")
    chance = pl.Series("blast_probability", [(7 * place) % 10 / 10 for place in range(labelled.height)])
    path = tmp_path / "theirs.csv"
    labelled.select("cell_id", "subject_id", "label", chance).write_csv(path)
    return path


def test_a_table_of_another_program(leukoscope, tmp_path, table):
    ran = leukoscope("evaluate", table, "-o", tmp_path / "report", "--threshold", 0.3, "--json")
    assert ran.code == 0
    written = json.loads((tmp_path / "report" / "report.json").read_text())
    assert ran.document == written
    assert written["metrics"]["sensitivity"]["threshold"] == 0.3
    assert written["leak"] == "overlap with training not checked"
    assert (tmp_path / "report" / "report.html").stat().st_size > 10_000
    assert (tmp_path / "report" / "predictions.parquet").is_file()
    assert list((tmp_path / "report" / "figures").glob("*.svg"))


def test_the_size_of_the_cells_comes_from_data(leukoscope, table, tiny_split):
    assert leukoscope("evaluate", table, "--json").document["baselines"]["size"] is None
    beside = leukoscope("evaluate", table, "--data", tiny_split, "--json").document["baselines"]
    assert beside["size"] is not None or beside["size_reason"]


def test_overlap_with_training_is_found(leukoscope, table, tiny_split):
    ran = leukoscope("evaluate", table, "--train", tiny_split, "--json")
    fitting = Manifest.read(tiny_split).frame.filter(
        pl.col("split").is_in(["train", "validation", "calibration"])
    )
    assert ran.document["leak"]["found"] is True
    assert ran.document["leak"]["num_subjects"] == fitting["subject_id"].n_unique()
    assert "LEAK FOUND" in ran.document["stamps"]


def test_a_bundle_is_judged_on_the_part_asked_for(leukoscope, tmp_path, tiny_bundle, tiny_split):
    parts = pl.read_parquet(tiny_split)["split"].value_counts().rows()
    counts = dict(parts)
    test = leukoscope("evaluate", tiny_bundle, "--data", tiny_split, "-o", tmp_path / "report", "--json")
    assert test.code == 0
    assert test.document["num_cells"] == counts["test"]
    train = leukoscope("evaluate", tiny_bundle, "--data", tiny_split, "--split", "train", "--json")
    assert train.document["num_cells"] == counts["train"]
    shown = leukoscope("evaluate", tiny_bundle, "--data", tiny_split)
    assert "[SYNTHETIC]" in shown.out
    assert "size alone" in shown.out
    assert "sensitivity-0.95" in shown.out


def test_a_bundle_on_cells_without_a_split(leukoscope, tiny_bundle, tiny_cohort):
    ran = leukoscope("evaluate", tiny_bundle, "--data", tiny_cohort, "--json")
    assert ran.code == 0
    assert ran.document["num_cells"] == 48
    asked = leukoscope("evaluate", tiny_bundle, "--data", tiny_cohort, "--split", "test")
    assert asked.code == 2


@pytest.mark.parametrize(
    "options",
    [
        ["{table}", "--bundle", "{bundle}", "--train", "{split}"],
        ["{table}", "--split", "test"],
        ["{bundle}"],
        ["{bundle}", "--data", "{split}", "--train", "{split}"],
        ["{bundle}", "--data", "{split}", "--split", "unlabelled"],
        ["{table}", "--threshold", "1.5"],
        ["{table}", "--near"],
        ["{bundle}", "--data", "{split}", "--positive", "blast"],
    ],
    ids=" ".join,
)
def test_options_that_do_not_fit_together(leukoscope, options, table, tiny_bundle, tiny_split):
    places = {"table": table, "bundle": tiny_bundle, "split": tiny_split}
    ran = leukoscope("evaluate", *(word.format(**places) for word in options))
    assert ran.code == 2
    assert not ran.out


def test_a_table_of_another_program_with_labels_of_its_own(leukoscope, tmp_path):
    path = tmp_path / "theirs.csv"
    path.write_text("cell_id,subject_id,label,blast_probability\na,1,1,0.9\nb,H1,0,0.2\n")
    refused = leukoscope("evaluate", path)
    assert refused.code == 2 and "--positive 1" in refused.err
    assert (
        leukoscope("evaluate", path, "--positive", "1", "--json").document["metrics"]["auroc"]["estimate"]
        == 1
    )


def test_how_a_bundle_falls_when_pictures_are_spoilt(leukoscope, tmp_path, tiny_bundle, tiny_split):
    words = ("evaluate", tiny_bundle, "--data", tiny_split, "--split", "train", "--corruptions")
    ran = leukoscope(*words, "-o", tmp_path / "report", "--json")
    assert ran.code == 0
    rows = ran.document["corruptions"]["rows"]
    assert {row["kind"] for row in rows} >= {
        "blur",
        "darker",
        "JPEG",
        "bluer",
        "smaller",
        "larger",
        "background",
    }
    # the tiny model reads light: darker pictures of the same cells read otherwise, by as much as stated
    clean = leukoscope(*words[:-1], "--json").document
    assert clean["corruptions"] is None
    for row in rows:
        for name, found in row["differences"].items():
            assert found["second"] == clean["metrics"][name]["estimate"]
    assert any(row["differences"]["brier"]["difference"] for row in rows if row["kind"] == "darker")
    around = next(row for row in rows if (row["kind"], row["severity"]) == ("background", "strong"))
    assert around["withheld"]["indeterminate"]["estimate"] == 1
    assert list(around["withheld"]["reasons"]) == ["quality: not-segmented"]
    page = (tmp_path / "report" / "report.html").read_text()
    assert "When something is wrong with the pictures" in page and "quality 30" in page
    shown = leukoscope(*words)
    assert "blur, strong" in shown.out


def test_corruptions_of_a_table_are_refused(leukoscope, table):
    ran = leukoscope("evaluate", table, "--corruptions")
    assert ran.code == 2 and not ran.out
    assert "pictures must be read again" in ran.err and "hint: leukoscope evaluate BUNDLE" in ran.err


def test_labels_are_doubted_where_every_table_contradicts_them(leukoscope, tmp_path):
    rows = [
        {"cell_id": f"{who}-{cell}", "subject_id": who, "label": "normal" if who[0] == "H" else "blast"}
        | {"fold": place % 2, "blast_probability": 0.1 if who[0] == "H" else 0.9}
        for place, who in enumerate(["1", "2", "H1", "H2"])
        for cell in range(30)
    ]
    for name, doubted in (("one", ["1-3", "H2-5"]), ("other", ["1-3"])):
        frame = pl.DataFrame(rows).with_columns(
            blast_probability=pl.when(pl.col("cell_id").is_in(doubted))
            .then(1 - pl.col("blast_probability"))
            .otherwise("blast_probability")
        )
        frame.write_parquet(tmp_path / f"{name}.parquet")
    alone = leukoscope("evaluate", tmp_path / "one.parquet", "--json").document["label_suspects"]
    assert {cell["cell_id"] for cell in alone["cells"]} == {"1-3", "H2-5"}
    repeat = ("--repeat", tmp_path / "other.parquet", "--json")
    both = leukoscope("evaluate", tmp_path / "one.parquet", *repeat).document["label_suspects"]
    assert [cell["cell_id"] for cell in both["cells"]] == ["1-3"]
    pl.read_parquet(tmp_path / "other.parquet").drop("fold").write_parquet(tmp_path / "other.parquet")
    ran = leukoscope("evaluate", tmp_path / "one.parquet", *repeat)
    assert ran.code == 2
    assert "hint: give pooled out-of-fold rows" in ran.err
