"""``leukoscope study``: several recipes, one table."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from leukoscope.cli.failures import FAILED, INTERRUPTED, keeping
from leukoscope.cli.output import Json, print_json, print_table, reading

if TYPE_CHECKING:
    from leukoscope.studies.study import Study
    from leukoscope.studies.study_rows import Row


def study(
    suite: Annotated[
        str, typer.Argument(metavar="SUITE", help="A suite's name (seeds, quick), or a YAML file.")
    ],
    *,
    data: Annotated[Path, typer.Option(metavar="SOURCE", help="A folder, its .zip or a manifest.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the study; the same one goes on.")],
    only: Annotated[
        list[str] | None, typer.Option(metavar="RECIPE", help="This recipe of the suite; repeatable.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change every recipe; repeatable."),
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Runs of each kind, with seeds 0, 1, ...")] = None,
    hours: Annotated[
        float | None, typer.Option(min=0, help="Skip runs that would take longer; 0 for no limit.")
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="RECIPE.safetensors or NETWORK.safetensors files to start from."),
    ] = None,
    download: Annotated[
        bool, typer.Option("--download", help="Let timm fetch weights from the model hub.")
    ] = False,
    device: Annotated[Literal["auto", "cpu", "cuda", "mps"], typer.Option(help="Where to train.")] = "auto",
    tracker: Annotated[
        Literal["none", "mlflow"], typer.Option(help="Keep the runs in MLflow, too (extra mlflow).")
    ] = "none",
    as_json: Json = False,
) -> int:
    """Train every recipe of a suite, by image and by subject, into one table.

    DIR holds study.html, study.csv and a folder for each run. A second call with the same DIR goes on and
    repeats no finished run.
    """
    from leukoscope.errors import MissingExtraError
    from leukoscope.studies.study import study as compare

    if find_spec("torch") is None:  # the runs need it, in processes of their own
        raise MissingExtraError("training", "train")
    with keeping(f"finished runs are in {out}; the same command goes on"):
        found = compare(
            suite,
            data,
            out,
            only=only or (),
            settings=settings or (),
            seeds=seeds,
            hours=hours,
            weights=weights,
            download=download,
            device=device,
            tracker=tracker,
        )
    if as_json:
        print_json(_document(found))
    else:
        _print(found)
    if found.interrupted:
        typer.echo(f"interrupted: finished runs are in {out}; the same command goes on", err=True)
        return INTERRUPTED
    return FAILED if found.failed else 0


def _document(found: Study) -> dict[str, Any]:
    return {
        "study": str(found.path),
        "page": str(found.page),
        "table": str(found.table),
        "interrupted": found.interrupted,
        "failed": [{"run": run, "reason": reason} for run, reason in found.failed],
        "rows": [row.model_dump(mode="json") for row in found.rows],
    }


def _print(found: Study) -> None:
    head = ("recipe", "weights", "AUROC by image (LEAKY)", "AUROC by subject", "leak")
    print_table(head, [line for row in found.rows for line in _lines(row)])
    for run, reason in found.failed:
        print(f"{run}: {reason}")
    print(f"table: {found.table}")
    print(f"page: {found.page}")


def _lines(row: Row) -> list[tuple[object, ...]]:
    lines: list[tuple[object, ...]] = []
    for weights, both in row.readings.items():
        texts = [
            (reading(one.metrics["auroc"]) if one.status == "done" else f"{one.status}: {one.reason}")
            if (one := both.get(name))
            else ""
            for name in ("image", "subject")
        ]
        leak = row.leak.get(weights, {}).get("auroc")
        lines.append((row.recipe, weights, *texts, leak.difference if leak else None))
    return lines
