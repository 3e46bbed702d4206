"""A bundle with its graph in 8 bits, and with all that is fitted to a graph fitted to this one."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from leukoscope.bundle.format import BundleInfo, NoveltyLimit
from leukoscope.bundle.privacy import hashed
from leukoscope.bundle.read import Bundle, open_bundle
from leukoscope.bundle.write import write_bundle
from leukoscope.cohort.manifest import Manifest
from leukoscope.core.provenance import now
from leukoscope.evaluation.recalibrate import Limits, Wanted, class_shares, fit_table
from leukoscope.inference.inputs import resolve
from leukoscope.inference.novelty import chosen_cells, fit_limit
from leukoscope.inference.predictor import Predictor

NUM_RANGE_CELLS = 300
"""On so many cells the ranges of activations are measured, as many of each person as come (as NNCF does)."""


class Draft(NamedTuple):
    """The int8 bundle but for what it costs.

    Attributes:
        bundle: written somewhere for the time being, open.
        references: its novelty references: ``"recomputed"``, ``"kept"`` or ``"none"``.
    """

    bundle: Bundle
    references: str


class References(NamedTuple):
    """Novelty references: embeddings (M, D), the limit fitted to them, and what was done to get them."""

    embeddings: npt.NDArray[np.float16] | None
    limit: NoveltyLimit | None
    done: str


def make_draft(
    bundle: Bundle, graph: bytes, path: Path, *, fitting: Manifest, ranges: Manifest, source: Manifest
) -> Draft:
    """The bundle with another graph, its calibration, operating points and novelty limit fitted anew.

    Novelty references are read again by the new graph where the cells are at hand, else they stay. The people
    whose cells are used here are added to those who fitted the bundle, and drawn cells stamp it SYNTHETIC.

    Args:
        bundle: of the 32-bit graph.
        graph: the 8-bit graph.
        path: where to write.
        fitting: labelled cells to fit on.
        ranges: cells that the graph's ranges were measured on.
        source: cells among which those of the references may be.
    """
    info, predictor = bundle.info, Predictor(replace(bundle, onnx=graph))
    rows, embedding = _read(predictor, fitting)
    limits = fitted_limits(info, rows, fitting)
    references = _references(predictor, source, embedding, fitted_on=_whom(fitting))
    drawn = info.training_data.synthetic or source.is_synthetic
    changes = {
        "name": f"{info.name} int8",
        "created_at": now(),
        "calibration": limits.calibration,
        "operating_points": limits.points,
        "reference_readings": None,  # they are of other thresholds
        "novelty": references.limit,
        "training_data": info.training_data.model_copy(update={"synthetic": drawn}),
        "metrics_on": f"{info.metrics_on}, read by the 32-bit bundle {bundle.bundle_id}"
        if info.metrics
        else "",
        "versions": info.versions | {name: version(name) for name in ("nncf", "onnx", "onnxruntime")},
    }
    write_bundle(
        path,
        info.model_copy(update=changes),
        onnx=graph,
        subjects=_fitting_cells(bundle, fitting, ranges),
        novelty=references.embeddings,
        references=bundle.references,
        salt=info.privacy.salt,
    )
    return Draft(open_bundle(path), references.done)


def fitted_limits(info: BundleInfo, rows: pl.DataFrame, cells: Manifest) -> Limits:
    """Calibration and operating points of the bundle's own kinds, fitted on these rows.

    Args:
        info: what the bundle has: its method of calibration, the names of its points.
        rows: predictions of ``cells``, in their order.
        cells: labelled; who shares pictures counts as one subject, as in training.
    """
    people = cells.frame.select(pl.coalesce("duplicate_group", "subject_id").alias("subject_id"))
    rows = rows.with_columns(people.to_series())
    method, bias = info.calibration.method, info.calibration.bias
    shares = class_shares(rows, info.classes) if method == "temperature" and bias else None
    wanted = Wanted(method, tuple(point.name for point in info.operating_points))
    return fit_table(rows, info.classes, info.positive_classes, wanted, shares=shares, fitted_on=_whom(cells))


def range_cells(cells: Manifest) -> Manifest:
    """Those of the cells that ranges are measured on."""
    return cells.with_frame(cells.frame[chosen_cells(cells.frame["subject_id"], num=NUM_RANGE_CELLS)])


def pixels_of(bundle: Bundle, cells: Manifest) -> list[npt.NDArray[np.uint8]]:
    """What the model sees of these cells, (S, S, 3) each; without those that cannot be read."""
    batches = Predictor(bundle).batches(resolve(cells))
    return [cell.pixels for batch in batches for cell in batch if cell.pixels is not None]


def _read(predictor: Predictor, cells: Manifest) -> tuple[pl.DataFrame, npt.NDArray[np.float32]]:
    """A row for every cell, and the embeddings of those that can be read."""
    judged = [predictor.judge(batch) for batch in predictor.batches(resolve(cells))]
    embeddings = [one.outputs.embedding for one in judged if one.outputs is not None]
    return pl.concat([one.rows for one in judged]), np.concatenate(embeddings)


def _references(
    predictor: Predictor, source: Manifest, embedding: npt.NDArray[np.float32], *, fitted_on: str
) -> References:
    bundle = predictor.bundle
    limit, stored = bundle.info.novelty, bundle.novelty
    if limit is None or stored is None:
        return References(None, None, "none")
    again = _cells_of_references(bundle, source)
    kept = (stored if again is None else _read(predictor, again)[1]).astype(np.float16)
    done = "kept" if again is None else "recomputed"
    return References(kept, fit_limit(kept, embedding, k=limit.k, fitted_on=fitted_on), done)


def _cells_of_references(bundle: Bundle, source: Manifest) -> Manifest | None:
    """The cells of the reference embeddings in their order, where all of them are in the source."""
    if bundle.references is None:
        return None
    marks = source.frame.with_columns(mark=hashed("sha256", bundle.info.privacy))
    cells = marks.unique("mark", keep="first", maintain_order=True)
    found = bundle.references.select(mark="sha256").join(cells, on="mark", how="inner", maintain_order="left")
    if found.height < bundle.references.height:
        return None
    number = pl.int_range(pl.len()).cast(pl.String)  # two references may be one file under two names
    return source.with_frame(found.drop("mark").with_columns(cell_id="reference " + number))


def _fitting_cells(bundle: Bundle, *used: Manifest) -> pl.DataFrame:
    """Every cell that fitted anything, those used now among them, named as the bundle names them."""
    fresh = pl.concat([cells.frame.select("subject_id", "sha256") for cells in used])
    fresh = fresh.with_columns(hashed(name, bundle.info.privacy) for name in fresh.columns)
    fresh = fresh.with_columns(role=pl.lit("calibration")).unique(maintain_order=True)
    known = ["subject_id", "sha256"]
    return pl.concat(
        [bundle.subjects, fresh.join(bundle.subjects, on=known, how="anti").select(bundle.subjects.columns)]
    )


def _whom(cells: Manifest) -> str:
    return f"{len(cells):,} cells of {cells.frame['subject_id'].n_unique()} calibration subjects"
