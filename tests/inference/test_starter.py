"""The bundle in the package: whole, and fit to be used at once."""

from __future__ import annotations

import pytest

import leukoscope
from leukoscope.bundle.read import open_bundle, verify_bundle
from leukoscope.evaluation.metrics import auroc


def test_the_starter_is_whole_and_says_where_it_comes_from():
    assert verify_bundle("starter").holds
    info = open_bundle("starter").info
    assert "10.7937/tcia.2019.dc64i46r" in info.training_data.citation
    assert info.training_data.licence == "CC BY 3.0"
    assert not info.training_data.leaky and not info.training_data.synthetic
    assert info.novelty is not None and info.ruler is not None
    assert info.metrics["auroc"].ci_low is not None


def test_the_starter_is_small_and_its_card_says_how_it_reads_new_people():
    bundle = open_bundle("starter")
    assert sum(file.stat().st_size for file in bundle.path.iterdir()) <= 6_000_000
    assert len(bundle.novelty) <= 512
    evidence = bundle.info.evidence
    assert evidence.num_partitions == 3 and evidence.size is not None
    assert evidence.minus_size["auroc"].ci_low > 0
    assert set(evidence.without) == {"H10", "H24", "H14", "H22"}
    card = (bundle.path / "CARD.md").read_text(encoding="utf-8")
    for words in ("for trying the software", "| metric | this model | ruler |", "Where it fails"):
        assert words in card


def test_the_starter_answers_for_every_drawn_cell(tiny_cohort):
    """It was trained on real cells, so nothing is asked here of how right it is."""
    table = leukoscope.load("starter").predict(tiny_cohort)
    assert table.num_unreadable == 0 and table.is_synthetic
    assert table.frame["blast_probability"].is_between(0, 1).all()
    assert table.frame["novelty"].null_count() == 0


@pytest.mark.real
def test_the_starter_knows_the_cells_it_was_trained_on(real_data):
    """No measure of how good it is, only that the file in the package is the model that was trained."""
    table = leukoscope.load("starter").predict(real_data / "C-NMC_Leukemia" / "training_data")
    assert auroc(table.y, table.p) > 0.9
    assert (table.frame["decision"] != "indeterminate").mean() > 0.95
