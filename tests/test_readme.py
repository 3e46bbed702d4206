"""What README shows in Python runs as it stands there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_python_of_readme_runs(tiny_cohort, tmp_path):
    cells = sorted(tiny_cohort.rglob("*.bmp"))[:2]
    (tmp_path / "cells").mkdir()
    for place, cell in enumerate(cells, start=1):
        shutil.copy(cell, tmp_path / f"cell_{place}.bmp")
        shutil.copy(cell, tmp_path / "cells")
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 2
    for block in blocks:
        ran = subprocess.run(
            [sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
        assert re.search(r"\b(blast|normal|indeterminate)\b", ran.stdout)
