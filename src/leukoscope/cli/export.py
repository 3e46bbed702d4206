"""``leukoscope export``: a bundle to pass on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from leukoscope.cli.failures import FAILED, keeping
from leukoscope.cli.output import Json, print_json, print_table
from leukoscope.errors import UsageError


def export(
    source: Annotated[str, typer.Argument(metavar="RUN|BUNDLE", help="A run of train, or a bundle.")],
    *,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="BUNDLE", help="NAME.leuko, or a .zip of it.")],
    private: Annotated[
        bool, typer.Option("--private", help="Keep salted hashes of subjects and cells, not their names.")
    ] = False,
    int8: Annotated[
        bool, typer.Option("--int8", help="Quantise the graph to 8 bits; needs --calibration-data.")
    ] = False,
    calibration_data: Annotated[
        Path | None,
        typer.Option(
            "--calibration-data",
            metavar="SOURCE",
            help="Labelled cells to quantise on and, of others, to judge by; best the run's split.",
        ),
    ] = None,
    budget_decisions: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the decisions that int8 may change.")
    ] = 0.02,
    budget_auroc: Annotated[float, typer.Option(min=0, max=1, help="AUROC that int8 may lose.")] = 0.005,
    as_json: Json = False,
) -> int:
    """Repack a bundle to pass it on.

    As a folder or one zip, with the names of subjects or (--private) with salted hashes of them. With --int8
    the graph gets 8 bits, temperature and thresholds are fitted anew, and what that costs is measured on
    people who fitted nothing: beyond the budget nothing is written, and the exit code is 1.
    """
    if int8 != (calibration_data is not None):
        raise UsageError(
            "--int8 needs cells to quantise on and to judge by, --calibration-data is for it alone",
            hint="give both: --int8 --calibration-data SOURCE",
        )
    if calibration_data is not None:
        budgets = budget_decisions, budget_auroc
        return _int8(source, calibration_data, out, budgets, private=private, as_json=as_json)
    from leukoscope.bundle.export import export_bundle
    from leukoscope.bundle.read import open_bundle

    path = export_bundle(_bundle_of(source), out, private=private)
    opened = open_bundle(path)
    if as_json:
        hashed = opened.info.privacy.hashed
        print_json({"bundle": str(path), "bundle_id": opened.bundle_id, "private": hashed})
    else:
        print(f"{path}: bundle {opened.bundle_id}")
    return 0


def _int8(
    source: str, data: Path, out: Path, budgets: tuple[float, float], *, private: bool, as_json: bool
) -> int:
    from leukoscope.bundle.read import open_bundle
    from leukoscope.evaluation.quantisation import Budget, judged_words, rows_for_people
    from leukoscope.inference.int8 import export_int8

    budget = Budget(decisions=budgets[0], auroc=budgets[1])
    with keeping("nothing was written"):
        path, found = export_int8(_bundle_of(source), data, out, budget=budget, private=private)
    bundle_id = None if path is None else open_bundle(path).bundle_id
    if as_json:
        document = {"bundle": path and str(path), "bundle_id": bundle_id, "holds": found.holds}
        print_json(document | {"quantisation": found.model_dump(mode="json")})
    else:
        print_table(("int8 in place of 32 bits", "measured"), rows_for_people(found))
        print(judged_words(found))
        print(f"{path}: bundle {bundle_id}" if path else f"BEYOND THE BUDGET: {out} was not written")
    if path is None:
        hint = "give --calibration-data of more people, or the run's own split; or a larger budget"
        print(f"hint: {hint}", file=sys.stderr)
    return 0 if path else FAILED


def _bundle_of(source: str) -> str:
    """The bundle inside a run, or the bundle itself."""
    inside = Path(source) / "model.leuko"
    return str(inside) if inside.exists() else source
