"""``leukoscope train``: from cells to a bundle."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from leukoscope.cli.failures import INTERRUPTED, keeping, needing_training
from leukoscope.cli.output import Json, print_json, print_table, reading

if TYPE_CHECKING:
    from leukoscope.studies.run import Run

HEADLINE = ("weighted_f1", "auroc", "sensitivity", "specificity", "ece")


def train(
    *,
    recipe: Annotated[str, typer.Option(metavar="NAME", help="A recipe's name, or a YAML file.")],
    data: Annotated[Path, typer.Option(metavar="SOURCE", help="A folder, its .zip, a manifest or a split.")],
    out: Annotated[Path, typer.Option(metavar="RUN", help="Folder of the run.")],
    fold: Annotated[
        str | None,
        typer.Option(metavar="K|all", help="One fold of grouped-kfold, or all and one model to ship."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe; repeatable."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in RUN.")] = False,
    device: Annotated[Literal["auto", "cpu", "cuda", "mps"], typer.Option(help="Where to train.")] = "auto",
    devices: Annotated[int, typer.Option(min=1, help="Processes on this machine.")] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="Machines.")] = 1,
    preview: Annotated[
        int | None,
        typer.Option(min=1, max=100, metavar="N", help="Only draw N augmented cells, RUN/preview.png."),
    ] = None,
    as_json: Json = False,
) -> int:
    """Train a recipe into a bundle.

    RUN holds config.yaml, metrics.jsonl, curves.svg, checkpoints, model.leuko, and predictions.parquet of the
    cells that it did not train on. Several devices share every batch out. On several machines give the same
    command with MASTER_ADDR, MASTER_PORT and NODE_RANK; the first writes RUN.
    """
    chosen = _fold(fold)
    if preview is not None:
        return _preview(recipe, data, out, preview, fold=chosen, settings=settings or [], as_json=as_json)
    with needing_training():
        from leukoscope.studies.run import take_part
        from leukoscope.studies.run import train as train_recipe
        from leukoscope.training.job import hardware_here
    hardware = hardware_here(device, devices, nodes, os.environ)
    if hardware.node and chosen != "all":
        with keeping("the first machine keeps the run"):
            stopped = take_part(
                recipe, data, out, fold=chosen, settings=settings or [], resume=resume, hardware=hardware
            )
        return _part_done(hardware.node, stopped=stopped, as_json=as_json)
    with keeping(f"finished epochs are in {out}; --resume goes on"):
        run = train_recipe(
            recipe,
            data,
            out,
            fold=chosen,
            settings=settings or [],
            resume=resume,
            hardware=hardware,
        )
    if as_json:
        print_json(_document(run))
    else:
        _print_run(run)
    if run.interrupted:
        typer.echo(f"interrupted: the best epoch so far is in {run.bundle}; --resume goes on", err=True)
        return INTERRUPTED
    return 0


def _part_done(node: int, *, stopped: bool, as_json: bool) -> int:
    if as_json:
        print_json({"machine": node, "interrupted": stopped})
    typer.echo("interrupted with the others" if stopped else "done; the first machine has the run", err=True)
    return INTERRUPTED if stopped else 0


def _fold(text: str | None) -> int | Literal["all"] | None:
    from leukoscope.errors import UsageError

    if text is None or text == "all":
        return "all" if text else None
    if not text.isdecimal():
        raise UsageError(f"--fold {text}: expected a number from 0, or all", hint="for example --fold 0")
    return int(text)


def _preview(
    recipe: str,
    data: Path,
    out: Path,
    num: int,
    *,
    fold: int | Literal["all"] | None,
    settings: list[str],
    as_json: bool,
) -> int:
    with needing_training():
        from leukoscope.cohort.splits import fold_roles
        from leukoscope.recipes import load_recipe
        from leukoscope.studies.prepare import open_split
        from leukoscope.studies.preview import write_preview
    chosen = load_recipe(recipe, settings)
    split = open_split(data, folds=fold is not None, num_folds=5, seed=chosen.training.seed)
    path = write_preview(chosen, fold_roles(split, fold) if isinstance(fold, int) else split, out, num)
    if as_json:
        print_json({"preview": str(path)})
    else:
        print(path)
    return 0


def _document(run: Run) -> dict[str, Any]:
    return {
        "run": str(run.path),
        "bundle": str(run.bundle),
        "predictions": str(run.predictions),
        "best_epoch": run.best_epoch,
        "interrupted": run.interrupted,
        "metrics": {name: metric.model_dump(mode="json") for name, metric in run.metrics.items()},
    }


def _print_run(run: Run) -> None:
    print(f"{run.bundle}: epoch {run.best_epoch}")
    rows = [(name, reading(run.metrics[name])) for name in HEADLINE if name in run.metrics]
    if rows:
        print_table(("metric", "on subjects it has not seen"), rows)
    print(f"next: leukoscope evaluate {run.predictions} --bundle {run.bundle} -o {run.path / 'report'}")
