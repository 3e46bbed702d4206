"""Is anybody on two sides of a split? Subjects, known duplicate groups, exact copies, near copies.

A side is a role (train, calibration, validation, test, unlabelled); in a split with folds each fold is a
side, because each is the test set once. The manifest is not taken at its word: a C-NMC file name says whose
cell it is, and what it says counts too; ids that differ in case are one subject; what is known about the
real subjects of C-NMC 2019 is added to what the manifest knows; and the pictures themselves are compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import polars as pl

from leukoscope.cohort.audit_report import KINDS, LeakFinding, LeakReport
from leukoscope.cohort.inspection import Inspected, inspect_pictures
from leukoscope.cohort.layouts.cnmc2019 import parse_name
from leukoscope.cohort.manifest import SPLITS, Manifest
from leukoscope.cohort.near import near_copies
from leukoscope.cohort.official import subject_groups
from leukoscope.errors import ManifestError

__all__ = ["LeakFinding", "LeakReport", "audit"]


def audit(split: Manifest, *, near: bool = True, workers: int = 0) -> LeakReport:
    """Look for everything that is on two sides of a split.

    Args:
        split: a split; its images are read unless ``near`` is false.
        near: also compare the pictures: equal pixels in different files, and near copies.
        workers: threads; 0 means one for each processor.

    Raises:
        ManifestError: when this is no split.
    """
    if not split.is_split:
        raise ManifestError(
            "expected a split, got a manifest without roles", hint='make one with "leukoscope data split"'
        )
    rows, names = _rows(split)
    findings = [
        *_shared(rows.explode("owners"), "owners", "subject", names),
        *_shared(rows.explode("groups"), "groups", "duplicate-group", names, apart="owner"),
        *_shared(rows, "sha256", "exact-copy", names),
    ]
    notes = list(_notes(split, rows))
    if near:
        pictures = inspect_pictures(split, workers)
        findings += _copies(rows, pictures, names)
        notes += _unseen(split, pictures)
    else:
        notes.append("not checked: the pictures themselves (equal pixels in different files, near copies)")
    sides = Counter(names[side] for side in rows["side"])
    return LeakReport(
        sides={name: sides[name] for name in names if sides[name]},
        num_subjects=rows["subject"].drop_nulls().n_unique(),
        findings=tuple(sorted(findings, key=lambda finding: KINDS.index(finding.kind))),
        notes=tuple(notes),
        near=near,
    )


def _rows(split: Manifest) -> tuple[pl.DataFrame, list[str]]:
    """One row a cell with its side (a place in the names given back), its owners and groups (lists)."""
    frame = split.frame
    if split.metadata.get("protocol") == "grouped-kfold":
        folds = sorted(frame["fold"].drop_nulls().unique())
        names = [*(f"fold {fold}" for fold in folds), *SPLITS]
        side = pl.when(pl.col("fold").is_null()).then("split").otherwise(pl.format("fold {}", "fold"))
    else:
        names, side = list(SPLITS), pl.col("split")
    named = [_named_owner(row) for row in frame.select("cell_id", "path").iter_rows()]
    rows = frame.select(
        pl.col("cell_id").alias("cell"),
        pl.col("subject_id").alias("subject"),
        pl.col("subject_id").str.to_uppercase().alias("owner"),
        "label",
        "duplicate_group",
        pl.when(pl.col("sha256") != "").then("sha256").alias("sha256"),
        side.replace_strict(names, range(len(names)), return_dtype=pl.Int64).alias("side"),
        pl.Series("named", named, dtype=pl.String),
    )
    known = pl.lit(None, pl.String)
    if not split.is_synthetic:
        known = pl.col("named").replace_strict(subject_groups(), default=None, return_dtype=pl.String)
    return rows.with_columns(
        pl.concat_list("owner", "named").list.unique().list.drop_nulls().alias("owners"),
        pl.concat_list("duplicate_group", known).list.unique().list.drop_nulls().alias("groups"),
    ), names


def _named_owner(names: tuple[str, str]) -> str | None:
    """Whose cell it is by the C-NMC name of its id or its file; ``None`` where there is no such name."""
    parsed = (parse_name(name.rsplit("/", 1)[-1]) for name in names)
    return next((name.subject_id for name in parsed if name is not None), None)


def _shared(
    rows: pl.DataFrame, key: str, kind: str, names: Sequence[str], *, apart: str | None = None
) -> Iterator[LeakFinding]:
    """What of the column ``key`` is on two sides; with ``apart`` only where that column differs."""
    by = [key, "side", *([apart] if apart else [])]
    grouped = rows.filter(pl.col(key).is_not_null()).group_by(by, maintain_order=True)
    groups = grouped.agg(pl.len().alias("num"), pl.first("cell", "subject"))
    both = groups.join(groups, on=key, suffix="_b", maintain_order="left_right")
    both = both.filter(pl.col("side") < pl.col("side_b")).sort("side", "side_b", maintain_order=True)
    if apart:
        both = both.filter(pl.col(apart).ne_missing(pl.col(f"{apart}_b")))
    for row in both.iter_rows(named=True):
        yield LeakFinding(
            kind,
            side_a=names[row["side"]],
            side_b=names[row["side_b"]],
            subject_a=row["subject"],
            subject_b=row["subject_b"],
            cell_a=row["cell"],
            cell_b=row["cell_b"],
            shared="pixels" if key == "pixels" else row[key],
            num_a=row["num"],
            num_b=row["num_b"],
            similarity=1.0 if kind == "exact-copy" else None,
        )


def _copies(rows: pl.DataFrame, pictures: Sequence[Inspected], names: Sequence[str]) -> Iterator[LeakFinding]:
    """Equal pixels in different files, then near copies that are not equal."""
    pixels = pl.Series("pixels", [picture.pixels for picture in pictures], dtype=pl.String)
    yield from _shared(rows.with_columns(pixels), "pixels", "exact-copy", names, apart="sha256")
    cells, subjects, sides = rows["cell"], rows["subject"], rows["side"].to_list()
    for pair in near_copies([picture.print for picture in pictures], sides):
        if pixels[pair.first] == pixels[pair.second]:
            continue
        a, b = sorted((pair.first, pair.second), key=sides.__getitem__)
        where = (names[sides[a]], names[sides[b]], subjects[a], subjects[b], cells[a], cells[b])
        yield LeakFinding("near-copy", *where, similarity=round(pair.similarity, 3))


def _notes(split: Manifest, rows: pl.DataFrame) -> Iterator[str]:
    """What the manifest itself gives a reader to think about."""
    if split.is_leaky:
        how = ", ".join(f"{key} {split.metadata.get(key, 'unknown')}" for key in ("protocol", "unit"))
        yield f"the split says of itself that it is LEAKY ({how})"
    nobodys = rows.filter(pl.col("owners").list.len() == 0).height
    if nobodys:
        yield f"not checked: the subjects of {nobodys:,} cells, because none is known"
    strange = rows.filter(pl.col("owners").list.len() > 1)
    if strange.height:
        cell, subject, named = strange.select("cell", "subject", "named").row(0)
        yield (
            f"{strange.height:,} cells are named after another subject than the one given: {cell} is "
            f"given to '{subject}', its name says '{named}'; both were checked"
        )
    labels = rows.drop_nulls(["subject", "label"]).group_by("subject").agg(pl.col("label").unique().sort())
    mixed = labels.filter(pl.col("label").list.len() > 1).sort("subject")["subject"]
    if len(mixed):
        yield f"{len(mixed):,} subjects have cells of several classes (first '{mixed[0]}'): one person each?"


def _unseen(split: Manifest, pictures: Sequence[Inspected]) -> Iterator[str]:
    """Which pictures could not be compared, and which are not what was indexed."""
    paths = split.frame["path"]
    unread = [place for place, picture in enumerate(pictures) if picture.reason]
    if unread:
        first = f"{paths[unread[0]]}: {pictures[unread[0]].reason}"
        yield f"not checked: {len(unread):,} pictures that could not be read (first {first})"
    flat = [place for place, picture in enumerate(pictures) if not picture.reason and picture.print is None]
    if flat:
        yield f"not checked: {len(flat):,} pictures without an inside to compare (first {paths[flat[0]]})"
    altered = [place for place, picture in enumerate(pictures) if picture.altered]
    if altered:
        yield f"{len(altered):,} files have changed since they were indexed (first {paths[altered[0]]})"
