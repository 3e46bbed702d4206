#!/usr/bin/env python3
"""Print the constants of cells/normalisation.py: the stain of C-NMC's training cells, and how far people
differ.

usage: cnmc_stain_reference.py SOURCE [--cells 150]

SOURCE holds C-NMC 2019 (Gupta & Gupta 2019, The Cancer Imaging Archive, doi 10.7937/tcia.2019.dc64i46r, CC BY
3.0). Every subject counts alike, however many cells it has; who has fewer than 20 is left out, and a picture
that stands under two names counts once.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from leukoscope.cells.decode import decode
from leukoscope.cells.normalisation import LIGHT, Floats, cell_pixels, dyes_of, lab_statistics
from leukoscope.cohort.index import list_cells
from leukoscope.cohort.layouts.listing import Entry, Options
from leukoscope.cohort.source import ImageSource
from leukoscope.core.files import sha256_bytes

FEW_CELLS = 20
TITLES = (
    *("red", "green", "blue"),
    *("L*", "a*", "b*", "dev.L", "dev.a", "dev.b"),
    *("azure.r", ".g", ".b", "eosin.r", ".g", ".b", "azure", "eosin", "angle"),
)


class Stain(NamedTuple):
    """The stain of one subject: the constants of ``normalisation``, of it alone."""

    label: str
    num_cells: int
    brightest: Floats
    lab_mean: Floats
    lab_deviation: Floats
    dyes: Floats
    strengths: Floats


class Reference(NamedTuple):
    """The constants, and the 99.99th percentile of each channel, by which the light is assumed."""

    brightest: Floats
    lab_mean: Floats
    lab_deviation: Floats
    dyes: Floats
    strengths: Floats


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("source", type=Path)
    ask.add_argument("--cells", type=int, default=150, help="of a subject, at most, evenly spread by name")
    args = ask.parse_args()
    stains = stains_of(args.source, args.cells)
    for name, value in reference(list(stains.values()))._asdict().items():
        print(f"{name.upper()} = {np.round(value, 4).tolist()}")
    print_people(stains)


def stains_of(source: Path, most: int = 150) -> dict[str, Stain]:
    """The stain of each training subject with at least 20 different cells, by subject."""
    listing, images = list_cells(source, "cnmc2019", Options())
    cells: dict[str, list[Entry]] = defaultdict(list)
    for cell in sorted(listing.cells, key=lambda cell: cell.cell_id):
        if cell.source == "training":
            cells[str(cell.subject_id)].append(cell)
    seen: set[str] = set()
    found = {}
    for subject, theirs in sorted(cells.items()):
        pictures = list(_different(images, theirs, seen))
        if len(pictures) >= FEW_CELLS:
            found[subject] = _stain(str(theirs[0].label), pictures[:: -(-len(pictures) // most)])
    return found


def _different(images: ImageSource, cells: list[Entry], seen: set[str]) -> Iterator[bytes]:
    for cell in cells:
        data = images.read(cell.path)
        name = sha256_bytes(data)
        if name not in seen:
            seen.add(name)
            yield data


def _stain(label: str, pictures: list[bytes]) -> Stain:
    images = [decode(data) for data in pictures]
    pixels = np.concatenate([cell_pixels(image) for image in images])
    found = dyes_of(pixels, LIGHT)
    if found is None:
        raise SystemExit("a subject without two dyes")
    brightest = np.percentile(np.concatenate([image[image.any(axis=2)] for image in images]), 99.99, axis=0)
    return Stain(label, len(pictures), brightest, *lab_statistics(pixels), *found)


def reference(stains: list[Stain]) -> Reference:
    """Means over subjects; of deviations the root mean square; dyes of length 1."""
    dyes = np.mean([stain.dyes for stain in stains], axis=0)
    return Reference(
        np.mean([stain.brightest for stain in stains], axis=0),
        np.mean([stain.lab_mean for stain in stains], axis=0),
        np.sqrt(np.mean([stain.lab_deviation**2 for stain in stains], axis=0)),
        dyes / np.linalg.norm(dyes, axis=1, keepdims=True),
        np.mean([stain.strengths for stain in stains], axis=0),
    )


def print_people(stains: dict[str, Stain]) -> None:
    """One line a subject, then how far they lie apart, and each class by itself."""
    rows = {subject: _row(stain) for subject, stain in stains.items()}
    print(f"\n{'subject':>16} {'cells':>6}" + "".join(f"{title:>8}" for title in TITLES))
    for subject, row in rows.items():
        print(_line(f"{subject} {stains[subject].label}", stains[subject].num_cells, row))
    values = np.array(list(rows.values()))
    labels = np.array([stain.label for stain in stains.values()])
    for label in sorted(set(labels)):
        print(_line(f"mean of {label}", int((labels == label).sum()), values[labels == label].mean(axis=0)))
    print(_line("mean", len(values), values.mean(axis=0)))
    print(_line("deviation", len(values), values.std(axis=0, ddof=1)))


def _row(stain: Stain) -> Floats:
    angle = np.degrees(np.arccos(np.clip(stain.dyes[0] @ stain.dyes[1], -1, 1)))
    return np.concatenate(
        [stain.brightest, stain.lab_mean, stain.lab_deviation, *stain.dyes, stain.strengths, [angle]]
    )


def _line(name: str, num: int, row: Floats) -> str:
    return f"{name:>16} {num:>6}" + "".join(f"{value:8.2f}" for value in row)


if __name__ == "__main__":
    main()
