"""The notebooks in docs run from top to bottom."""

from __future__ import annotations

from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).parents[1] / "docs" / "notebooks"


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebook_runs(path, tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("LEUKOSCOPE_CACHE", str(tmp_path / "cache"))
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "outputs are not committed"
    nbclient.NotebookClient(notebook, timeout=600, startup_timeout=300, kernel_name="python3").execute(
        cwd=str(tmp_path)
    )
    assert list(tmp_path.glob("leukoscope-*/report/report.html"))


def test_there_are_notebooks():
    assert [path.name for path in NOTEBOOKS.glob("*.ipynb")] == ["whole-way.ipynb"]
