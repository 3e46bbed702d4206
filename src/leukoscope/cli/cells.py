"""``leukoscope cells``: from photographs of smears to single cells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from leukoscope.cli.failures import FAILED, keeping
from leukoscope.cli.output import Json, print_json, print_table

if TYPE_CHECKING:
    from leukoscope.cohort.extract import Extraction
    from leukoscope.cohort.smears import Photograph

app = typer.Typer(name="cells", help="Cells: cut them out of photographs.", rich_markup_mode=None)


PixelSize = Annotated[
    float | None,
    typer.Option(metavar="MICROMETRES", help="Of a pixel of the photographs; else by their red cells."),
]


FlatField = Annotated[
    bool,
    typer.Option(
        "--flat-field/--no-flat-field", help="Even out the light of each photograph and make it white."
    ),
]
Normalise = Annotated[
    Literal["none", "reinhard", "macenko"],
    typer.Option(help="Bring the stain of each photograph's cells to C-NMC's."),
]


@app.callback()
def cells() -> None:
    """Cells: cut them out of photographs."""


@app.command()
def extract(
    smears: Annotated[
        list[Path], typer.Argument(metavar="SMEAR", help="Photographs (JPEG, PNG, TIFF), or folders of them.")
    ],
    *,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Folder to write into.")],
    pixel_size: PixelSize = None,
    bundle: Annotated[
        str | None,
        typer.Option(metavar="BUNDLE", help="Cut at the scale that this bundle assumes; else C-NMC's."),
    ] = None,
    flat_field: FlatField = False,
    normalise: Normalise = "none",
    subject: Annotated[str | None, typer.Option(metavar="ID", help="Whose blood it is.")] = None,
    as_json: Json = False,
) -> int:
    """Cut the white cells out of photographs of smears, in C-NMC's style.

    Single whole cells that may be lymphoid go to DIR/cells, all else to DIR/set-aside; DIR/manifest.parquet
    has a row for each. Exit code 1 if some photographs cannot be read.
    """
    from leukoscope.cells.scale import CNMC_MICROMETRES_PER_PIXEL
    from leukoscope.cohort.extract import extract as extract_cells
    from leukoscope.cohort.smears import SmearSettings

    target = _assumed_by(bundle) or CNMC_MICROMETRES_PER_PIXEL
    settings = SmearSettings(
        pixel_size=pixel_size, target_pixel_size=target, flat_field=flat_field, normalise=normalise
    )
    with keeping(f"the photographs that were finished are in {out}"):
        done = extract_cells(smears, out, settings, subject_id=subject)
    if as_json:
        print_json(describe(done))
    else:
        print_extraction(done)
    return FAILED if done.num_unreadable else 0


def _assumed_by(bundle: str | None) -> float | None:
    """Micrometres per pixel of the cells a bundle was trained on; None where it does not say."""
    if bundle is None:
        return None
    from leukoscope.bundle.read import open_bundle

    return open_bundle(bundle).info.micrometres_per_pixel


def describe(done: Extraction) -> dict[str, object]:
    """The result as plain data."""
    return {
        "out": str(done.out),
        "num_photographs": len(done.photographs),
        "num_unreadable": done.num_unreadable,
        "num_found": len(done.manifest),
        "num_cells": sum(photograph.num_cells for photograph in done.photographs),
        "num_single": sum(photograph.num_single for photograph in done.photographs),
        "photographs": [photograph.to_json() for photograph in done.photographs],
    }


def print_extraction(done: Extraction) -> None:
    """Print what was found in each photograph, how its scale is known, and what was set aside."""
    found = describe(done)
    print(
        f"{done.out}: {found['num_cells']:,} white cell{'' if found['num_cells'] == 1 else 's'} "
        f"in {found['num_photographs']:,} photograph{'' if found['num_photographs'] == 1 else 's'}, "
        f"{found['num_single']:,} of them single and whole"
    )
    print_photographs(done.photographs)


def print_photographs(photographs: Sequence[Photograph], *, err: bool = False) -> None:
    """A line for each: its cells, its scale and how that is known, flags or why it could not be read."""
    rows = [
        (
            photograph.photograph_id,
            photograph.num_cells,
            photograph.num_single,
            photograph.scale and photograph.scale.micrometres_per_pixel,
            photograph.scale and photograph.scale.source,
            photograph.error or ", ".join(f"{num} {flag}" for flag, num in photograph.flags.items()),
        )
        for photograph in photographs
    ]
    print_table(("photograph", "cells", "single", "um/pixel", "scale by", "flags"), rows, err=err)
