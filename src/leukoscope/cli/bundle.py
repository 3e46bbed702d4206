"""``leukoscope bundle``: look at a model file."""

from __future__ import annotations

from typing import Annotated

import typer

from leukoscope.cli.failures import FAILED
from leukoscope.cli.output import Json, print_json, print_table

app = typer.Typer(name="bundle", help="Model files: show, verify.", rich_markup_mode=None)

BundleName = Annotated[
    str, typer.Argument(metavar="BUNDLE", help="A .leuko folder, a zip of one, or the word starter.")
]


@app.command()
def show(bundle: BundleName, as_json: Json = False) -> None:
    """Print the model card; with --json all of bundle.json."""
    from leukoscope.bundle.read import open_bundle

    opened = open_bundle(bundle)
    if as_json:
        print_json({"bundle_id": opened.bundle_id, **opened.info.model_dump(mode="json")})
    else:
        print(f"bundle {opened.bundle_id}, {opened.path}\n\n{opened.card}", end="")


@app.command()
def verify(bundle: BundleName, as_json: Json = False) -> int:
    """Check every file of a bundle against its hash. Exit code 1 if one is altered, missing or unlisted."""
    from leukoscope.bundle.read import verify_bundle

    report = verify_bundle(bundle)
    if as_json:
        files = {file.name: file.state for file in report.files}
        print_json({"bundle_id": report.bundle_id, "holds": report.holds, "files": files})
    else:
        print_table(("file", "state"), report.files)
        print(
            f"bundle {report.bundle_id}: {'as it was written' if report.holds else 'NOT as it was written'}"
        )
    return 0 if report.holds else FAILED
