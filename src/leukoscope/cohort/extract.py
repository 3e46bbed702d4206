"""Photographs of smears become single cells in C-NMC's style, with a manifest that says where each came from.

The folder holds afterwards: ``manifest.parquet``, a row for everything that was found; ``cells/``, the single
whole cells that may be lymphoid; ``set-aside/``, all else, which nothing should take for one; for each
photograph a GeoJSON file in ``outlines/`` and a picture in ``overlays/``; ``photographs.json``, how each was
read and scaled.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import polars as pl

from leukoscope.cells.photograph import Drawn, cut_out, draw_overlay, read_photograph
from leukoscope.cells.quality import examine
from leukoscope.cells.scale import (
    CNMC_MICROMETRES_PER_PIXEL,
    Scale,
)
from leukoscope.cells.segmentation.found import FoundCell, is_cell, is_single
from leukoscope.cells.segmentation.segmenters import Segmenter, create_segmenter
from leukoscope.cells.segmentation.tiles import segment_by_windows, windows
from leukoscope.cohort.manifest import COLUMNS, Manifest
from leukoscope.cohort.photographs import Scales, listed, named
from leukoscope.core.files import atomic, sha256_bytes, write_json
from leukoscope.core.progress import progress
from leukoscope.errors import ImageError, UsageError

MANIFEST = "manifest.parquet"
PHOTOGRAPHS = "photographs.json"

MORE_COLUMNS: dict[str, type[pl.DataType]] = {
    "photograph": pl.String,
    "box_x": pl.Int32,
    "box_y": pl.Int32,
    "box_width": pl.Int32,
    "box_height": pl.Int32,
    "flags": pl.String,
    "single": pl.Boolean,
    "outline": pl.String,
    "photograph_micrometres_per_pixel": pl.Float64,
    "scale_source": pl.String,
    "micrometres_per_pixel": pl.Float64,
}
"""What the manifest of extracted cells has besides: the file of the photograph, the box in its pixels, flags
of :data:`leukoscope.cells.segmentation.found.FLAGS` joined by commas, whether it is a single whole cell, the
outline as a GeoJSON polygon in pixels of the photograph, the scale of the photograph, how that is known, the
scale of the cut."""


@dataclass(frozen=True)
class Photograph:
    """What became of one photograph.

    Attributes:
        photograph_id: unique in this extraction.
        path: as it was given.
        scale: None where it could not be read.
        num_found: rows of the manifest.
        num_cells: white cells among them, whole or not.
        num_single: single whole ones.
        flags: how often each was given.
        error: why it could not be read; empty where it could.
    """

    photograph_id: str
    path: str
    scale: Scale | None = None
    num_found: int = 0
    num_cells: int = 0
    num_single: int = 0
    flags: dict[str, int] = field(default_factory=dict)
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        scale = self.scale._asdict() if self.scale else None
        return {**{name: value for name, value in vars(self).items() if name != "scale"}, "scale": scale}


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
    *,
    pixel_size: float | None = None,
    target_pixel_size: float = CNMC_MICROMETRES_PER_PIXEL,
    segmenter: str = "stain",
    subject_id: str | None = None,
) -> Extraction:
    """Find the white cells of photographs, cut them out and write them down.

    When it is interrupted, the manifest holds the photographs that were finished.

    Args:
        smears: photographs, and folders of such.
        out: a folder without an extraction.
        pixel_size: micrometres per pixel of all photographs; None takes it from their red cells.
        target_pixel_size: micrometres per pixel of the cut-out cells.
        segmenter: which one finds the cells.
        subject_id: whose blood it is.

    Raises:
        UsageError: for a scale that cannot be, no photograph, or a folder that holds an extraction.
    """
    _check(pixel_size, target_pixel_size)
    folder, found = Path(out), named(listed(smears))
    if (folder / MANIFEST).exists():
        raise UsageError(
            f"{folder} already holds {MANIFEST}", hint="choose another folder or remove that one"
        )
    work = _Work(folder, create_segmenter(segmenter), target_pixel_size, subject_id)
    scales = Scales(pixel_size, tuple(found.values()))
    try:
        with progress("looking for white cells", len(found)) as bar:
            for photograph_id, path in found.items():
                work.add(photograph_id, path, scales)
                bar.advance()
    finally:
        manifest = work.finish()
    return Extraction(folder, manifest, tuple(work.photographs))


def _check(pixel_size: float | None, target: float) -> None:
    for size in (pixel_size, target):
        if size is not None and not 0.005 <= size <= 2:
            raise UsageError(
                f"expected micrometres per pixel from 0.005 to 2. Received: {size}",
                hint="a 100x objective gives 0.03 to 0.15, a 40x objective about 0.25",
            )


class _Work:
    """An extraction under way."""

    def __init__(self, out: Path, segmenter: Segmenter, target: float, subject_id: str | None) -> None:
        self.out, self.segmenter, self.target, self.subject_id = out, segmenter, target, subject_id
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
            for number, cell in enumerate(self._find(image, scale, path.name), start=1):
                drawn.append(Drawn(cell.outline, cell.flags))  # the masks of a large photograph take too much
                rows.append(self._keep(image, cell, f"{photograph_id}_{number}", scale))
                rows[-1] |= {"photograph_id": photograph_id, "photograph": str(path)}
            write_json(self.out / "outlines" / f"{photograph_id}.geojson", _features(rows))
            _write_picture(self.out / "overlays" / f"{photograph_id}.png", draw_overlay(image, drawn))
        except BaseException:  # an interruption, too: what has no row is not left behind
            for row in rows:
                (self.out / row["path"]).unlink(missing_ok=True)
            raise
        self.rows += rows
        self.photographs.append(_summary(photograph_id, path, scale, drawn))

    def _find(self, image: np.ndarray, scale: Scale, name: str) -> Iterator[FoundCell]:
        """From the top down; of a large photograph window by window."""
        pixel = scale.micrometres_per_pixel
        num = len(windows(image.shape, pixel))
        if num == 1:
            yield from self.segmenter.segment(image, pixel)
            return
        with progress(f"windows of {name}", num) as bar:
            yield from segment_by_windows(image, self.segmenter, pixel, done=bar.advance)

    def _keep(self, image: np.ndarray, cell: FoundCell, cell_id: str, scale: Scale) -> dict[str, Any]:
        """Write the picture of one cell; its row."""
        cut = cut_out(image, cell, scale.micrometres_per_pixel / self.target)
        passed = cell.is_single and not {"lobed", "granular"}.intersection(cell.flags)
        place = f"{'cells' if passed else 'set-aside'}/{cell_id}.png"
        data = _write_picture(self.out / place, cut)
        measures, quality = examine(cut)
        x, y, width, height = cell.box
        return {
            "cell_id": cell_id,
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
            "box_x": x,
            "box_y": y,
            "box_width": width,
            "box_height": height,
            "flags": ",".join(cell.flags),
            "single": cell.is_single,
            "outline": _polygon_text(cell),
            "photograph_micrometres_per_pixel": scale.micrometres_per_pixel,
            "scale_source": scale.source,
            "micrometres_per_pixel": self.target,
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


def _summary(photograph_id: str, path: Path, scale: Scale, found: list[Drawn]) -> Photograph:
    return Photograph(
        photograph_id,
        str(path),
        scale,
        num_found=len(found),
        num_cells=sum(is_cell(one.flags) for one in found),
        num_single=sum(is_single(one.flags) for one in found),
        flags=dict(sorted(Counter(flag for one in found for flag in one.flags).items())),
    )


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
