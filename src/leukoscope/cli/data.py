"""``leukoscope data``: cohorts, from files to splits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from leukoscope.cli.failures import FAILED, keeping
from leukoscope.cli.output import Json, names_in, print_json, print_table

if TYPE_CHECKING:
    from leukoscope.cohort.check_report import CheckReport
    from leukoscope.cohort.manifest import Manifest

app = typer.Typer(
    name="data", help="Cohorts: draw, index, check, split, audit, fetch.", rich_markup_mode=None
)

Source = Annotated[
    Path,
    typer.Argument(metavar="SOURCE", help="A folder in a known layout, its .zip, a manifest or a split."),
]
MOST_SHOWN = 20


@app.command()
def synth(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to draw into.")],
    *,
    subjects: Annotated[int, typer.Option(help="People with labels, half of them with leukaemia.")] = 24,
    cells_per_subject: Annotated[int, typer.Option(help="Cells of each of them.")] = 40,
    unlabelled: Annotated[int, typer.Option(help="Cells without a label, of further people.")] = 100,
    seed: Annotated[int, typer.Option(help="The same seed draws the same bytes.")] = 0,
    as_json: Json = False,
) -> None:
    """Draw a synthetic cohort in the layout of C-NMC 2019."""
    from leukoscope.cohort.synth import synthesize

    with keeping("nothing was written"):
        folder = synthesize(
            out, subjects=subjects, cells_per_subject=cells_per_subject, unlabelled=unlabelled, seed=seed
        )
    cells = subjects * cells_per_subject + unlabelled
    if as_json:
        print_json({"out": str(folder), "num_cells": cells, "num_subjects": subjects, "synthetic": True})
    else:
        print(f"{folder}: {cells:,} synthetic cells, {subjects} subjects with labels")


@app.command()
def index(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="A folder, its .zip, or a table of paths (CSV, Parquet).")
    ],
    *,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="MANIFEST.parquet", help="Manifest to write.")],
    layout: Annotated[
        Literal["auto", "cnmc2019", "folder", "table"], typer.Option(help="How the source is laid out.")
    ] = "auto",
    subject_pattern: Annotated[
        str | None,
        typer.Option(metavar="REGEX", help="Finds the subject in a path; its first group, if any."),
    ] = None,
    subjects_csv: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Table of path and subject_id, instead of a pattern.")
    ] = None,
    positive: Annotated[str, typer.Option(metavar="NAME,NAME", help="Classes that count as blast.")] = "",
    rename: Annotated[
        list[str] | None, typer.Option(metavar="OLD=NEW", help="Another name for a class; repeatable.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Read and measure every cell of a source once, into a manifest."""
    from leukoscope.cohort.index import index as make_index

    _check_parquet(out)
    with keeping("nothing was written"):
        manifest = make_index(
            source,
            layout=layout,
            subject_pattern=subject_pattern,
            positive=names_in(positive),
            rename=_renamed(rename or []),
            subjects_csv=subjects_csv,
        )
    manifest.write(out)
    document = describe(manifest)
    if as_json:
        print_json({"manifest": str(out), **document})
    else:
        _print_manifest(out, document)
    return FAILED if document["num_unreadable"] else 0


@app.command()
def check(source: Source, as_json: Json = False) -> int:
    """Is a copy of the data what it should be? Exit code 1 if not."""
    from leukoscope.cohort.check import check as check_source

    with keeping("nothing was to be written"):
        report = check_source(source)
    if as_json:
        print_json(report.to_json())
    else:
        print_check(report)
    return 0 if report.holds else FAILED


@app.command()
def split(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="A manifest, or any other SOURCE.")],
    *,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="SPLIT.parquet", help="Split to write.")],
    protocol: Annotated[
        Literal["official", "grouped-kfold", "grouped-holdout", "sample-1000", "merged-holdout"],
        typer.Option(help="How the cells are shared out."),
    ],
    unit: Annotated[
        Literal["subject", "image"],
        typer.Option(help="What stays together; 'image' is stamped LEAKY on everything made from it."),
    ] = "subject",
    folds: Annotated[int, typer.Option(help="Number of folds of grouped-kfold.")] = 5,
    seed: Annotated[int, typer.Option(help="The same seed gives the same split.")] = 0,
    as_json: Json = False,
) -> None:
    """Say who trains, stops, calibrates and is tested, by subject and duplicate group."""
    from leukoscope.cohort.open import open_cohort
    from leukoscope.cohort.splits import split as make_split

    _check_parquet(out)
    with keeping("nothing was written"):
        made = make_split(open_cohort(manifest), protocol=protocol, unit=unit, folds=folds, seed=seed)
    made.write(out)
    if as_json:
        print_json({"split": str(out), **describe(made)})
    else:
        print_split(out, made)


@app.command()
def audit(
    path: Annotated[Path, typer.Argument(metavar="SPLIT.parquet", help="The split to look through.")],
    as_json: Json = False,
) -> int:
    """Who is on both sides of a split? Exit code 1 if anybody."""
    from leukoscope.cohort.audit import audit as audit_split
    from leukoscope.cohort.manifest import Manifest

    with keeping("nothing was to be written"):
        report = audit_split(Manifest.read(path))
    if as_json:
        print_json(report.to_json())
    else:
        print("\n".join(report.sentences(limit=MOST_SHOWN)))
    return 0 if report.holds else FAILED


@app.command()
def fetch(
    name: Annotated[Literal["cnmc2019"], typer.Argument(metavar="NAME", help="cnmc2019")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new or empty folder; 10 GB.")],
    as_json: Json = False,
) -> None:
    """Download C-NMC 2019 with an account at Kaggle (KAGGLE_API_TOKEN)."""
    from leukoscope.cohort.fetch import fetch_cnmc2019

    with keeping(f"what was downloaded so far is in {out}"):
        folder = fetch_cnmc2019(out)
    if as_json:
        print_json({"out": str(folder)})
    else:
        print(f"{folder}: downloaded; next: leukoscope data check {folder}")


def _check_parquet(out: Path) -> None:
    from leukoscope.errors import UsageError

    if out.suffix != ".parquet":
        raise UsageError(f"{out}: expected a name ending in .parquet", hint=f"for example {out.stem}.parquet")


def _renamed(settings: list[str]) -> dict[str, str]:
    from leukoscope.errors import UsageError

    pairs = [setting.partition("=") for setting in settings]
    wrong = next((old for old, sign, new in pairs if not (old and sign and new)), None)
    if wrong is not None:
        raise UsageError(f"--rename {wrong}: expected OLD=NEW", hint="for example --rename Early=early-pre-B")
    return {old: new for old, _, new in pairs}


def describe(manifest: Manifest) -> dict[str, Any]:
    """What a manifest or split holds, in numbers."""
    import polars as pl

    from leukoscope.cohort.manifest import UNREADABLE

    frame = manifest.frame
    document: dict[str, Any] = {
        "num_cells": frame.height,
        "num_subjects": frame["subject_id"].drop_nulls().n_unique(),
        "num_unlabelled": frame["label"].null_count(),
        "num_unreadable": int(frame["quality"].str.starts_with(UNREADABLE).sum()),
        "classes": {name: _count(frame.filter(pl.col("label") == name)) for name in manifest.classes},
        "positive_classes": list(manifest.positive_classes),
        "layout": manifest.metadata.get("layout", ""),
        "synthetic": manifest.is_synthetic,
        "leaky": manifest.is_leaky,
    }
    if manifest.is_split:
        keys = ("protocol", "unit", "seed", "folds", "left_out")
        document |= {key: manifest.metadata[key] for key in keys if key in manifest.metadata}
        document["parts"] = _parts(manifest)
    return document


def _count(frame: Any) -> dict[str, int]:
    return {"num_cells": frame.height, "num_subjects": frame["subject_id"].drop_nulls().n_unique()}


def _parts(split: Manifest) -> dict[str, dict[str, dict[str, int]]]:
    """Part -> class -> counts; the parts of a split in folds are its folds."""
    import polars as pl

    from leukoscope.cohort.manifest import SPLITS

    key = "fold" if "folds" in split.metadata else "split"
    there = split.frame[key].drop_nulls().unique().sort().to_list()
    names = there if key == "fold" else [name for name in SPLITS if name in there]
    return {
        str(name): {
            label: _count(split.frame.filter((pl.col(key) == name) & (pl.col("label") == label)))
            for label in split.classes
        }
        for name in names
    }


def _print_manifest(out: Path, document: dict[str, Any]) -> None:
    stamp = stamps(document)
    print(f"{out}: {document['num_cells']:,} cells of {document['num_subjects']} subjects{stamp}")
    rows = [(name, row["num_cells"], row["num_subjects"]) for name, row in document["classes"].items()]
    print_table(("class", "cells", "subjects"), [*rows, ("unlabelled", document["num_unlabelled"], None)])
    if document["num_unreadable"]:
        print(f"{document['num_unreadable']:,} files cannot be read; the column quality says why")


def stamps(document: dict[str, Any]) -> str:
    """What must be said of these cells first, such as ``" [SYNTHETIC]"``.

    >>> stamps({"synthetic": True, "leaky": False})
    ' [SYNTHETIC]'
    """
    said = [name.upper() for name in ("leaky", "synthetic") if document.get(name)]
    return f" [{', '.join(said)}]" if said else ""


def print_split(out: Path, made: Manifest) -> None:
    """Print who is in which part."""
    document = describe(made)
    print(f"{out}: {document['protocol']} by {document['unit']}, seed {document['seed']}{stamps(document)}")
    rows = [
        (part, label, row["num_cells"], row["num_subjects"])
        for part, classes in document["parts"].items()
        for label, row in classes.items()
        if row["num_cells"]
    ]
    key = "fold" if "folds" in document else "part"
    print_table(
        (key, "class", "cells", "subjects"), [*rows, ("unlabelled", "", document["num_unlabelled"], None)]
    )


def print_check(report: CheckReport) -> None:
    """Print what a check found: how complete, problems, notes, the verdict."""
    name = report.data_set or "no official index for this source"
    print(f"{report.source}: {report.num_files:,} files; {name}")
    if report.parts:
        print_table(
            ("part", "found", "of"), [(part.name, part.num_found, part.num_expected) for part in report.parts]
        )
    _print_findings(report)
    verdict = "nothing contradicts it" if report.holds else "does not hold: see the problems above"
    complete = "complete; " if report.is_complete else "a partial copy; " if report.parts else ""
    print(f"{complete}{verdict}")


def _print_findings(report: CheckReport) -> None:
    from leukoscope.cohort.check_report import NOTES, PROBLEMS

    meanings = PROBLEMS | NOTES
    if report.counts:
        rows = [
            ("problem" if kind in PROBLEMS else "note", kind, number, meanings[kind])
            for kind, number in report.counts.items()
        ]
        print_table(("", "kind", "files", "meaning"), rows)
    problems = [one for one in report.findings if one.is_problem]
    if problems:
        shown = problems[:MOST_SHOWN]
        print_table(("problem", "file", "detail"), [(one.kind, one.path, one.detail) for one in shown])
    if len(problems) > MOST_SHOWN:
        print(f"and {len(problems) - MOST_SHOWN:,} more; --json lists all")
