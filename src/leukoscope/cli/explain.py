"""``leukoscope explain``: maps of what an answer rests on, and how far to believe them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from leukoscope.cli.bundle import BundleName
from leukoscope.cli.failures import FAILED, keeping
from leukoscope.cli.output import Json, print_json

if TYPE_CHECKING:
    from leukoscope.explain.explain import Explained


def explain(
    bundle: BundleName,
    images: Annotated[
        list[str],
        typer.Argument(metavar="IMAGE", help="Images, folders, patterns, zips, manifests, splits."),
    ],
    *,
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="DIR", help="Folder of the page and the pictures.")
    ],
    method: Annotated[
        Literal["auto", "cam", "grad-cam++", "integrated-gradients", "occlusion"],
        typer.Option(help="auto: cam where the bundle has a class map, else occlusion."),
    ] = "auto",
    data: Annotated[
        Path | None,
        typer.Option(metavar="SOURCE", help="Your copy of the training cells: shows the nearest of them."),
    ] = None,
    subject: Annotated[str | None, typer.Option(metavar="ID", help="Whose cells they all are.")] = None,
    backend: Annotated[
        Literal["auto", "onnxruntime", "openvino", "torch"], typer.Option(help="What runs the model.")
    ] = "auto",
    as_json: Json = False,
) -> int:
    """Show where the answer for each cell comes from, and check the maps.

    Exit code 1 if some images cannot be read: their rows say why.
    """
    from leukoscope.explain.explain import explain as explain_cells

    with keeping(f"the pictures that were ready are in {out}"):
        done = explain_cells(
            bundle, images, out, method=method, backend=backend, subject_id=subject, data=data
        )
    if as_json:
        print_json(done.to_json())
    else:
        print_explained(done)
    return FAILED if done.num_unreadable else 0


def print_explained(done: Explained, *, err: bool = False) -> None:
    """Print what was made, by which method, and what the checks say."""
    from leukoscope.core.provenance import RESEARCH_USE_ONLY
    from leukoscope.explain.explain import NO_CAUSE

    num_maps = done.num_cells - done.num_unreadable
    typer.echo(f"{done.page}: maps of {num_maps:,} cells by {done.title} ({done.chosen})", err=err)
    verdicts = {True: "yes", False: "NO", None: "unknown"}
    for check in done.checks:
        typer.echo(f"{check.question} {verdicts[check.holds]}: {check.answer}", err=err)
    if done.num_unreadable:
        typer.echo(f"{done.num_unreadable:,} of {done.num_cells:,} images have no map", err=True)
    stamp = "".join(f"[{name}] " for name in done.stamps)
    typer.echo(f"{stamp}{NO_CAUSE} {RESEARCH_USE_ONLY}", err=True)
