"""Photographs of smears become single cells in C-NMC's style, with a manifest that says where each came from.

The folder holds afterwards: ``manifest.parquet``, a row for everything that was found; ``cells/``, the single
whole cells that may be lymphoid; ``set-aside/``, all else, which nothing should take for one; for each
photograph a GeoJSON file in ``outlines/`` and a picture in ``overlays/``; ``photographs.json``, how each was
read and scaled.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import polars as pl

from leukoscope.cells.photograph import Drawn, draw_overlay, read_photograph
from leukoscope.cells.quality import examine
from leukoscope.cells.segmentation.found import FoundCell
from leukoscope.cohort.manifest import COLUMNS, Manifest
from leukoscope.cohort.photographs import Scales, listed, named
from leukoscope.cohort.smears import (
    ORIGIN_COLUMNS,
    Origin,
    Photograph,
    SmearCell,
    SmearSettings,
    cells_of,
)
from leukoscope.core.files import atomic, sha256_bytes, write_json
from leukoscope.core.progress import progress
from leukoscope.errors import ImageError, UsageError

MANIFEST = "manifest.parquet"
PHOTOGRAPHS = "photographs.json"

MORE_COLUMNS: dict[str, type[pl.DataType]] = {
    **ORIGIN_COLUMNS,
    "single": pl.Boolean,
    "outline": pl.String,
    "micrometres_per_pixel": pl.Float64,
}
"""What the manifest of extracted cells has besides: the fields of :class:`~leukoscope.cohort.smears.Origin`,
whether it is a single whole cell, the outline as a GeoJSON polygon in pixels of the photograph, the scale of
the cut."""


class Extraction(NamedTuple):
    """What ``extract`` has done: the folder, its manifest, and each photograph in the order of its id."""

    out: Path
    manifest: Manifest
    photographs: tuple[Photograph, ...]

    @property
    def num_unreadable(self) -> int:
        """Photographs that could not be read."""
        return sum(bool(photograph.error) for photograph in self.photographs)


def extract(
    smears: Sequence[Path | str],
    out: Path | str,
    settings: SmearSettings = SmearSettings(),  # noqa: B008 - frozen
    *,
    subject_id: str | None = None,
) -> Extraction:
    """Find the white cells of photographs, cut them out and write them down.

    When it is interrupted, the manifest holds the photographs that were finished.

    Args:
        smears: photographs, and folders of such.
        out: a folder without an extraction.
        settings: how they are found and cut.
        subject_id: whose blood it is.

    Raises:
        UsageError: for no photograph, or a folder that holds an extraction.
    """
    folder, found = Path(out), named(listed(smears))
    if (folder / MANIFEST).exists():
        raise UsageError(
            f"{folder} already holds {MANIFEST}", hint="choose another folder or remove that one"
        )
    work = _Work(folder, settings, subject_id)
    scales = Scales(settings.pixel_size, tuple(found.values()))
    try:
        with progress("looking for white cells", len(found)) as bar:
            for photograph_id, path in found.items():
                work.add(photograph_id, path, scales)
                bar.advance()
    finally:
        manifest = work.finish()
    return Extraction(folder, manifest, tuple(work.photographs))


class _Work:
    """An extraction under way."""

    def __init__(self, out: Path, settings: SmearSettings, subject_id: str | None) -> None:
        self.out, self.settings, self.subject_id = out, settings, subject_id
        self.photographs: list[Photograph] = []
        self.rows: list[dict[str, Any]] = []

    def add(self, photograph_id: str, path: Path, scales: Scales) -> None:
        """One photograph: all that is written of it, or the reason why it cannot be read."""
        try:
            image = read_photograph(path)
        except ImageError as error:
            self.photographs.append(Photograph(photograph_id, str(path), error=error.reason))
            return
        scale = scales.of(image)
        rows: list[dict[str, Any]] = []
        drawn: list[Drawn] = []
        try:
            cells = cells_of(image, scale, self.settings, title=path.name)
            for number, found in enumerate(cells, start=1):
                cell_id = f"{photograph_id}_{number}"
                drawn.append(Drawn(found.cell.outline, found.cell.flags))  # the masks take too much
                rows.append(
                    {"cell_id": cell_id, "photograph_id": photograph_id, **self._keep(found, cell_id)}
                )
                rows[-1] |= Origin.of(found.cell, path, scale)._asdict()
            write_json(self.out / "outlines" / f"{photograph_id}.geojson", _features(rows))
            _write_picture(self.out / "overlays" / f"{photograph_id}.png", draw_overlay(image, drawn))
        except BaseException:  # an interruption, too: what has no row is not left behind
            for row in rows:
                (self.out / row["path"]).unlink(missing_ok=True)
            raise
        self.rows += rows
        self.photographs.append(Photograph.of(photograph_id, path, scale, [one.flags for one in drawn]))

    def _keep(self, found: SmearCell, cell_id: str) -> dict[str, Any]:
        """Write the picture of one cell; what its row says of that."""
        place = f"{'cells' if found.cell.why_not_judged is None else 'set-aside'}/{cell_id}.png"
        data = _write_picture(self.out / place, found.image)
        measures, quality = examine(found.image)
        return {
            "path": place,
            "subject_id": self.subject_id,
            "source": "photograph",
            "sha256": sha256_bytes(data),
            "width": measures.width,
            "height": measures.height,
            "cell_width": measures.cell_width,
            "cell_height": measures.cell_height,
            "cell_area": measures.cell_area,
            "brightness": measures.brightness,
            "stain": measures.stain,
            "quality": quality.text,
            "single": found.cell.is_single,
            "outline": _polygon_text(found.cell),
            "micrometres_per_pixel": self.settings.target_pixel_size,
        }

    def finish(self) -> Manifest:
        """Write the manifest of what there is, and how each photograph went."""
        columns = COLUMNS | MORE_COLUMNS
        frame = pl.DataFrame([{name: row.get(name) for name in columns} for row in self.rows], schema=columns)
        metadata = {"layout": "photographs", "source_name": "photographs of smears"}
        manifest = Manifest(frame, self.out.resolve(), metadata)
        manifest.write(self.out / MANIFEST)
        write_json(self.out / PHOTOGRAPHS, [photograph.to_json() for photograph in self.photographs])
        return manifest


def _write_picture(path: Path, image: np.ndarray) -> bytes:
    """RGB as PNG, whole or not at all; the bytes."""
    data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()
    with atomic(path) as temporary:
        temporary.write_bytes(data)
    return bytes(data)


def _polygon_text(cell: FoundCell) -> str:
    """The outline as GeoJSON, closed as that wants it."""
    corners = cell.outline.tolist()
    return json.dumps({"type": "Polygon", "coordinates": [[*corners, corners[0]]]}, separators=(",", ":"))


def _features(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """All outlines of a photograph as GeoJSON; coordinates are its pixels, y downwards."""
    named = ("cell_id", "flags", "single", "path")
    return {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "geometry": json.loads(row["outline"]),
                "properties": {name: row[name] for name in named},
            }
            for row in rows
        ],
    }
