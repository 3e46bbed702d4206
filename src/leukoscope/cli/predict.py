"""``leukoscope predict``: images in, one row each out."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from leukoscope.cli.bundle import BundleName
from leukoscope.cli.cells import FlatField, Normalise, PixelSize
from leukoscope.cli.explain import print_explained
from leukoscope.cli.failures import FAILED, keeping
from leukoscope.cli.output import Json, print_json, print_table
from leukoscope.errors import UsageError

if TYPE_CHECKING:
    from leukoscope.cohort.smears import SmearSettings
    from leukoscope.explain.explain import Explained
    from leukoscope.inference.predict import Predicted


def predict(
    bundle: BundleName,
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT",
            help="Images, folders, patterns, zips, manifests, splits, Parquet of images, addresses "
            "(s3://...); - for paths from standard input.",
        ),
    ],
    *,
    out: Annotated[
        str | None,
        typer.Option(
            "-o", "--out", metavar="OUT", help="OUT.csv, .parquet or .jsonl; without: on the screen."
        ),
    ] = None,
    by_subject: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also one row a subject: .csv, .parquet or .jsonl.")
    ] = None,
    subject: Annotated[str | None, typer.Option(metavar="ID", help="Whose cells they all are.")] = None,
    backend: Annotated[
        Literal["auto", "onnxruntime", "openvino", "torch"],
        typer.Option(help="What runs the model; auto: from 500 inputs on, the fastest that is installed."),
    ] = "auto",
    threads: Annotated[
        int,
        typer.Option(metavar="N", help="Threads of the model; without: one a processor.", show_default=False),
    ] = 0,
    batch_size: Annotated[
        int,
        typer.Option(
            metavar="N", help="Cells that the model sees at once; without: what suits.", show_default=False
        ),
    ] = 0,
    workers: Annotated[
        int,
        typer.Option(
            metavar="N", help="Threads that read and decode; without: one a processor.", show_default=False
        ),
    ] = 0,
    submission: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.zip",
            help="Also C-NMC's submission for 1.bmp, 2.bmp, ...: 1 from probability 0.5 on.",
        ),
    ] = None,
    gallery: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="Also a page of the 20 most and 20 least suspicious cells."),
    ] = None,
    smear: Annotated[
        bool, typer.Option("--smear", help="INPUTs are photographs of smears: judge the white cells in them.")
    ] = False,
    pixel_size: PixelSize = None,
    flat_field: FlatField = False,
    normalise: Normalise = "none",
    explain: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Also maps of what each answer rests on, as explain makes them."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with OUT where an interrupted run left off.")
    ] = False,
    engine: Annotated[
        Literal["local", "ray"],
        typer.Option(help="ray: on all machines of a cluster; OUT.parquet is a folder then."),
    ] = "local",
    actors: Annotated[int, typer.Option(help="Workers of --engine ray; 0: one for each processor.")] = 0,
    as_json: Json = False,
) -> int:
    """Judge images with a bundle, one row each.

    Exit code 1 if some cannot be read: their rows say why.
    """
    from leukoscope.inference.predict import predict as predict_cells

    _check(explain, resume, out, inputs)
    photographs = _smear(
        smear, explain, inputs, pixel_size=pixel_size, flat_field=flat_field, normalise=normalise
    )
    with keeping(_kept(out, engine)):
        done = predict_cells(
            bundle,
            _lines() if inputs == ["-"] else inputs,
            out=out,
            by_subject=by_subject,
            submission=submission,
            gallery=gallery,
            subject_id=subject,
            backend=backend,
            batch_size=batch_size,
            workers=workers,
            threads=threads,
            resume=resume,
            engine=engine,
            actors=actors,
            smear=photographs,
        )
    explained = None if explain is None else _explain(bundle, inputs, explain, backend, subject)
    if as_json:
        print_json(_document(done, out, submission, gallery, explained))
    elif done.table is not None:
        _print_rows(done)
    else:
        print(f"{out}: {done.num_cells:,} rows")
    if submission is not None and not as_json:
        typer.echo(f"{submission}: {done.num_cells:,} lines of isbi_valid.predict", err=True)
    if gallery is not None and not as_json:
        typer.echo(f"{gallery}: the most and the least suspicious cells", err=True)
    if explained is not None and not as_json:
        print_explained(explained, err=True)
    if photographs is not None and not as_json:
        _tell_of_photographs(done)
    if done.num_unreadable:
        text = f"{done.num_unreadable:,} of {done.num_cells:,} images could not be read: see the column error"
        typer.echo(text, err=True)
    return FAILED if done.num_unreadable else 0


def _check(explain: Path | None, resume: bool, out: str | None, inputs: list[str]) -> None:
    """Refuse what cannot be done before any cell is judged."""
    if resume and out is None:
        raise UsageError("--resume goes on with a file", hint="name it: -o OUT")
    if "-" in inputs and (len(inputs) > 1 or explain is not None):
        raise UsageError(
            "standard input can be read once, by itself", hint="name no other input, and no --explain"
        )
    if explain is not None:
        from leukoscope.explain.explain import check_folder

        check_folder(explain)


def _smear(
    smear: bool,
    explain: Path | None,
    inputs: list[str],
    *,
    pixel_size: float | None,
    flat_field: bool,
    normalise: str,
) -> SmearSettings | None:
    """How photographs are read; None where the inputs are cells."""
    from leukoscope.cohort.smears import SmearSettings

    given = {"--pixel-size": pixel_size, "--flat-field": flat_field, "--normalise": normalise != "none"}
    if not smear and (named := [name for name, value in given.items() if value]):
        raise UsageError(f"{named[0]} is of photographs", hint="add --smear, or leave it out")
    if smear and (explain is not None or "-" in inputs):
        raise UsageError(
            "--smear takes files and folders, and no --explain",
            hint="cells extract writes the cells; then explain them",
        )
    settings = SmearSettings(pixel_size=pixel_size, flat_field=flat_field, normalise=normalise)
    return settings if smear else None


def _tell_of_photographs(done: Predicted) -> None:
    """How many cells each kind has, and what the scale means for the answers."""
    from leukoscope.cli.cells import print_photographs

    print_photographs(done.photographs, err=True)
    if moves := done.scale_moves:
        typer.echo(
            f"a scale 10 % off, either way, moves the blast probability of {moves.num_cells:,} "
            f"judged cell{'' if moves.num_cells == 1 else 's'} by {moves.median_change:.3f} in the median, "
            f"of a tenth of them by {moves.tenth_change:.3f} or more, and calls "
            f"{moves.num_decisions_changed:,} of them something else",
            err=True,
        )


def _lines() -> Iterator[str]:
    """Paths from standard input, one a line, as they come."""
    for line in sys.stdin:
        if path := line.rstrip("\r\n"):
            yield path


def _explain(bundle: str, inputs: list[str], out: Path, backend: str, subject: str | None) -> Explained:
    from leukoscope.explain.explain import explain

    with keeping(f"the predictions are there, and the pictures that were ready are in {out}"):
        return explain(bundle, inputs, out, backend=backend, subject_id=subject)


def _kept(out: str | None, engine: str) -> str:
    if out is None:
        return "nothing was written"
    if engine == "ray":
        return f"the shards that were ready are in {out}; --resume goes on"
    return f"the rows that were ready are in {out}.partial; --resume goes on"


def _document(
    done: Predicted,
    out: str | None,
    submission: Path | None,
    gallery: Path | None,
    explained: Explained | None,
) -> dict[str, object]:
    document: dict[str, object] = {"num_cells": done.num_cells, "num_unreadable": done.num_unreadable}
    if out is not None:
        document["out"] = str(out)
    if submission is not None:
        document["submission"] = str(submission)
    if gallery is not None:
        document["gallery"] = str(gallery)
    if done.photographs:
        document["photographs"] = [photograph.to_json() for photograph in done.photographs]
        document["scale_moves"] = done.scale_moves and done.scale_moves._asdict()
    if explained is not None:
        document["explain"] = explained.to_json()
    if done.table is not None:
        document |= {"metadata": done.table.metadata, "rows": done.table.frame.fill_nan(None).to_dicts()}
    if done.subjects is not None:
        document["subjects"] = done.subjects.fill_nan(None).to_dicts()
    return document


def _print_rows(done: Predicted) -> None:
    from leukoscope.core.provenance import RESEARCH_USE_ONLY
    from leukoscope.evaluation.table import stamps

    assert done.table is not None
    columns = ["cell_id", "decision", "blast_probability", "ruler_probability", "reason", "quality", "error"]
    frame = done.table.frame.select(columns)
    empty = [name for name in columns[4:] if not (frame[name].fill_null("") != "").any()]
    print_table([name for name in columns if name not in empty], frame.drop(empty).rows())
    stamp = stamps(done.table.metadata)
    typer.echo(f"{f'[{stamp}] ' if stamp else ''}{RESEARCH_USE_ONLY}", err=True)
