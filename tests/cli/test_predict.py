"""``leukoscope predict``: one row for every image."""

from __future__ import annotations

from importlib.util import find_spec

import cv2
import polars as pl
import pytest

from leukoscope.cohort.synthetic_smear import synthesize_smear
from leukoscope.evaluation.table import COLUMNS, PredictionTable


def test_rows_go_to_the_file_that_was_asked_for(leukoscope, tmp_path, tiny_bundle, tiny_split):
    tables = []
    for suffix in ("csv", "parquet", "jsonl"):
        out = tmp_path / f"cells.{suffix}"
        ran = leukoscope("predict", tiny_bundle, tiny_split, "-o", out, "--by-subject", tmp_path / "s.csv")
        assert (ran.code, ran.out) == (0, f"{out}: 53 rows\n")
        tables.append(PredictionTable.read(out).frame)
    for table in tables:
        assert table.columns[: len(COLUMNS)] == list(COLUMNS)
        assert table["cell_id"].to_list() == pl.read_parquet(tiny_split)["cell_id"].to_list()
        assert (table["blast_probability"] - tables[0]["blast_probability"]).abs().max() < 1e-9
    assert pl.read_csv(tmp_path / "s.csv")["num_cells"].sum() == 53


def test_without_out_the_table_is_on_the_screen(leukoscope, tiny_bundle, tiny_cohort):
    folder = tiny_cohort / "C-NMC_Leukemia" / "testing_data"
    ran = leukoscope("predict", tiny_bundle, folder)
    assert ran.code == 0
    assert [line.split()[0] for line in ran.out.splitlines()] == [
        "cell_id",
        *(f"final_{n}" for n in range(1, 6)),
    ]
    assert "not for diagnosis" in ran.err
    rows = leukoscope("predict", tiny_bundle, folder, "--json", "--subject", "P7").document["rows"]
    assert [row["subject_id"] for row in rows] == ["P7"] * 5


def test_what_cannot_be_read_is_a_row_and_exit_code_1(leukoscope, tmp_path, tiny_bundle, tiny_cohort):
    (tmp_path / "empty.bmp").write_bytes(b"")
    good = next(tiny_cohort.rglob("*_hem.bmp"))
    ran = leukoscope("predict", tiny_bundle, tmp_path / "empty.bmp", good, tmp_path / "missing.png", "--json")
    assert ran.code == 1
    assert (ran.document["num_cells"], ran.document["num_unreadable"]) == (3, 2)
    rows = ran.document["rows"]
    assert [row["decision"] == "indeterminate" and bool(row["error"]) for row in rows] == [True, False, True]
    assert [row["blast_probability"] is None for row in rows] == [True, False, True]


@pytest.mark.parametrize("out", ["cells.xlsx", "."])
def test_an_output_that_cannot_be_written_is_refused_first(leukoscope, tiny_bundle, tiny_cohort, out):
    ran = leukoscope("predict", tiny_bundle, tiny_cohort, "-o", out)
    assert ran.code == 2
    assert not ran.out


def test_a_gallery_shows_the_ends_of_the_table(leukoscope, tmp_path, tiny_bundle, tiny_cohort):
    page, out = tmp_path / "gallery.html", tmp_path / "cells.csv"
    ran = leukoscope("predict", tiny_bundle, tiny_cohort, "-o", out, "--gallery", page, "--json")
    assert (ran.code, ran.document["gallery"]) == (0, str(page))
    text = page.read_text()
    rows = pl.read_csv(out).sort("blast_probability")
    assert text.count("<img ") == 40
    assert rows["cell_id"][-1] in text and rows["cell_id"][0] in text
    assert rows["cell_id"][rows.height // 2] not in text
    assert rows["bundle_id"][0] in text
    without = leukoscope("predict", tiny_bundle, tiny_cohort, "--gallery", tmp_path / "again.html")
    assert without.code == 0 and "again.html" in without.err
    assert (tmp_path / "again.html").read_text() == text


def test_a_gallery_of_another_ending_is_refused_first(leukoscope, tmp_path, tiny_bundle, tiny_cohort):
    out = tmp_path / "cells.csv"
    ran = leukoscope("predict", tiny_bundle, tiny_cohort, "-o", out, "--gallery", tmp_path / "g.pdf")
    assert ran.code == 2 and ".html" in ran.err
    assert not out.exists()


def test_an_interrupted_run_goes_on(leukoscope, tmp_path, tiny_bundle, tiny_cohort, breaking):
    out, mend = tmp_path / "cells.csv", breaking(1)
    names = [path for path in sorted(tiny_cohort.rglob("*.bmp")) for _ in range(2)]
    words = ("predict", tiny_bundle, *names, "-o", out)
    broken = leukoscope(*words)
    assert broken.code == 130 and "--resume goes on" in broken.err
    mend()
    refused = leukoscope(*words)
    assert refused.code == 2 and "64 finished rows" in refused.err
    assert leukoscope(*words, "--resume").code == 0
    assert pl.read_csv(out).height == len(names)


def test_paths_come_from_standard_input(leukoscope, tmp_path, tiny_bundle, tiny_cohort, monkeypatch):
    import io

    images = sorted(tiny_cohort.rglob("*.bmp"))[:5]
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{path}\n" for path in images) + "\nnone.png\n"))
    ran = leukoscope("predict", tiny_bundle, "-", "-o", tmp_path / "cells.csv")
    assert ran.code == 1  # one is not there
    rows = pl.read_csv(tmp_path / "cells.csv")
    assert rows["path"].to_list() == [str(path) for path in images] + ["none.png"]
    assert rows["error"].is_not_null().to_list() == [False] * 5 + [True]


def test_what_cannot_be_read_twice_or_gone_on_with(leukoscope, tmp_path, tiny_bundle):
    for words, said in (
        (["-", "x.png"], "read once"),
        (["-", "--explain", tmp_path / "maps"], "read once"),
        (["x.png", "--resume"], "goes on with a file"),
    ):
        ran = leukoscope("predict", tiny_bundle, *words)
        assert ran.code == 2 and said in ran.err and "hint:" in ran.err


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_backend_threads_batch_and_workers_are_as_asked_for(
    leukoscope, tmp_path, tiny_bundle, tiny_cohort, backend
):
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    out, plain = tmp_path / "cells.parquet", tmp_path / "plain.parquet"
    numbers = ("--threads", 1, "--batch-size", 8, "--workers", 1)
    assert (
        leukoscope("predict", tiny_bundle, tiny_cohort, "-o", out, "--backend", backend, *numbers).code == 0
    )
    assert leukoscope("predict", tiny_bundle, tiny_cohort, "-o", plain).code == 0
    ours, theirs = pl.read_parquet(out), pl.read_parquet(plain)
    assert (ours["blast_probability"] - theirs["blast_probability"]).abs().max() < 1e-4
    assert ours["decision"].equals(theirs["decision"])
    assert pl.read_parquet_metadata(out)["backend"].startswith(f"{backend} ")
    assert "onnxruntime" in pl.read_parquet_metadata(plain)["versions"]


@pytest.mark.parametrize("option", ["--threads", "--batch-size", "--workers"])
@pytest.mark.parametrize("number", ["-1", "1000000000", "many"])
def test_numbers_that_make_no_sense_are_refused(leukoscope, tiny_bundle, tiny_cohort, option, number):
    ran = leukoscope("predict", tiny_bundle, tiny_cohort, option, number)
    assert ran.code == 2 and not ran.out
    assert option.strip("-").replace("-", "_") in ran.err.replace("-", "_") and "hint:" in ran.err
    assert number in ran.err or "integer" in ran.err


def test_a_backend_that_is_not_there_is_named(leukoscope, tiny_bundle, tiny_cohort, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "openvino", None)
    ran = leukoscope("predict", tiny_bundle, tiny_cohort, "--backend", "openvino")
    assert ran.code == 2 and 'pip install "leukoscope[openvino]"' in ran.err


def test_every_backend_can_be_asked_for(leukoscope):
    from leukoscope.inference.backends import known_backends

    offered = leukoscope("predict", "--help").out
    assert all(name in offered for name in ("auto", *known_backends().names()))


@pytest.fixture(scope="module")
def photograph(tmp_path_factory):
    path = tmp_path_factory.mktemp("smear") / "field.png"
    image = synthesize_smear(seed=31, width=600, height=500, white_cells=3, touching_pairs=0).image
    cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return path


def test_a_photograph_is_judged_cell_by_cell(leukoscope, tiny_bundle, photograph, tmp_path):
    words = ("predict", tiny_bundle, photograph, "--smear", "--subject", "S1")
    shown = leukoscope(*words)
    assert shown.code == 0
    assert shown.out.count("field_") == 3
    assert "um/pixel" in shown.err and "red-cells" in shown.err
    assert "moves the blast probability of 2 judged cells by 0." in shown.err
    assert shown.out.count("not a single cell: edge") == 1
    told = leukoscope(*words, "--pixel-size", 0.1, "-o", tmp_path / "x.csv", "--json").document
    assert told["photographs"][0]["scale"]["source"] == "given"
    assert told["photographs"][0]["num_cells"] == told["num_cells"] == 3
    assert 0 <= told["scale_moves"]["median_change"] <= told["scale_moves"]["tenth_change"] <= 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--pixel-size", "0.1"], "add --smear"),
        (["--smear", "--explain", "maps"], "cells extract writes the cells"),
        (["--smear", "--pixel-size", "7"], "Received: 7.0"),
        (["--smear", "--engine", "ray", "-o", "x.parquet"], "each cell as a file of its own"),
    ],
)
def test_what_photographs_cannot_do_is_wrong_usage(
    leukoscope, tiny_bundle, photograph, tmp_path, monkeypatch, words, told
):
    monkeypatch.chdir(tmp_path)
    ran = leukoscope("predict", tiny_bundle, photograph, *words)
    assert ran.code == 2 and told in ran.err
    assert not list(tmp_path.iterdir())


def test_photographs_do_not_come_from_standard_input(leukoscope, tiny_bundle):
    assert leukoscope("predict", tiny_bundle, "-", "--smear").code == 2
