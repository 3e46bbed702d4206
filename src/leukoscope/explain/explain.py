"""``leukoscope explain`` as one function: a map of every cell, the checks, the nearest training cells."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from leukoscope.bundle.read import Bundle
from leukoscope.cohort.open import open_cohort
from leukoscope.core.config import Config
from leukoscope.core.files import write_bytes, write_json
from leukoscope.core.progress import progress
from leukoscope.core.provenance import RESEARCH_USE_ONLY, provenance
from leukoscope.errors import UsageError
from leukoscope.evaluation.pictures import data_uri
from leukoscope.evaluation.table import stamps
from leukoscope.explain.checks import Check, Sample, check, share_on_cell
from leukoscope.explain.evidence import Floats, evidence_of, log_odds, positive
from leukoscope.explain.foreground import foreground
from leukoscope.explain.methods import Method, make_method, over_views
from leukoscope.explain.neighbours import Neighbour, Neighbours
from leukoscope.explain.overlay import Pixels, overlay
from leukoscope.explain.page import Shown, write_page
from leukoscope.inference.inputs import InputLike, resolve
from leukoscope.inference.predictor import Judged, Predictor
from leukoscope.inference.prepare import Prepared

PAGE, NUMBERS = "explain.html", "explain.json"
NO_CAUSE = "A map is no cause: it shows where the answer changes with the picture, not why a cell is a blast."

NUM_CHECKED = 12
"""Cells that the checks are made on, at most."""
NUM_SHOWN = 60
"""Cells on the page, at most."""
BATCH = 32
"""Cells at once: their maps, not the model, need the memory."""


class ExplainedCell(Config):
    """One input: what the bundle says of it, and where its picture is. What is not known is ``None``.

    Attributes:
        log_odds: of blast before calibration: what the map explains.
        reference_log_odds: of what the map compares the cell with, where its values add up to the difference.
        share_on_cell: how much of the map's size lies on the cell.
        area: share of the picture that the cell covers.
        strongest: the largest size of a value of the map, the end of its scale.
        picture: file name in the folder.
        neighbours: the nearest reference cells of the bundle.
        error: why there is no map.
    """

    cell_id: str
    path: str
    sha256: str | None = None
    subject_id: str | None = None
    label: str | None = None
    decision: str | None = None
    reason: str | None = None
    quality: str | None = None
    blast_probability: float | None = None
    novelty: float | None = None
    log_odds: float | None = None
    reference_log_odds: float | None = None
    share_on_cell: float | None = None
    area: float | None = None
    strongest: float | None = None
    picture: str | None = None
    neighbours: tuple[Neighbour, ...] = ()
    error: str | None = None


class Explained(Config):
    """What a run of :func:`explain` found.

    Attributes:
        page: the HTML page.
        method: which one was used; ``chosen``: why; ``value``, ``unit``: what a value of a map is.
        views: 1 or 8; with 8 a map is the mean of those of the views.
        checks: empty where no input shows a cell.
        num_checked: cells that they were made on.
        neighbours_note: why the nearest training cells are not named; empty where they are.
        num_references: that the bundle keeps.
        cells: one for every input, in order.
    """

    page: Path
    method: str
    title: str
    chosen: str
    value: str
    unit: str
    views: int
    bundle_name: str
    bundle_id: str
    stamps: tuple[str, ...]
    num_cells: int
    num_unreadable: int
    checks: tuple[Check, ...]
    num_checked: int
    neighbours_note: str
    num_references: int
    cells: tuple[ExplainedCell, ...]

    def to_json(self) -> dict[str, Any]:
        """Every number, ready for ``json.dumps``."""
        head = {"research_use_only": RESEARCH_USE_ONLY, "note": NO_CAUSE}
        return head | self.model_dump(mode="json") | {"page": self.page.name}


def explain(
    bundle: Bundle | Path | str,
    inputs: InputLike | Iterable[InputLike],
    out: Path | str,
    *,
    method: str = "auto",
    backend: str = "auto",
    subject_id: str | None = None,
    data: Path | str | None = None,
) -> Explained:
    """Make a map of every input, in order, showing progress; write the pictures, ``explain.json`` and
    ``explain.html``.

    Args:
        bundle: a folder or zip, the word ``"starter"``, or a bundle that is open already.
        inputs: as :func:`~leukoscope.inference.inputs.resolve` takes them.
        out: the folder; pictures of a former explanation in it are removed.
        method: ``"auto"`` or the name of a method, see :func:`~leukoscope.explain.methods.make_method`.
        backend: ``"auto"`` (ONNX Runtime), ``"onnxruntime"``, ``"openvino"`` or ``"torch"``: what answers,
            and makes the maps of ``cam`` and ``occlusion``.
        subject_id: whose cells they all are.
        data: the user's copy of the training cells, for pictures of the nearest of them.

    Raises:
        LeukoscopeError: for a bundle, an input, a method or a folder that cannot be used, before any map is
            made.
    """
    folder = Path(out)
    check_folder(folder)
    predictor = Predictor(bundle, backend=backend, batch_size=BATCH)
    info = predictor.bundle.info
    made, chosen = make_method(predictor.bundle, predictor.backend, method)
    neighbours = Neighbours(predictor.bundle, None if data is None else open_cohort(data))
    cells = resolve(inputs, subject_id=subject_id)
    _clear(folder)
    work = _Work(predictor, made, neighbours, folder)
    with progress("explaining", cells.count()) as bar:
        for batch in predictor.batches(cells):
            work.add(batch, predictor.judge(batch))
            bar.advance(len(batch))
    sample = work.kept.sample()
    with progress("checking the maps", None):
        checks = check(made, work.evidence, sample, views=predictor.views)
    metadata = predictor.metadata(cells)
    done = Explained(
        page=folder / PAGE,
        method=made.name,
        title=made.title,
        chosen=chosen,
        value=made.value,
        unit=made.unit,
        views=predictor.views,
        bundle_name=info.name,
        bundle_id=predictor.bundle.bundle_id,
        stamps=tuple(name for name in stamps(metadata).split(",") if name),
        num_cells=len(work.cells),
        num_unreadable=sum(cell.error is not None for cell in work.cells),
        checks=tuple(checks),
        num_checked=len(sample.cells),
        neighbours_note=neighbours.note,
        num_references=neighbours.num,
        cells=tuple(work.cells),
    )
    write_json(folder / NUMBERS, done.to_json() | {"provenance": provenance()})
    write_page(done, work.shown, signed=made.signed, no_cause=NO_CAUSE)
    return done


def check_folder(path: Path) -> None:
    """Raise :class:`UsageError` for a folder that no explanation can be written to."""
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path}: is a file", hint="name a folder")


_PICTURE = re.compile(r"[0-9]{5,}-.*\.png")


def _clear(folder: Path) -> None:
    """Remove what a former explanation left, so that no picture belongs to another page."""
    if (folder / NUMBERS).is_file():
        for file in folder.iterdir():
            if _PICTURE.fullmatch(file.name) or file.name in (PAGE, NUMBERS):
                file.unlink()


def picture_name(place: int, cell_id: str) -> str:
    """A file name of letters, digits, dots and dashes for the cell at ``place``, unlike that of any other.

    >>> picture_name(1, "fold_0/../ä b.bmp")
    '00001-fold_0_.._b.bmp.png'
    """
    return f"{place:05}-{re.sub('[^A-Za-z0-9.-]+', '_', cell_id)[-80:]}.png"


class _Found(NamedTuple):
    """What was found of a cell: its map, log-odds, those of its reference, and its neighbours."""

    values: Floats
    log_odds: float
    reference_log_odds: float | None
    neighbours: tuple[Neighbour, ...]


class _Work:
    """Takes batches; keeps a row of every cell, the first pictures for the page, and some maps to check."""

    def __init__(self, predictor: Predictor, method: Method, neighbours: Neighbours, folder: Path) -> None:
        self._predictor, self._method = predictor, method
        self._neighbours, self._folder = neighbours, folder
        self.evidence = evidence_of(predictor.backend, predictor.bundle.info, predictor.views)
        self.cells: list[ExplainedCell] = []
        self.shown: list[Shown] = []
        self.kept = _Reservoir(NUM_CHECKED)

    def add(self, batch: list[Prepared], judged: Judged) -> None:
        found = iter(self._find(batch, judged))
        for cell, row in zip(batch, judged.rows.fill_nan(None).iter_rows(named=True), strict=True):
            known = {name: row[name] for name in ExplainedCell.model_fields if name in row}
            mapped = {} if cell.pixels is None else self._draw(cell.pixels, known["cell_id"], next(found))
            self.cells.append(ExplainedCell.model_validate(known | mapped))

    def _find(self, batch: list[Prepared], judged: Judged) -> list[_Found]:
        """Of each cell that has pixels."""
        if judged.outputs is None:
            return []
        readable = [cell for cell in batch if cell.pixels is not None]
        pixels = np.stack([cell.pixels for cell in readable if cell.pixels is not None])
        maps = over_views(self._method.mapper, pixels, self._predictor.views)
        odds = log_odds(judged.outputs.logits, positive(self._predictor.bundle.info)).tolist()
        nearest = self._neighbours.nearest(judged.outputs.embedding, [cell.sha256 for cell in readable])
        reference = self._method.reference
        beside = [None] * len(pixels) if reference is None else self.evidence(reference(pixels)).tolist()
        return [_Found(*one) for one in zip(maps, odds, beside, nearest, strict=True)]

    def _draw(self, pixels: Pixels, cell_id: str, found: _Found) -> dict[str, Any]:
        name = picture_name(len(self.cells) + 1, cell_id)
        picture = overlay(pixels, found.values, signed=self._method.signed, unit=self._method.unit)
        write_bytes(self._folder / name, _png(picture))
        if len(self.shown) < NUM_SHOWN:
            beside = self._neighbours.pictures(found.neighbours)
            self.shown.append(Shown(len(self.cells), data_uri(picture), tuple(beside)))
        mask = foreground(pixels)
        if mask.any():
            self.kept.add(pixels, found.values)
        return {
            "log_odds": found.log_odds,
            "reference_log_odds": found.reference_log_odds,
            "share_on_cell": share_on_cell(found.values, mask),
            "area": float(mask.mean()),
            "strongest": float(np.abs(found.values).max()),
            "picture": name,
            "neighbours": found.neighbours,
        }


def _png(picture: Pixels) -> bytes:
    return bytes(cv2.imencode(".png", np.ascontiguousarray(picture[..., ::-1]))[1])


class _Reservoir:
    """A few of many, each as likely as any other (Vitter 1985, algorithm R); the same ones every time."""

    def __init__(self, num: int) -> None:
        self._num, self._seen, self._rng = num, 0, np.random.default_rng(0)
        self._kept: list[tuple[Pixels, Floats]] = []

    def add(self, cell: Pixels, found: Floats) -> None:
        self._seen += 1
        place = len(self._kept) if len(self._kept) < self._num else int(self._rng.integers(self._seen))
        if place < self._num:
            self._kept[place : place + 1] = [(cell, found)]

    def sample(self) -> Sample:
        if not self._kept:
            return Sample(np.empty((0, 1, 1, 3), np.uint8), np.empty((0, 1, 1), np.float32))
        cells, maps = zip(*self._kept, strict=True)
        return Sample(np.stack(cells), np.stack(maps))
