"""One folder a class: ``SOURCE/<class>/.../<image>``.

The first folder below the source is the class; folders that hold everything else (such as the one at the top
of a zip) are passed through. Cells in a folder called ``unlabelled`` have no label. The subject comes from a
pattern searched in the path below the source or from a CSV; without either, nobody's cells can be kept
together, and what is made from the cohort is marked as leaky.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import polars as pl

from leukoscope.cohort.classes import KNOWN, UNLABELLED, Classes
from leukoscope.cohort.layouts.listing import Entry, Listing, Options
from leukoscope.cohort.source import ImageSource
from leukoscope.errors import LayoutError, UsageError


class Folder:
    """Reader of one folder a class."""

    def matches(self, images: ImageSource) -> bool:
        """Whether any image lies in a folder."""
        return any("/" in name for name in images.names())

    def read(self, images: ImageSource, options: Options) -> Listing:
        """List the cells; see the head of this file.

        Raises:
            LayoutError: when no image lies in a folder.
            UnknownClassError: for class names without a known meaning.
        """
        names = images.names()
        folders = class_folders(names, {*options.positive, *options.rename})
        found = {folder for folder in folders.values() if folder is not None}
        if not found:
            raise LayoutError(
                f"{images.root}: expected one folder a class, found {len(names):,} images in no folder",
                hint="put the cells into folders named after their classes",
            )
        classes = Classes(found, positive=options.positive, rename=options.rename)
        subjects = find_subjects(names, options)
        cells = [
            Entry(name, name, subjects[name], classes.label(folder) if folder else None, images.root.stem)
            for name, folder in folders.items()
        ]
        return Listing(
            layout="folder",
            root=images.root,
            cells=cells,
            classes=classes.names,
            positive_classes=classes.positive,
            metadata={"source_name": images.root.stem},
        )


def class_folders(names: Sequence[str], told: set[str]) -> dict[str, str | None]:
    """The class folder of each image; None for one in no folder or in ``unlabelled``.

    Args:
        names: POSIX paths below the source.
        told: names that the user called classes.

    >>> class_folders(["top/benign/1.png", "top/pre-B/a/2.png", "top/unlabelled/3.png"], set())
    {'top/benign/1.png': 'benign', 'top/pre-B/a/2.png': 'pre-B', 'top/unlabelled/3.png': None}
    """
    depth = _class_depth(names, told)
    return {name: _class_folder(name, depth) for name in names}


def _class_depth(names: Sequence[str], told: set[str]) -> int:
    """How many folders at the top hold everything and are no class themselves."""
    parents = [PurePosixPath(name).parts[:-1] for name in names]
    depth = 0
    while True:
        here = {parts[depth] if len(parts) > depth else "" for parts in parents}
        only = next(iter(here)) if len(here) == 1 else ""
        deeper = any(len(parts) > depth + 1 for parts in parents)
        if not only or not deeper or only in told or only.lower() in KNOWN:
            return depth
        depth += 1


def _class_folder(name: str, depth: int) -> str | None:
    parts = PurePosixPath(name).parts[:-1]
    folder = parts[depth] if len(parts) > depth else None
    return None if folder is None or folder.lower() in UNLABELLED else folder


def find_subjects(names: Sequence[str], options: Options) -> dict[str, str | None]:
    """The subject of each path, upper-cased, by the user's pattern or CSV; None where neither knows.

    Raises:
        UsageError: when both are given, or the pattern is no regular expression.
        LayoutError: when the CSV cannot be read or says two things about one file.
    """
    if options.subject_pattern is not None and options.subjects_csv is not None:
        raise UsageError(
            "expected a subject pattern or a subjects CSV, got both", hint="leave one of them out"
        )
    if options.subjects_csv is not None:
        table = _subject_table(options.subjects_csv)
        return {name: table.get(name) or table.get(PurePosixPath(name).name) for name in names}
    if options.subject_pattern is None:
        return dict.fromkeys(names)
    try:
        pattern = re.compile(options.subject_pattern)
    except re.error as error:
        message = f"--subject-pattern {options.subject_pattern}: no regular expression: {error}"
        raise UsageError(message, hint=r"for example: --subject-pattern 'patient_(\d+)'") from None
    return {name: _subject_by_pattern(pattern, name) for name in names}


def _subject_by_pattern(pattern: re.Pattern[str], name: str) -> str | None:
    found = pattern.search(name)
    if found is None:
        return None
    group: str | int = "subject" if "subject" in pattern.groupindex else min(pattern.groups, 1)
    return normal_subject(found[group])


def normal_subject(text: str | None) -> str | None:
    """A subject's id as it is kept: upper-cased, without blanks around it; None for an empty one.

    >>> normal_subject(" h3"), normal_subject("")
    ('H3', None)
    """
    return (text or "").strip().upper() or None


def _subject_table(path: Path) -> dict[str, str | None]:
    try:
        table = pl.read_csv(path, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise LayoutError(
            f"{path}: cannot be read as CSV: {str(error).splitlines()[0]}", hint="check it"
        ) from None
    key = next((name for name in ("path", "cell_id", "file") if name in table.columns), None)
    subject = next((name for name in ("subject_id", "subject") if name in table.columns), None)
    if key is None or subject is None:
        raise LayoutError(
            f"{path}: expected a column path and a column subject_id, found {', '.join(table.columns)}",
            hint="rename the columns of the CSV (for path also cell_id or file, for subject_id also subject)",
        )
    result: dict[str, str | None] = {}
    for name, value in table.select(key, subject).iter_rows():
        kept = normal_subject(value)
        if name is not None and result.setdefault(name, kept) != kept:
            raise LayoutError(
                f"{path}: '{name}' has two subjects: {result[name]} and {kept}", hint="keep one row"
            )
    return result
