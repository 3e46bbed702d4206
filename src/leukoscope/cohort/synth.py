"""A synthetic cohort in the layout of C-NMC 2019, drawn from one seed.

Nothing here is anybody's blood. It exists so that everything can be tried, tested and shown without a
download. Whose cells are large or fine is said in :mod:`leukoscope.cohort.synthetic_people`, how one is drawn
in :mod:`leukoscope.cohort.cell_drawing`.

Format: 450x450 BMP, 24 bit, in C-NMC's folders and names; ``SYNTHETIC.txt`` beside them says what they are.
Licence: as the program.
"""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np

from leukoscope import __version__
from leukoscope.cohort.cell_drawing import draw_cell
from leukoscope.cohort.layouts.cnmc2019 import LABELS_CSV, SYNTHETIC_MARK
from leukoscope.cohort.official import official_bmps
from leukoscope.cohort.synthetic_people import FIRST_NUMBER, Person, draw_look, draw_people, spread
from leukoscope.core.files import write_text
from leukoscope.core.parallel import ordered_map
from leukoscope.core.progress import track
from leukoscope.errors import UsageError

DATASET_FOLDER = "C-NMC_Leukemia"
TRAINING = "training_data"
PRELIMINARY = "validation_data/C-NMC_test_prelim_phase_data"
PRELIMINARY_LABELS = f"validation_data/{LABELS_CSV}"
FINAL = "testing_data/C-NMC_test_final_phase_data"
NUM_FOLDS = 3
PRELIMINARY_SHARE = 1 / 3
NUM_STRANGERS = 6  # people of the unlabelled cells
SIDE, FINAL_SIDE = 450, 600


class PlannedCell(NamedTuple):
    """One file to draw: ``path`` below ``C-NMC_Leukemia``, ``name`` the original one, ``side`` in pixels.

    ``size`` is the quantile of its size among the cells of that person.
    """

    path: str
    name: str
    person: Person
    size: float
    side: int
    seed: np.random.SeedSequence


def synthesize(
    out: Path | str,
    *,
    subjects: int = 24,
    cells_per_subject: int = 40,
    unlabelled: int = 100,
    seed: int = 0,
    workers: int = 0,
) -> Path:
    """Write a synthetic cohort into ``out``: the same arguments give the same bytes, however many workers.

    Half of the subjects have leukaemia. One third of each class are the preliminary set, the others are dealt
    over three training folds; the unlabelled cells of the final test come from further people.

    Args:
        out: a folder; ``C-NMC_Leukemia`` and ``SYNTHETIC.txt`` appear in it.
        subjects: people with labels, at least 2.
        cells_per_subject: cells of each of them, at least 1.
        unlabelled: cells of the final test, 600x600.
        seed: a whole number >= 0.
        workers: threads; 0 means one for each processor.

    Returns:
        ``out``.

    Raises:
        UsageError: for counts that are too small, or when ``out`` already holds a cohort.
    """
    plan = plan_cohort(subjects, cells_per_subject, unlabelled, seed)
    root = Path(out)
    if (root / DATASET_FOLDER).exists():
        raise UsageError(
            f"{root} already holds {DATASET_FOLDER}: a synthetic cohort goes into a folder without one",
            hint="choose another folder or remove that one",
        )
    partial = root / f".{DATASET_FOLDER}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    marker = _marker_text(subjects, cells_per_subject, unlabelled, seed)
    try:
        _write_cells(partial, plan, workers)
        write_text(partial / PRELIMINARY_LABELS, _labels_csv(plan))
        # Inside the data set as well: who passes that folder on passes the mark on.
        write_text(partial / SYNTHETIC_MARK, marker)
        write_text(root / SYNTHETIC_MARK, marker)
        partial.rename(root / DATASET_FOLDER)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return root


def plan_cohort(subjects: int, cells_per_subject: int, unlabelled: int, seed: int) -> list[PlannedCell]:
    """Every file of a cohort, before anything is drawn: training, preliminary, final.

    Raises:
        UsageError: for counts that are too small.
    """
    least = {"subjects": (subjects, 2), "cells_per_subject": (cells_per_subject, 1)}
    least |= {"unlabelled": (unlabelled, 0), "seed": (seed, 0)}
    for name, (value, smallest) in least.items():
        if value < smallest:
            raise UsageError(f"{name} must be at least {smallest}. Received: {value}")
    training, preliminary, final = (np.random.SeedSequence([seed, part]) for part in range(3))
    return [
        *_plan_training(subjects, cells_per_subject, training),
        *_plan_preliminary(subjects, cells_per_subject, preliminary),
        *_plan_final(unlabelled, final),
    ]


def _num_preliminary(subjects: int, *, blast: bool) -> tuple[int, int]:
    """How many subjects of a class there are, and how many of them are in the preliminary set."""
    num = subjects - subjects // 2 if blast else subjects // 2
    return num, int(num * PRELIMINARY_SHARE + 0.5)


def _plan_training(subjects: int, cells: int, seed: np.random.SeedSequence) -> list[PlannedCell]:
    rng, plan = np.random.default_rng(seed), []
    for blast, folder in ((True, "all"), (False, "hem")):
        num, aside = _num_preliminary(subjects, blast=blast)
        for place, person in enumerate(draw_people(num - aside, blast=blast, first=FIRST_NUMBER, rng=rng)):
            for name, size in zip(_cell_names(person, cells, rng), spread(cells, rng), strict=True):
                path = f"{TRAINING}/fold_{place % NUM_FOLDS}/{folder}/{name}"
                plan.append(PlannedCell(path, name, person, size, SIDE, seed.spawn(1)[0]))
    return plan


def _plan_preliminary(subjects: int, cells: int, seed: np.random.SeedSequence) -> list[PlannedCell]:
    rng, named = np.random.default_rng(seed), []
    for blast in (True, False):
        num, aside = _num_preliminary(subjects, blast=blast)
        for person in draw_people(aside, blast=blast, first=FIRST_NUMBER + num - aside, rng=rng):
            sizes = spread(cells, rng)
            named += [(person, *each) for each in zip(_cell_names(person, cells, rng), sizes, strict=True)]
    shuffled = [named[place] for place in rng.permutation(len(named))]
    return [
        PlannedCell(f"{PRELIMINARY}/{number}.bmp", name, person, size, SIDE, seed.spawn(1)[0])
        for number, (person, name, size) in enumerate(shuffled, start=1)
    ]


def _plan_final(unlabelled: int, seed: np.random.SeedSequence) -> list[PlannedCell]:
    rng = np.random.default_rng(seed)
    strangers = [
        person
        for blast in (True, False)
        for person in draw_people(NUM_STRANGERS // 2, blast=blast, first=9 * FIRST_NUMBER, rng=rng)
    ]
    return [
        PlannedCell(
            f"{FINAL}/{number}.bmp", "", strangers[number % NUM_STRANGERS], size, FINAL_SIDE, seed.spawn(1)[0]
        )
        for number, size in enumerate(spread(unlabelled, rng), start=1)
    ]


def _cell_names(person: Person, cells: int, rng: np.random.Generator) -> list[str]:
    """Names ``UID_<subject>_<photograph>_<cell>_<all|hem>.bmp``, one to five cells a photograph."""
    names: list[str] = []
    photograph = 0
    while len(names) < cells:
        photograph += 1
        ending = "all" if person.blast else "hem"
        num = int(rng.integers(1, 6))
        names += [f"UID_{person.subject_id}_{photograph}_{cell}_{ending}.bmp" for cell in range(1, num + 1)]
    return names[:cells]


def _write_cells(folder: Path, plan: list[PlannedCell], workers: int) -> None:
    for parent in {(folder / cell.path).parent for cell in plan}:
        parent.mkdir(parents=True)

    def write(cell: PlannedCell) -> None:
        rng = np.random.default_rng(cell.seed)
        image = draw_cell(draw_look(cell.person, rng, size=cell.size), rng, side=cell.side)
        (folder / cell.path).write_bytes(next(official_bmps(image)))

    for _ in track(ordered_map(write, plan, workers=workers), "drawing synthetic cells", len(plan)):
        pass


def _labels_csv(plan: list[PlannedCell]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("Patient_ID", "new_names", "labels"))
    for cell in plan:
        if cell.path.startswith(PRELIMINARY):
            writer.writerow((cell.name, Path(cell.path).name, int(cell.person.blast)))
    return text.getvalue()


def _marker_text(subjects: int, cells_per_subject: int, unlabelled: int, seed: int) -> str:
    return (
        "These are synthetic images, drawn by a program. They show nobody's blood.\n"
        "Made by: leukoscope data synth\n"
        f"version: {__version__}\n"
        f"subjects: {subjects}\n"
        f"cells_per_subject: {cells_per_subject}\n"
        f"unlabelled: {unlabelled}\n"
        f"seed: {seed}\n"
    )
