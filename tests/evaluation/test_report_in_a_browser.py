"""The report in Chromium: no sideways scrolling at any width, and nothing fetched."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess

import polars as pl
import pytest

from leukoscope.evaluation.evaluate import evaluate
from leukoscope.evaluation.report import write_report
from leukoscope.evaluation.table import PredictionTable

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")]

MEASURE = """<script>
document.querySelectorAll("details").forEach(one => { one.open = true; });
const loaded = performance.getEntriesByType("resource").map(one => one.name);
const wide = [...document.querySelectorAll("body *")].filter(one =>
  !one.closest(".scroll, figure.wide, svg") && one.getBoundingClientRect().right > innerWidth + 1);
parent.postMessage(JSON.stringify({
  width: innerWidth,
  page: document.documentElement.scrollWidth,
  wide: wide.map(one => one.outerHTML.slice(0, 80)),
  fetched: loaded.filter(name => !name.startsWith("data:")),
  figures: [...document.querySelectorAll("svg[role=img]")].length,
}), "*");
</script>"""
WIDTHS = (360, 820, 1400)
FRAMES = """<!doctype html><title>[]</title><script>
const told = [];
onmessage = one => { told.push(JSON.parse(one.data)); document.title = JSON.stringify(told); };
</script>"""
FRAMES += "".join(
    f'<iframe src="measured.html" style="width: {width}px; border: 0"></iframe>' for width in WIDTHS
)


@pytest.fixture(scope="module")
def page(make_table, tmp_path_factory):
    """A cross-validated report with a ruler, long names and an operating point."""
    folder = tmp_path_factory.mktemp("browser")
    made = make_table(blasts=14, normals=14, cells=40, synthetic="true")
    number = made.frame["subject_id"].str.extract("([0-9]+)").cast(pl.Int32)
    frame = made.frame.with_columns(
        fold=number % 3,
        ruler_probability=pl.col("blast_probability") * 0.5 + 0.2,
        cell_id=pl.lit("a_long_name_of_a_cell_without_any_space_in_it_") + pl.col("cell_id"),
        stain=pl.col("blast_probability") / 3,
    )
    point = {"name": "covering-0.9", "criterion": "sensitivity at least", "target": 0.9}
    info = {"name": "leukoscope-s", "operating_points": [{**point, "normal_below": 0.2, "blast_from": 0.4}]}
    report = evaluate(PredictionTable(frame, made.metadata), bundle_info=info, draws=100)
    path = write_report(report, folder)
    measured = folder / "measured.html"
    measured.write_text(
        path.read_text(encoding="utf-8").replace("</body>", MEASURE + "</body>"), encoding="utf-8"
    )
    return measured


def test_it_fits_three_widths_and_needs_no_network(page, tmp_path):
    """In frames, since a window of Chromium is never narrower than 500 pixels."""
    assert CHROMIUM is not None
    frames = page.with_name("frames.html")
    frames.write_text(FRAMES, encoding="utf-8")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}"]
    options = ["--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=5000", "--dump-dom"]
    ran = subprocess.run(
        [*command, *options, frames.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    title = re.search(r"<title>(.*?)</title>", ran.stdout, re.DOTALL)
    assert title is not None
    measured = json.loads(html.unescape(title[1]))
    assert sorted(found["width"] for found in measured) == list(WIDTHS)
    for found in measured:
        assert found["page"] <= found["width"]
        assert found["wide"] == []
        assert found["fetched"] == []
        assert found["figures"] == 7
