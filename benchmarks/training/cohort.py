"""A cohort as large as one likes: few drawn cells under many names, by hard links."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path

from leukoscope.cohort.layouts.cnmc2019 import SYNTHETIC_MARK
from leukoscope.cohort.synth import synthesize

NUM_TRAINING_CELLS = 10_661
NUM_PEOPLE = 72
DRAWN_PEOPLE, DRAWN_CELLS = 12, 20
FOLD = "C-NMC_Leukemia/training_data/fold_0"


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for the files of a measurement, below ``LEUKOSCOPE_BENCHMARKS`` if that is set; removed after
    it."""
    parent = os.environ.get("LEUKOSCOPE_BENCHMARKS")
    if parent:
        Path(parent).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent) as name:
        yield Path(name)


def cohort(folder: Path, num: int, *, drawn: Path | None = None) -> Path:
    """A folder of the C-NMC kind with ``num`` labelled BMP files; cells of either class alternate.

    Args:
        folder: where it is made; the drawn cells, which are kept, lie beside it.
        num: of files. They are links to fewer, so the disk's cache holds what is read.
        drawn: take the BMP files below this folder instead of drawing some.

    Returns:
        The folder; its subfolder :data:`FOLD` has the folders ``all`` and ``hem``.
    """
    if drawn is None:
        drawn = folder.with_name("drawn")
        if not drawn.is_dir():
            synthesize(drawn, subjects=DRAWN_PEOPLE, cells_per_subject=DRAWN_CELLS, unlabelled=0)
    for label in ("all", "hem"):
        (folder / FOLD / label).mkdir(parents=True)
        files = sorted(drawn.rglob(f"*_{label}.bmp"))
        wanted = (num + (label == "all")) // 2
        for number, file in enumerate(islice(cycle(files), wanted)):
            person, cell = number % NUM_PEOPLE + 1, number // NUM_PEOPLE + 1
            prefix = "H" if label == "hem" else ""
            os.link(file, folder / FOLD / label / f"UID_{prefix}{person}_1_{cell}_{label}.bmp")
    (folder / SYNTHETIC_MARK).write_text("drawn cells under many names, for measurements of speed\n")
    return folder
