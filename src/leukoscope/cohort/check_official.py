"""A copy of C-NMC 2019 held against the official index, file by file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import PurePosixPath
from typing import NamedTuple

from leukoscope.cells.decode import decode
from leukoscope.cohort.check_report import Finding, Part
from leukoscope.cohort.index import pixel_fingerprint
from leukoscope.cohort.layouts.cnmc2019 import LABELS_CSV, Place, parse_name, place, preliminary_labels
from leukoscope.cohort.official import NUM_CELLS, official_bmps, official_index
from leukoscope.cohort.source import ImageSource
from leukoscope.core.files import sha256_bytes
from leukoscope.core.parallel import ordered_map
from leukoscope.core.progress import track
from leukoscope.errors import ImageError, LayoutError


class Official(NamedTuple):
    """One row of the official index."""

    split: str
    fold: int | None
    file: str
    uid_name: str | None
    subject: str | None
    label: str | None
    sha256: str


class _Index(NamedTuple):
    by_place: dict[tuple[str, str], Official]
    by_content: dict[str, list[Official]]


class _Seen(NamedTuple):
    """One file as it was found; ``content`` is the official hash of its picture where it has one."""

    path: str
    spot: Place | None
    official: Official | None
    content: str
    reason: str
    is_original: bool


def check_official(
    images: ImageSource, names: Sequence[str], *, workers: int = 0
) -> tuple[list[Part], list[Finding]]:
    """How complete a copy of C-NMC 2019 is, and what differs from the official set.

    A file whose bytes are the official ones is not decoded. Another one is, and the official BMP is rebuilt
    from its pixels: if that has the official hash, the file is a lossless copy in another format.
    """
    looked_at = ordered_map(lambda name: _look(images, name), names, workers=workers)
    seen = list(track(looked_at, "checking files", len(names)))
    findings = [
        *(finding for one in seen for finding in _judge(one)),
        *_duplicates(seen),
        *_check_labels(images, seen),
    ]
    there = {(one.official.split, one.official.file) for one in seen if one.official and _is_intact(one)}
    parts = [
        Part(part, sum(split == part for split, _ in there), expected) for part, expected in NUM_CELLS.items()
    ]
    return parts, findings


@cache
def _index() -> _Index:
    by_place: dict[tuple[str, str], Official] = {}
    by_content: dict[str, list[Official]] = defaultdict(list)
    for row in map(Official._make, official_index().select(Official._fields).iter_rows()):
        by_place[row.split, PurePosixPath(row.file).stem.lower()] = row
        by_content[row.sha256].append(row)
    return _Index(by_place, dict(by_content))


def _is_intact(one: _Seen) -> bool:
    return one.official is not None and one.content == one.official.sha256


def _look(images: ImageSource, path: str) -> _Seen:
    spot = place(path)
    stem = PurePosixPath(path).stem.lower()
    if spot is not None and stem.isdecimal():
        stem = str(int(stem))
    official = _index().by_place.get((spot.source, stem)) if spot is not None else None
    try:
        data = images.read(path)
        content = sha256_bytes(data)
        if content in _index().by_content:
            return _Seen(path, spot, official, content, "", True)
        image = decode(data, name=path)
    except ImageError as error:
        return _Seen(path, spot, official, "", error.reason, False)
    rebuilt = (sha256_bytes(bmp) for bmp in official_bmps(image))
    content = next((sha256 for sha256 in rebuilt if sha256 in _index().by_content), pixel_fingerprint(image))
    return _Seen(path, spot, official, content, "", False)


def _judge(one: _Seen) -> Iterator[Finding]:
    """What one file alone says."""
    if one.reason:
        yield Finding("unreadable", one.path, one.reason)
        return
    truth = _index().by_content.get(one.content, [])
    if one.official is None:
        yield from _judge_stranger(one, truth)
        return
    if not _is_intact(one):
        whose = f"holds the picture of {truth[0].uid_name or truth[0].file}" if truth else "its pixels differ"
        yield Finding("altered", one.path, f"is not the official file: {whose}")
    elif not one.is_original:
        yield Finding("re-encoded", one.path, "re-encoded, pixels as official")
    if one.spot is not None and one.spot.source == "training":
        yield from _judge_folder(one.path, one.spot, one.official)


def _judge_folder(path: str, spot: Place, official: Official) -> Iterator[Finding]:
    if spot.label != official.label:
        yield Finding("label", path, f"lies among {spot.label}, officially {official.label}")
    if spot.fold is not None and spot.fold != official.fold:
        yield Finding("fold", path, f"lies in fold {spot.fold}, officially in fold {official.fold}")


def _judge_stranger(one: _Seen, truth: list[Official]) -> Iterator[Finding]:
    """A file whose name is not in the official index: what does its picture say about its name and folder?"""
    name = parse_name(PurePosixPath(one.path).name)
    labels, subjects = {row.label for row in truth}, {row.subject for row in truth}
    known = f"its picture is officially {truth[0].uid_name or truth[0].file}" if truth else ""
    if one.spot is not None and one.spot.label is not None and truth and one.spot.label not in labels:
        yield Finding("label", one.path, f"lies among {one.spot.label}; {known}")
    elif name is not None and truth and name.subject_id not in subjects:
        yield Finding("subject", one.path, f"is named after subject {name.subject_id}; {known}")
    else:
        yield Finding("extra", one.path, f"no such file in the official set{'; ' if known else ''}{known}")


def _duplicates(seen: Sequence[_Seen]) -> Iterator[Finding]:
    """Files that hold one picture. The index knows of it when all of them are the official files."""
    by_content: dict[str, list[_Seen]] = defaultdict(list)
    for one in seen:
        if one.content:
            by_content[one.content].append(one)
    for same in by_content.values():
        if len(same) < 2:
            continue
        known = len({one.official for one in same}) == len(same) and all(map(_is_intact, same))
        others = ", ".join(one.path for one in same[1:])
        kind = "known-duplicate" if known else "unknown-duplicate"
        yield Finding(kind, same[0].path, f"the same picture as {others}")


def _check_labels(images: ImageSource, seen: Sequence[_Seen]) -> Iterator[Finding]:
    """The CSV of the preliminary set against the index."""
    cells = {
        int(PurePosixPath(one.path).stem) for one in seen if one.spot and one.spot.source == "preliminary"
    }
    try:
        labels = preliminary_labels(images)
    except (LayoutError, ImageError) as error:
        yield Finding("altered", LABELS_CSV, str(error))
        return
    if labels is None:
        if cells:
            yield Finding("labels", LABELS_CSV, f"is not there: {len(cells):,} cells stay unlabelled")
        return
    for number in sorted(cells - labels.keys()):
        yield Finding("labels", f"{number}.bmp", "is not in the CSV of the labels")
    for number, row in labels.items():
        official = _index().by_place.get(("preliminary", str(number)))
        where = f"{row.table}: {number}.bmp"
        if official is None:
            yield Finding("extra", where, "no such file in the official set")
        elif row.label != official.label:
            yield Finding("label", where, f"is labelled {row.label}, officially {official.label}")
        elif row.name.subject_id != official.subject:
            yield Finding("subject", where, f"is of {row.name.subject_id}, officially of {official.subject}")
        elif f"{row.name.cell_id}.bmp" != official.uid_name:
            yield Finding("altered", where, f"is {row.name.cell_id}, officially {official.uid_name}")
