"""Reviewed cells as a cohort to train on: a manifest with who decided what, and the images, in one zip."""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from leukoscope.cohort.groups import duplicate_groups
from leukoscope.cohort.manifest import COLUMNS, Manifest
from leukoscope.cohort.smears import ORIGIN_COLUMNS
from leukoscope.core.files import sha256_bytes
from leukoscope.errors import ImageError, UsageError
from leukoscope.review.audit import record
from leukoscope.review.auth.rights import Actor, visible
from leukoscope.review.services.reviewed import approved_in_bulk
from leukoscope.review.settings import room_settings
from leukoscope.review.store.images import ImageStore
from leukoscope.review.store.tables import DECISIONS, Case, Cell, Cut, Image, Photograph, User

SCOPES = {"signed": "cells of signed cases", "reviewed": "all reviewed cells, signed or not"}
LABELS = ("normal", "blast")
NOT_INDEPENDENT = (
    "The labels come from reviewers who saw the model's own word, so they are not independent of it: errors "
    "that the model suggested can be in them. Judge a model trained on them on cells labelled without it."
)
MANIFEST, README = "manifest.parquet", "README.txt"
WHO: dict[str, Any] = {
    "decided_by": pl.String,
    "decided_at": pl.Datetime("us", "UTC"),
    "decided_in_bulk": pl.Boolean,
    "model_decision": pl.String,
    "blast_probability": pl.Float64,
    "case_id": pl.Int64,
    "bundle_id": pl.String,
    "file_name": pl.String,
    **ORIGIN_COLUMNS,
    "micrometres_per_pixel": pl.Float64,
}
"""Columns beside those of every manifest; the last ones are of cells that were cut out of a photograph."""

_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


class Counts(NamedTuple):
    """What there is to learn from.

    Attributes:
        num_cases: with a reviewed cell.
        num_subjects: whose cells these are.
        num_cells: reviewed ones.
        num_in_bulk: of these approved with a whole tab.
        decisions: how many cells are called what.
    """

    num_cases: int
    num_subjects: int
    num_cells: int
    num_in_bulk: int
    decisions: dict[str, int]


class Export(NamedTuple):
    """A cohort, ready to be sent.

    Attributes:
        manifest: the Parquet file.
        sha256s: of the images in it.
        num_cells: rows of the manifest.
        left_out: why, and how many cells.
    """

    manifest: bytes
    sha256s: Sequence[str]
    num_cells: int
    left_out: dict[str, int]


def count_reviewed(session: Session, actor: Actor, scope: str) -> Counts:
    """How many cells this person could export.

    Raises:
        ForbiddenError: for who may not review.
        UsageError: for an unknown scope.
    """
    numbers = (func.count(Cell.case_id.distinct()), func.count(Case.subject_id.distinct()), func.count())
    cases, subjects, cells = session.execute(_reviewed(select(*numbers), actor, scope)).one()
    in_bulk = _reviewed(select(func.count()), actor, scope).where(Cell.cell_id.in_(approved_in_bulk()))
    by_word = _reviewed(select(Cell.decision, func.count()), actor, scope).group_by(Cell.decision)
    decisions = dict.fromkeys(DECISIONS, 0) | dict(session.execute(by_word).all())
    return Counts(cases, subjects, cells, session.scalar(in_bulk) or 0, decisions)


def make_export(session: Session, actor: Actor, scope: str, images: ImageStore) -> Export:
    """The manifest of what was reviewed, and which images go with it; the trail says who took what.

    A picture that several cells of one subject show is in it once, with the newest word. One that was called
    blast here and normal there is left out. Subjects who share a picture are in one duplicate group.

    Args:
        session: a writing one.
        actor: whose cases are looked at.
        scope: a key of :data:`SCOPES`.
        images: that the manifest names.

    Raises:
        ForbiddenError: for who may not review.
        UsageError: for an unknown scope, or when no cell is left.
        ImageError: when an image is no longer there.
    """
    left_out = Counter[str]()
    rows = _chosen(_labelled(session, actor, scope, left_out), left_out)
    if not rows:
        why = "".join(f"; {num:,} {reason}" for reason, num in left_out.items())
        raise UsageError(f"there is no cell to train on{why}", hint="review cells, then come back")
    sha256s = list(dict.fromkeys(row["sha256"] for row in rows))
    for sha256 in sha256s:
        if not images.path(sha256).is_file():
            raise ImageError(f"{sha256}.png", "is no longer among the stored images")
    manifest = _written(rows, scope, room_settings(session).laboratory, left_out)
    record(
        session,
        actor.username,
        "cells exported",
        scope=scope,
        num_cells=len(rows),
        case_ids=sorted({row["case_id"] for row in rows}),
        manifest_sha256=sha256_bytes(manifest),
    )
    return Export(manifest, sha256s, len(rows), dict(left_out))


def stream(export: Export, images: ImageStore) -> Iterator[bytes]:
    """The zip, piece by piece: one image in memory at a time.

    Raises:
        ImageError: when an image is not what it was; the zip then has no end, and cannot be opened.
    """
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_entry(README), _readme(export))
        archive.writestr(_entry(MANIFEST), export.manifest)
        for sha256 in export.sha256s:
            data = images.path(sha256).read_bytes()
            if sha256_bytes(data) != sha256:
                raise ImageError(f"{sha256}.png", "is not the image that was received: its hash differs")
            archive.writestr(_entry(_place(sha256)), data)
            yield sink.taken()
    yield sink.taken()


class _Sink(io.RawIOBase):
    """Where a zip is written to, and taken from."""

    def __init__(self) -> None:
        self._pieces = list[bytes]()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        """What was written since the last time."""
        data = b"".join(self._pieces)
        self._pieces.clear()
        return data


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _ZIP_EPOCH)
    entry.external_attr = 0o644 << 16
    return entry


def _place(sha256: str) -> str:
    return f"images/{sha256[:2]}/{sha256}.png"


def _reviewed(query: Any, actor: Actor, scope: str) -> Any:
    actor.need("review")
    if scope not in SCOPES:
        raise UsageError(f"expected a scope of {', '.join(SCOPES)}. Received: {scope}")
    query = query.select_from(Cell).join(Case, Case.case_id == Cell.case_id)
    query = query.where(visible(actor), Cell.reviewed_at.is_not(None))
    return query.where(Case.state == "signed") if scope == "signed" else query


def _labelled(session: Session, actor: Actor, scope: str, left_out: Counter[str]) -> Iterator[dict[str, Any]]:
    """A row for every cell called blast or normal, the newest decision first; others are counted."""
    columns = (
        *(
            Cell.cell_id,
            Cell.row,
            Cell.photograph,
            Cell.decision,
            Cell.model_decision,
            Cell.blast_probability,
        ),
        *(
            Cell.reviewed_at,
            Cell.cell_id.in_(approved_in_bulk()).label("in_bulk"),
            Image,
            User.username,
            Case,
            Photograph.settings.label("read_with"),
        ),
    )
    query = _reviewed(select(*columns), actor, scope)
    query = query.join(Image, Image.image_id == Cell.image_id).join(User, User.user_id == Cell.reviewed_by)
    query = query.outerjoin(Cut, Cut.image_id == Cell.image_id)
    query = query.outerjoin(Photograph, Photograph.photograph_id == Cut.photograph_id)
    newest = query.order_by(Cell.reviewed_at.desc(), Cell.cell_id.desc()).execution_options(yield_per=1000)
    for found in session.execute(newest):
        if found.decision in LABELS:
            yield _row(found)
        else:
            left_out[f"called {found.decision}"] += 1


def _row(found: Any) -> dict[str, Any]:
    image, case, measured = found.Image, found.Case, found.row
    sizes = {
        name: measured.get(name) for name in ("cell_width", "cell_height", "cell_area", "brightness", "stain")
    }
    return {
        "cell_id": f"case-{case.case_id}-cell-{found.cell_id}",
        "path": _place(image.stored_sha256),
        "subject_id": case.subject_id,
        "label": found.decision,
        "source": "review",
        "sha256": image.stored_sha256,
        "width": image.width,
        "height": image.height,
        **sizes,
        "quality": measured.get("quality") or "",
        "photograph_id": found.photograph or None,
        "decided_by": found.username,
        "decided_at": found.reviewed_at,
        "decided_in_bulk": found.in_bulk,
        "model_decision": found.model_decision,
        "blast_probability": found.blast_probability,
        "case_id": case.case_id,
        "bundle_id": case.bundle_id,
        "file_name": image.name,
        **{name: measured.get(name) for name in ORIGIN_COLUMNS},
        "micrometres_per_pixel": (found.read_with or {}).get("target_pixel_size"),
    }


def _chosen(rows: Iterable[dict[str, Any]], left_out: Counter[str]) -> list[dict[str, Any]]:
    """One row for each picture of a subject, and none of a picture that has two labels."""
    newest: dict[tuple[str, str], dict[str, Any]] = {}
    labels: dict[str, set[str]] = {}
    for row in rows:
        labels.setdefault(row["sha256"], set()).add(row["label"])
        if newest.setdefault((row["subject_id"], row["sha256"]), row) is not row:
            left_out["the same picture of the same subject again"] += 1
    kept = [row for row in newest.values() if len(labels[row["sha256"]]) == 1]
    if lost := len(newest) - len(kept):
        left_out["the same picture called blast here and normal there"] += lost
    return sorted(kept, key=lambda row: (row["case_id"], row["cell_id"]))


def _written(rows: list[dict[str, Any]], scope: str, laboratory: str, left_out: Counter[str]) -> bytes:
    groups = duplicate_groups([row["subject_id"] for row in rows], [row["sha256"] for row in rows])
    for row, group in zip(rows, groups, strict=True):
        row["duplicate_group"] = group
    metadata = {
        "layout": "review",
        "source_name": f"cells reviewed in Leukoscope{f' at {laboratory}' if laboratory else ''}",
        "classes": json.dumps(LABELS),
        "positive_classes": json.dumps(["blast"]),
        "synthetic": "false",
        "leaky": "false",
        "licence": "",
        "citation": "",
        "labels_from": "reviewers",
        "labels_note": NOT_INDEPENDENT,
        "scope": scope,
        "left_out": json.dumps(left_out),
    }
    manifest = Manifest(pl.DataFrame(rows, schema={**COLUMNS, **WHO}), Path(), metadata)
    with tempfile.TemporaryDirectory() as folder:
        return manifest.write(Path(folder) / MANIFEST).read_bytes()


def _readme(export: Export) -> str:
    left = "".join(f"  {num:,}: {why}\n" for why, num in export.left_out.items())
    return (
        f"{export.num_cells:,} cells with the words of reviewers. Research use only, not for diagnosis.\n\n"
        f"{NOT_INDEPENDENT}\n\n" + (f"Left out:\n{left}\n" if left else "") + "Unpack it, then:\n"
        f"  leukoscope data check {MANIFEST}\n"
        f"  leukoscope data split {MANIFEST} -o split.parquet --protocol grouped-holdout\n"
        "  leukoscope train --recipe leukoscope-s --data split.parquet --out RUN\n"
    )
