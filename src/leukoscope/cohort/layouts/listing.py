"""What a layout reader gives back: the cells of a source before any pixel of them was looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from leukoscope.cohort.source import ImageSource


class Entry(NamedTuple):
    """One cell: what its name, its folder and the tables beside it say. None is "not known"."""

    cell_id: str
    path: str
    subject_id: str | None
    label: str | None
    source: str
    fold: int | None = None
    photograph_id: str | None = None
    duplicate_group: str | None = None


@dataclass(frozen=True)
class Options:
    """What a user may say about a source.

    Args:
        subject_pattern: regular expression searched in the path below the source; its group ``subject``, else
            its first group, else all that it matched is the subject.
        positive: class names that count as blast.
        rename: new class names by old.
        subjects_csv: table of ``path`` (or ``cell_id``, or ``file``) and ``subject_id``.
    """

    subject_pattern: str | None = None
    positive: Sequence[str] = ()
    rename: Mapping[str, str] = field(default_factory=dict)
    subjects_csv: Path | None = None


@dataclass(frozen=True)
class Listing:
    """The cells of a source, in natural order of their paths.

    Args:
        layout: name of the layout that was read.
        root: what the paths are relative to.
        cells: one entry a cell.
        classes: class names, negative ones first.
        positive_classes: those that count as blast.
        metadata: more for the manifest (``source_name``, ``licence``, ``citation``, ``synthetic``).
        notes: what a reader of the result should know; shown as warnings.
        duplicate_groups: groups of subjects known beforehand, by subject.
    """

    layout: str
    root: Path
    cells: list[Entry]
    classes: tuple[str, ...] = ("normal", "blast")
    positive_classes: tuple[str, ...] = ("blast",)
    metadata: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    duplicate_groups: Mapping[str, str] = field(default_factory=dict)


class Layout(Protocol):
    """A way in which cell images are laid out."""

    def matches(self, images: ImageSource) -> bool:
        """Whether the source looks like this layout."""

    def read(self, images: ImageSource, options: Options) -> Listing:
        """List the cells.

        Raises:
            LayoutError: when the source is not in this layout after all.
        """
