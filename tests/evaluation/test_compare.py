"""Tables beside each other on the cells that all judge."""

from __future__ import annotations

import json
import re
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, roc_auc_score

from leukoscope.errors import TableError, UsageError
from leukoscope.evaluation import metrics
from leukoscope.evaluation.compare import compare, holm
from leukoscope.evaluation.compare_report import write_comparison
from leukoscope.evaluation.evaluate import evaluate
from leukoscope.evaluation.table import PredictionTable


def worse(table, noise=1.0, seed=1):
    """The same cells, with noise on the logits."""
    z = np.log(table.p / (1 - table.p)) + np.random.default_rng(seed).normal(0, noise, len(table.p))
    changed = table.frame.with_columns(blast_probability=1 / (1 + np.exp(-z)))
    return PredictionTable(changed, table.metadata)


def only_pair(first, second, **options):
    (pair,) = compare({"one": first, "other": second}, **options).pairs
    return pair


def test_difference_of_two_tables(make_table):
    first = make_table(blasts=20, normals=20)
    second = worse(first)
    found = only_pair(first, second).differences
    expected = roc_auc_score(first.y, first.p) - roc_auc_score(second.y, second.p)
    assert found["auroc"].difference == pytest.approx(expected, abs=1e-12)
    assert found["auroc"].first - found["auroc"].second == pytest.approx(expected)
    assert 0 < found["auroc"].ci_low < found["auroc"].difference < found["auroc"].ci_high
    assert (found["auroc"].num_cells, found["auroc"].num_subjects) == (len(first.p), 40)
    scores = [f1_score(first.y, table.p >= 0.5, average="weighted") for table in (first, second)]
    assert found["weighted_f1"].difference == pytest.approx(scores[0] - scores[1], abs=1e-12)
    assert set(found) == set(metrics.NAMES)


def test_pairing_is_sharper_than_two_intervals(make_table):
    first = make_table(blasts=20, normals=20)
    paired = only_pair(first, worse(first, noise=0.2)).differences["auroc"]
    alone = evaluate(first).metrics["auroc"]
    assert paired.ci_high - paired.ci_low < 0.5 * (alone.ci_high - alone.ci_low)


def test_turned_round_the_sign_turns(make_table):
    first = make_table()
    second = worse(first)
    one, other = only_pair(first, second), only_pair(second, first)
    forth, back = one.differences["weighted_f1"], other.differences["weighted_f1"]
    assert forth.difference == pytest.approx(-back.difference)
    assert forth.ci_low == pytest.approx(-back.ci_high)
    assert forth.p_value == pytest.approx(back.p_value)
    assert (one.mcnemar.only_first, one.mcnemar.p_value) == (other.mcnemar.only_second, other.mcnemar.p_value)


def test_a_table_against_itself_is_nothing(make_table):
    pair = only_pair(make_table(), make_table())
    assert all((d.difference, d.ci_low, d.ci_high) == (0, 0, 0) for d in pair.differences.values())
    assert all(d.p_value == 1 for d in pair.differences.values())
    assert pair.mcnemar.p_value == 1
    assert "alike" in pair.delong.reason


def test_only_shared_cells_count_in_any_order(make_table):
    first = make_table()
    second = worse(first)
    part = PredictionTable(second.frame.sample(fraction=0.8, shuffle=True, seed=0))
    found = compare({"one": first, "other": part})
    kept = PredictionTable(first.frame.join(part.frame, on="cell_id", how="semi"))
    again = compare({"one": kept, "other": part})
    assert found.pairs == again.pairs
    assert found.num_cells == part.frame.height
    assert found.left_out == {"one": first.frame.height - part.frame.height, "other": 0}
    assert any("are not in every other table" in note for note in found.notes)


def test_only_test_rows_are_compared(make_table):
    table = make_table()
    roles = pl.Series("split", ["train", "test"] * table.frame.height)[: table.frame.height]
    with_roles = PredictionTable(table.frame.with_columns(roles))
    found = compare({"one": with_roles, "other": worse(table)})
    assert found.num_cells == (roles == "test").sum()
    fitted = PredictionTable(table.frame.with_columns(split=pl.lit("train")))
    assert any("fitted the model" in note for note in compare({"one": fitted, "other": table}).notes)


def test_tables_that_disagree_are_refused(make_table):
    first = make_table()
    flipped = first.frame.with_columns(
        label=pl.when(pl.col("cell_id") == "cell_3").then(pl.lit("normal")).otherwise("label")
    )
    with pytest.raises(TableError, match="cell_3"):
        compare({"one": first, "other": PredictionTable(flipped)})
    renamed = PredictionTable(first.frame.with_columns(cell_id="x" + pl.col("cell_id")))
    with pytest.raises(TableError, match="share no"):
        compare({"one": first, "other": renamed})
    twice = PredictionTable(pl.concat([first.frame, first.frame.head(1)]))
    with pytest.raises(TableError, match="other: cell 'cell_0' is judged twice"):
        compare({"one": first, "other": twice})
    with pytest.raises(UsageError, match="Received: 1"):
        compare({"one": first})


def test_several_tables_make_every_pair_and_corrected_p_values(make_table):
    first = make_table(blasts=20, normals=20)
    tables = {"a": first, "b": worse(first, 0.5), "c": worse(first, 2.0)}
    found = compare(tables)
    assert [(pair.first, pair.second) for pair in found.pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    for name in metrics.NAMES:
        given_p = [pair.differences[name].p_value for pair in found.pairs]
        assert [pair.adjusted_p[name] for pair in found.pairs] == holm(given_p)
    assert found.metrics["b"]["auroc"].estimate == pytest.approx(roc_auc_score(first.y, tables["b"].p))


def test_subjects_unknown_of_one_table_are_unknown(make_table):
    table = make_table()
    nobody = PredictionTable(table.frame.with_columns(subject_id=pl.lit(None, dtype=pl.Utf8)))
    found = compare({"one": nobody, "other": PredictionTable(worse(nobody).frame)})
    assert found.stamps == ["SUBJECTS UNKNOWN"]
    assert found.pairs[0].differences["auroc"].ci_low is None
    assert found.pairs[0].adjusted_p["auroc"] is None


def test_disputed_cells_are_those_with_different_calls(make_table):
    first = make_table()
    second = worse(first, 2.0)
    found = compare({"one": first, "other": second})
    differ = (first.p >= 0.5) != (second.p >= 0.5)
    assert found.num_disputed == differ.sum()
    spreads = [abs(cell.probabilities["one"] - cell.probabilities["other"]) for cell in found.disputed]
    assert all(one >= next_one for one, next_one in pairwise(spreads))
    places = {f"cell_{place}" for place in np.flatnonzero(differ)}
    assert {cell.cell_id for cell in found.disputed} <= places
    owners = [(cell.subject_id, cell.label) for cell in found.disputed]
    assert max(owners.count(owner) for owner in owners) <= 3


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=8))
def test_holm_equals_its_definition(values):
    found = holm(values)
    known = sorted(value for value in values if value is not None)
    for value, corrected in zip(values, found, strict=True):
        if value is None:
            assert corrected is None
            continue
        steps = [min(1.0, p * (len(known) - rank)) for rank, p in enumerate(known) if p <= value]
        assert corrected == pytest.approx(max(steps))


class TestThePage:
    def test_every_number_and_no_foreign_address(self, make_table, tmp_path):
        first = make_table(leaky="true")
        tables = {"a <b>": first, "second": worse(first)}
        page = write_comparison(compare(tables, draws=200), tmp_path / "report")
        text = page.read_text()
        assert "LEAKY" in text
        assert "a &lt;b&gt;" in text and "a <b>" not in text
        assert not re.findall(r'(?:src|href)="(?!data:|#)', text)
        numbers = json.loads((tmp_path / "report" / "report.json").read_text())
        difference = numbers["pairs"][0]["differences"]["auroc"]["difference"]
        assert f"{difference:+.3f}".replace("-", "−") in text
        assert "takes every cell for a person of its own" in text
        assert (tmp_path / "report" / "figures" / "roc.svg").is_file()

    def test_one_class_only_says_what_is_undefined(self, make_table, tmp_path):
        first = make_table(blasts=6, normals=0)
        page = write_comparison(compare({"one": first, "other": worse(first)}, draws=50), tmp_path)
        assert "ROC curves are undefined" in page.read_text()
        assert not (tmp_path / "figures" / "roc.svg").exists()

    def test_pictures_where_the_cells_are(self, make_table, tmp_path, tiny_cohort):
        from leukoscope.cohort.index import index

        cells = index(tiny_cohort)
        labelled = cells.frame.drop_nulls("label").select("cell_id", "subject_id", "label")
        random = np.random.default_rng(0)
        both = [
            PredictionTable(labelled.with_columns(blast_probability=random.random(labelled.height)))
            for _ in range(2)
        ]
        found = compare({"one": both[0], "other": both[1]}, data=cells, draws=0)
        text = write_comparison(found, tmp_path).read_text()
        assert text.count("data:image/jpeg") == len(found.disputed) > 0
        assert "as confidential as they are" in text
