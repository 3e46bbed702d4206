"""C-NMC 2019, the ISBI 2019 challenge: leukaemic (ALL) and normal (HEM) B-lymphoblasts on black.

Format: 24-bit BMP, 450x450 (final test 600x600, same scale, padded). A copy in any image format is read.

Layout, in any spelling of case, at any depth, under any of the known names::

    [PKG - C-NMC 2019/][C-NMC_Leukemia/]
      training_data | C-NMC_training_data
        fold_{0,1,2} / {all,hem} / UID_<subject>_<photograph>_<cell>_{all,hem}.bmp
      [validation_data/] C-NMC_test_prelim_phase_data / <n>.bmp
      C-NMC_test_prelim_phase_data_labels.csv, anywhere: Patient_ID,new_names,labels (1 = ALL)
      [testing_data/] C-NMC_test_final_phase_data / <n>.bmp, unlabelled

Classes: ``normal`` (hem), ``blast`` (all, positive). Subjects: ``P`` for ALL, ``HS`` for HEM, upper-cased.
The H is part of the id: 19 numbers exist both ways, and one id is written in lower case (``h3``).
Complete: 10,661 training cells of 73 subjects, 1,867 preliminary of 28, 2,586 final, unlabelled.

Citation: Gupta & Gupta 2019, The Cancer Imaging Archive, doi 10.7937/tcia.2019.dc64i46r. Licence: CC BY 3.0.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

from leukoscope.cohort.layouts.listing import Entry, Listing, Options
from leukoscope.cohort.official import subject_groups
from leukoscope.cohort.source import ImageSource
from leukoscope.errors import LayoutError

LICENCE = "CC BY 3.0"
CITATION = "Gupta & Gupta 2019, The Cancer Imaging Archive, doi 10.7937/tcia.2019.dc64i46r"
LABELS_CSV = "C-NMC_test_prelim_phase_data_labels.csv"
SYNTHETIC_MARK = "SYNTHETIC.txt"
"""A cohort drawn by a program has a file of this name; its cells are then not taken for the official ones."""

LABELS = {"all": "blast", "hem": "normal"}

_NAME = re.compile(
    r"UID_(?P<subject>H?[0-9]+)_(?P<photograph>[0-9]+)_(?P<cell>[0-9]+)_(?P<label>all|hem)", re.I
)
_FOLD = re.compile(r"fold_([0-9]+)", re.I)
_NUMBER = re.compile(r"[0-9]+")
_PRELIMINARY = {"validation_data", "c-nmc_test_prelim_phase_data"}
_FINAL = {"testing_data", "c-nmc_test_final_phase_data"}
_COLUMNS = ("Patient_ID", "new_names", "labels")


class UidName(NamedTuple):
    """What a name such as ``UID_H10_2_7_hem`` says."""

    cell_id: str
    subject_id: str
    photograph_id: str
    label: str


def parse_name(name: str) -> UidName | None:
    """Read an original C-NMC name, with or without its ending; None when it is not one.

    >>> parse_name("UID_h3_12_4_hem.bmp")
    UidName(cell_id='UID_h3_12_4_hem', subject_id='H3', photograph_id='H3_12', label='normal')
    """
    cell_id = PurePosixPath(name).stem if "." in name else name
    found = _NAME.fullmatch(cell_id)
    if found is None:
        return None
    subject = found["subject"].upper()
    return UidName(cell_id, subject, f"{subject}_{found['photograph']}", LABELS[found["label"].lower()])


class Place(NamedTuple):
    """Where in the data set a file lies, by its path alone."""

    source: str
    fold: int | None = None
    label: str | None = None


def place(path: str) -> Place | None:
    """The part of the data set that a path belongs to; None when it belongs to none.

    >>> place("C-NMC_training_data/fold_1/ALL/UID_4_1_1_all.bmp")
    Place(source='training', fold=1, label='blast')
    >>> place("validation_data/C-NMC_test_prelim_phase_data/12.png")
    Place(source='preliminary', fold=None, label=None)
    """
    *folders, name = PurePosixPath(path).parts
    folders = [folder.lower() for folder in folders]
    if folders and folders[-1] in LABELS and parse_name(name):
        fold = _FOLD.fullmatch(folders[-2]) if len(folders) > 1 else None
        return Place("training", int(fold[1]) if fold else None, LABELS[folders[-1]])
    if _NUMBER.fullmatch(PurePosixPath(name).stem):
        if _FINAL & set(folders):
            return Place("final")
        if _PRELIMINARY & set(folders):
            return Place("preliminary")
    return None


class PreliminaryRow(NamedTuple):
    """One row of a CSV of preliminary labels: the number of a file, its original name, its label."""

    table: str
    number: int
    name: UidName
    label: str


def preliminary_labels(images: ImageSource) -> dict[int, PreliminaryRow] | None:
    """The labels of the preliminary set by the number of the file; None when their CSV is not there.

    Raises:
        LayoutError: when the CSV has other columns or a row that makes no sense.
    """
    tables = [name for name in images.files() if name.lower().endswith(".csv") and "prelim" in name.lower()]
    found: dict[int, PreliminaryRow] = {}
    for table in tables:
        for row in _label_rows(images, table):
            if found.setdefault(row.number, row)[1:] != row[1:]:
                raise LayoutError(
                    f"{table}: file {row.number} is labelled twice, differently", hint=_CSV_HINT
                )
    return found if tables else None


_CSV_HINT = f"take {LABELS_CSV} from the original download"


def _label_rows(images: ImageSource, table: str) -> Iterator[PreliminaryRow]:
    reader = csv.DictReader(io.StringIO(images.read(table).decode("utf-8-sig", errors="replace")))
    columns = reader.fieldnames or []
    if not set(columns) >= set(_COLUMNS):
        raise LayoutError(
            f"{table}: expected the columns {','.join(_COLUMNS)}, found {','.join(columns)}", hint=_CSV_HINT
        )
    for row in reader:
        name, number = parse_name(row["Patient_ID"] or ""), PurePosixPath(row["new_names"] or "").stem
        if name is None or not _NUMBER.fullmatch(number) or row["labels"] not in {"0", "1"}:
            raise LayoutError(f"{table}: line {reader.line_num} cannot be read: {dict(row)}", hint=_CSV_HINT)
        yield PreliminaryRow(table, int(number), name, "blast" if row["labels"] == "1" else "normal")


def is_synthetic(images: ImageSource) -> bool:
    """Whether the cells were drawn by a program; the mark may also lie above the source."""
    inside = any(PurePosixPath(name).name == SYNTHETIC_MARK for name in images.files())
    return inside or any((folder / SYNTHETIC_MARK).is_file() for folder in images.root.parents)


class Cnmc2019:
    """Reader of the C-NMC 2019 layout."""

    def matches(self, images: ImageSource) -> bool:
        """Whether at least one file lies where C-NMC has it, and at least half of all do."""
        names = images.names()
        placed = sum(place(name) is not None for name in names)
        return 0 < placed >= len(names) / 2

    def read(self, images: ImageSource, options: Options) -> Listing:
        """List the cells; see the head of this file.

        Raises:
            LayoutError: when there is none, when a folder and a name contradict each other about the class,
                or when the labels CSV cannot be read.
        """
        names = images.names()
        places = {name: spot for name in names if (spot := place(name)) is not None}
        if not places:
            raise LayoutError(
                f"{images.root}: expected the C-NMC 2019 folders, found {len(names):,} images outside them",
                hint='for one folder a class use "--layout folder"',
            )
        labels = preliminary_labels(images)
        cells = [_entry(path, spot, labels or {}) for path, spot in places.items()]
        synthetic = is_synthetic(images)
        return Listing(
            layout="cnmc2019",
            root=images.root,
            cells=cells,
            metadata=_metadata(synthetic, cells, labels),
            notes=tuple(_notes(cells, labels, len(names) - len(places))),
            duplicate_groups={} if synthetic else subject_groups(),
        )


def _entry(path: str, spot: Place, labels: dict[int, PreliminaryRow]) -> Entry:
    stem = PurePosixPath(path).stem
    if spot.source == "final":
        return Entry(f"final_{int(stem)}", path, None, None, "final")
    if spot.source == "preliminary":
        row = labels.get(int(stem))
        if row is None:
            return Entry(f"preliminary_{int(stem)}", path, None, None, "preliminary")
        name = row.name
        return Entry(name.cell_id, path, name.subject_id, row.label, "preliminary", None, name.photograph_id)
    known = parse_name(stem)
    assert known is not None  # place() calls nothing else a training cell
    if known.label != spot.label:
        raise LayoutError(
            f"{path}: the folder says {spot.label}, the name says {known.label}",
            hint='find all such files with "leukoscope data check", and put them where they belong',
        )
    return Entry(
        known.cell_id, path, known.subject_id, known.label, "training", spot.fold, known.photograph_id
    )


def _metadata(
    synthetic: bool, cells: list[Entry], labels: dict[int, PreliminaryRow] | None
) -> dict[str, str]:
    there = sum(cell.source == "preliminary" for cell in cells)
    return {
        "source_name": "synthetic cohort" if synthetic else "C-NMC 2019",
        "synthetic": json.dumps(synthetic),
        "licence": "none: drawn by a program" if synthetic else LICENCE,
        "citation": "" if synthetic else CITATION,
        "preliminary_cells": str(there),
        "preliminary_listed": str(len(labels or {})),
    }


def _notes(cells: list[Entry], labels: dict[int, PreliminaryRow] | None, num_elsewhere: int) -> Iterator[str]:
    preliminary = [cell for cell in cells if cell.source == "preliminary"]
    unlabelled = [cell.path for cell in preliminary if cell.label is None]
    if preliminary and labels is None:
        yield (f"the {len(preliminary):,} preliminary cells stay unlabelled: {LABELS_CSV} is not there")
    elif unlabelled:
        yield f"{len(unlabelled):,} preliminary cells are not in the labels CSV: {unlabelled[0]}"
    if num_elsewhere:
        yield f"{num_elsewhere:,} image files lie outside the C-NMC 2019 folders and are left out"
