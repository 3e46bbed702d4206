"""``leukoscope export``: a bundle to pass on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from leukoscope.cli.output import Json, print_json


def export(
    source: Annotated[str, typer.Argument(metavar="RUN|BUNDLE", help="A run of train, or a bundle.")],
    *,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="BUNDLE", help="NAME.leuko, or a .zip of it.")],
    private: Annotated[
        bool, typer.Option("--private", help="Keep salted hashes of subjects and cells, not their names.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Repack a bundle to pass it on.

    As a folder or one zip, with the names of subjects or (--private) with salted hashes of them.
    """
    from leukoscope.bundle.export import export_bundle
    from leukoscope.bundle.read import open_bundle

    path = export_bundle(_bundle_of(source), out, private=private)
    opened = open_bundle(path)
    if as_json:
        hashed = opened.info.privacy.hashed
        print_json({"bundle": str(path), "bundle_id": opened.bundle_id, "private": hashed})
    else:
        print(f"{path}: bundle {opened.bundle_id}")


def _bundle_of(source: str) -> str:
    """The bundle inside a run, or the bundle itself."""
    inside = Path(source) / "model.leuko"
    return str(inside) if inside.exists() else source
