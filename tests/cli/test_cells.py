"""``leukoscope cells extract``: what it prints and its exit codes."""

from __future__ import annotations

import cv2
import polars as pl
import pytest

from leukoscope.cells.scale import CNMC_MICROMETRES_PER_PIXEL
from leukoscope.cohort.synthetic_smear import synthesize_smear


@pytest.fixture(scope="module")
def photograph(tmp_path_factory):
    path = tmp_path_factory.mktemp("smear") / "field.png"
    image = synthesize_smear(seed=31, width=600, height=500, white_cells=3, touching_pairs=0).image
    cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return path


def test_a_photograph_becomes_cells(leukoscope, photograph, tmp_path):
    ran = leukoscope("cells", "extract", photograph, "-o", tmp_path / "x", "--subject", "S1", "--json")
    assert ran.code == 0
    frame = pl.read_parquet(tmp_path / "x" / "manifest.parquet")
    assert ran.document["num_found"] == len(frame)
    assert ran.document["num_cells"] == 3
    assert frame["micrometres_per_pixel"].unique().to_list() == [CNMC_MICROMETRES_PER_PIXEL]
    assert frame["subject_id"].unique().to_list() == ["S1"]
    assert all((tmp_path / "x" / path).is_file() for path in frame["path"])


def test_it_says_how_the_scale_is_known(leukoscope, photograph, tmp_path):
    by_red_cells = leukoscope("cells", "extract", photograph, "-o", tmp_path / "x")
    given = leukoscope("cells", "extract", photograph, "-o", tmp_path / "y", "--pixel-size", 0.1)
    assert "red-cells" in by_red_cells.out
    assert "given" in given.out
    assert "3 white cells in 1 photograph" in given.out


def test_a_bundle_says_the_scale(leukoscope, photograph, tmp_path, make_bundle):
    from leukoscope.cells.preprocess import Preprocess

    bundle = make_bundle(
        tmp_path / "b.leuko", preprocess=Preprocess(field=384, size=32, micrometres_per_pixel=0.1)
    )
    words = ("cells", "extract", photograph, "-o", tmp_path / "x", "--pixel-size", 0.1, "--bundle", bundle)
    assert leukoscope(*words).code == 0
    frame = pl.read_parquet(tmp_path / "x" / "manifest.parquet")
    assert frame["micrometres_per_pixel"].unique().to_list() == [0.1]
    assert frame["cell_width"].to_list() == frame["box_width"].to_list()


def test_what_cannot_be_read_is_told(leukoscope, photograph, tmp_path):
    broken = tmp_path / "broken.tif"
    broken.write_text("no photograph")
    ran = leukoscope("cells", "extract", photograph, broken, "-o", tmp_path / "x")
    assert ran.code == 1
    assert "text beginning" in ran.out
    assert "3 white cells in 2 photographs" in ran.out


def test_an_interruption_says_what_is_kept(leukoscope, photograph, tmp_path, monkeypatch):
    def stop(*_given, **_named):
        raise KeyboardInterrupt

    monkeypatch.setattr("leukoscope.cohort.extract.read_photograph", stop)
    ran = leukoscope("cells", "extract", photograph, "-o", tmp_path / "x")
    assert ran.code == 130
    assert ran.err == f"interrupted: the photographs that were finished are in {tmp_path / 'x'}\n"
    assert (tmp_path / "x" / "manifest.parquet").is_file()
