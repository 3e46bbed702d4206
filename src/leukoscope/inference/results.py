"""A row of the prediction table as a typed value, for programs that take one cell after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import polars as pl

from leukoscope.cohort.smears import Origin

Decision = Literal["blast", "normal", "indeterminate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellResult:
    """What a bundle says of one image: the columns of the prediction table, under their names.

    What is not known is ``None``. Of an image that could not be read, ``error`` says why; it has no
    probabilities and no measures, and its decision is ``"indeterminate"``. Research use only.

    Attributes:
        cell_id: unique among the results of one call; see ``docs/decisions/0504``.
        path: of the file as it was given, below the one folder, zip or manifest where that was; ``None`` for
            pixels, pictures and bytes.
        sha256: of the file's bytes, hexadecimal; ``None`` for pixels.
        subject_id: whose cell it is.
        label: class name that the file's name or its manifest gives it. The model does not see it.
        split: role in the split that was given.
        fold: in the split that was given, from 0.
        decision: by the bundle's first operating point.
        reason: why the decision is ``"indeterminate"``, ``None`` for a decided cell: ``"unreadable: ..."``,
            ``"quality: ..."``, ``"novel"`` or ``"between thresholds"``; of a photograph also ``"not a single
            cell: ..."`` and ``"not a lymphoid cell: ..."``.
        blast_probability: calibrated, 0 to 1: the sum over the classes that count as blast. It stands there
            although the decision be withheld.
        raw_probability: the same before calibration.
        ruler_probability: what the size of the cell alone says, 0 to 1.
        novelty: root mean square difference of the embedding's features from those of its k-th nearest
            training reference; beyond the bundle's limit the cell is novel.
        quality: flags, a subset of :data:`leukoscope.cells.quality.FLAGS` in its order; none means good.
        cell_width: of the segmented cell's box, pixels of the original; like the next two ``None`` where no
            cell lies on black.
        cell_height: likewise.
        cell_area: pixels of the cell.
        brightness: mean luma of the cell (of the image where none is segmented), 0 to 255.
        stain: share of red light in the optical density of its mean colour, 0 to 1.
        bundle_id: of the bundle that answered.
        error: why the image could not be read.
        probabilities: class name -> calibrated probability, 0 to 1, adding up to 1; empty with an ``error``.
        logits: class name -> logit, the mean over the views; empty with an ``error``.
        origin: where in which photograph it lies; ``None`` for a cell that came cut out.
    """

    cell_id: str
    path: str | None
    sha256: str | None
    subject_id: str | None
    label: str | None
    split: str | None
    fold: int | None
    decision: Decision
    reason: str | None
    blast_probability: float | None
    raw_probability: float | None
    ruler_probability: float | None
    novelty: float | None
    quality: tuple[str, ...]
    cell_width: int | None
    cell_height: int | None
    cell_area: int | None
    brightness: float | None
    stain: float | None
    bundle_id: str
    error: str | None
    probabilities: dict[str, float]
    logits: dict[str, float]
    origin: Origin | None = None

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, of types that JSON has."""
        origin = self.origin and self.origin._asdict()
        return asdict(self) | {"quality": list(self.quality), "origin": origin}


def results(rows: pl.DataFrame, classes: Sequence[str]) -> Iterator[CellResult]:
    """The rows of a prediction table that Leukoscope wrote, one by one.

    Args:
        rows: with the columns of :data:`~leukoscope.evaluation.table.COLUMNS` and of ``classes``.
        classes: names of the bundle's classes.
    """
    for row in rows.iter_rows(named=True):
        row["path"] = row["path"] or None
        row["quality"] = tuple(row["quality"].split(",")) if row["quality"] else ()
        row["origin"] = Origin.taken_from(row)
        row["probabilities"] = _of_classes(row, "probability", classes)
        row["logits"] = _of_classes(row, "logit", classes)
        yield CellResult(**row)


def _of_classes(row: dict[str, Any], what: str, classes: Sequence[str]) -> dict[str, float]:
    """The columns of that kind, taken out of the row."""
    values = {name: row.pop(f"{what}_{name}") for name in classes}
    return {name: value for name, value in values.items() if value is not None}
