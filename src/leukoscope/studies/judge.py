"""From the finished network to a bundle: readings on the cells of the split, calibration, limits, figures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from leukoscope.bundle.format import (
    Architecture,
    AssumedScale,
    BundleInfo,
    NoveltyLimit,
    TrainingData,
    fitting_cells,
    forbidding_flags,
)
from leukoscope.bundle.read import open_bundle
from leukoscope.bundle.write import write_bundle
from leukoscope.cohort.manifest import Manifest
from leukoscope.core.files import sha256_file
from leukoscope.core.progress import progress
from leukoscope.core.provenance import now, versions
from leukoscope.errors import TrainingError
from leukoscope.evaluation.calibration import Calibration, blast_probability
from leukoscope.evaluation.operating_points import OperatingPoint
from leukoscope.evaluation.recalibrate import Limits, Wanted, fit_limits
from leukoscope.evaluation.ruler import fit_ruler
from leukoscope.evaluation.sizes import median_sizes
from leukoscope.evaluation.table import PredictionTable
from leukoscope.inference.backends import make_backend
from leukoscope.inference.decide import decide
from leukoscope.inference.novelty import References as Known
from leukoscope.inference.novelty import choose_references, chosen_cells, fit_limit
from leukoscope.inference.views import run_views
from leukoscope.models.base import CellNetwork
from leukoscope.models.export import to_onnx
from leukoscope.recipes.schema import Recipe
from leukoscope.studies.prepare import Prepared
from leukoscope.training.cache import in_batches
from leukoscope.training.draw import Index

AGREEMENT = 1e-4


@dataclass(frozen=True)
class Readings:
    """What a bundle's graph says of some cells: logits (N, K) and embedding (N, D), and where the cells
    are."""

    positions: Index
    logits: NDArray[np.float32]
    embedding: NDArray[np.float32]

    def at(self, positions: Index) -> Readings:
        """The readings of some of these cells, in the order of ``positions``."""
        where = np.searchsorted(self.positions, positions)
        return Readings(positions, self.logits[where], self.embedding[where])


def read_limits(prepared: Prepared, recipe: Recipe, readings: Readings, *, fitted_on: str) -> Limits:
    """Calibration and operating points, as the recipe wants them, of these readings.

    Raises:
        UsageError: when they lack a class.
    """
    labels = prepared.data.labels[readings.positions]
    shares = np.bincount(labels, minlength=readings.logits.shape[1]) / len(labels)
    return fit_limits(
        readings.logits,
        labels,
        np.asarray(prepared.data.positive)[labels],
        prepared.data.groups[readings.positions],
        classes=prepared.manifest.classes,
        positive=prepared.manifest.positive_classes,
        wanted=wanted(recipe),
        shares=shares if recipe.training.reweights_classes else None,
        fitted_on=fitted_on,
    )


def wanted(recipe: Recipe) -> Wanted:
    """How a recipe's probabilities are calibrated, and at which points they decide."""
    return Wanted(recipe.calibration, recipe.operating_points)


def read_cells(bundle_path: Path, prepared: Prepared, positions: Index, *, views: int = 0) -> Readings:
    """Run a bundle's graph on cells of the cache.

    Args:
        bundle_path: the bundle.
        prepared: the cells.
        positions: which of them, ascending.
        views: 1 or 8; 0 takes what the bundle says. For embeddings alone one view is enough.
    """
    bundle = open_bundle(bundle_path)
    backend = make_backend(bundle, "onnxruntime")
    logits, embeddings = [], []
    with progress("reading cells", len(positions)) as bar:
        for part in in_batches(positions, prepared.data.cells):
            cells = np.ascontiguousarray(prepared.data.cells[part])
            outputs = run_views(backend, cells, views or bundle.info.views)
            logits.append(outputs.logits)
            embeddings.append(outputs.embedding)
            bar.advance(len(part))
    return Readings(positions, np.concatenate(logits), np.concatenate(embeddings))


def check_agreement(
    network: CellNetwork, bundle_path: Path, prepared: Prepared, positions: Index, calibration: Calibration
) -> float:
    """The largest difference in probability between the network and its graph on these cells.

    Raises:
        TrainingError: when it is above 1e-4: the graph is not the network.
    """
    backend = make_backend(open_bundle(bundle_path), "onnxruntime")
    worst = 0.0
    with progress("comparing graph and network", len(positions)) as bar:
        for part in in_batches(positions, prepared.data.cells):
            cells = np.ascontiguousarray(prepared.data.cells[part])
            with torch.inference_mode():
                ours = network(torch.from_numpy(cells)).logits.numpy()
            difference = calibration.apply(ours) - calibration.apply(backend.run(cells).logits)
            worst = max(worst, float(np.abs(difference).max()))
            bar.advance(len(part))
    if not worst <= AGREEMENT:
        raise TrainingError(
            f"graph and network differ by {worst:.2g} in probability; at most {AGREEMENT} is allowed",
            hint="report this with the recipe; the model was not written",
        )
    return worst


@dataclass(frozen=True)
class References:
    """Embeddings of training cells to measure novelty against, and whose cells they are."""

    embeddings: NDArray[np.float16]
    cells: pl.DataFrame


@dataclass(frozen=True)
class Draft:
    """A bundle on its way: the graph, the weights and what is known so far."""

    info: BundleInfo
    onnx: bytes
    weights: dict[str, NDArray[np.float32]]
    subjects: pl.DataFrame
    references: References | None = None

    def write(self, path: Path) -> Path:
        """Write the bundle as it is now."""
        return write_bundle(
            path,
            self.info,
            onnx=self.onnx,
            subjects=self.subjects,
            novelty=None if self.references is None else self.references.embeddings,
            references=None if self.references is None else self.references.cells,
            weights=self.weights,
        )

    def knowing(self, references: References | None = None, **facts: object) -> Draft:
        """The same draft with more facts, and reference embeddings if given."""
        kept = self.references if references is None else references
        return Draft(self.info.model_copy(update=facts), self.onnx, self.weights, self.subjects, kept)


def draft(recipe: Recipe, network: CellNetwork, split: Manifest, prepared: Prepared) -> Draft:
    """A bundle without calibration, limits and figures; enough for its graph to be run."""
    train = prepared.manifest.frame[prepared.positions("train")]
    positive = np.asarray(prepared.data.positive)[prepared.data.labels[prepared.positions("train")]]
    measured = train["cell_width"].is_not_null().any()
    info = BundleInfo(
        name=recipe.name,
        created_at=now(),
        architecture=Architecture(
            name=recipe.model.name, arguments={"num_classes": len(split.classes), **recipe.model.built_with()}
        ),
        classes=split.classes,
        positive_classes=split.positive_classes,
        preprocess=recipe.preprocess,
        views=recipe.views,
        calibration=Calibration(),
        operating_points=(_undecided(),),
        forbidding_flags=forbidding_flags(train["quality"]),
        ruler=fit_ruler(train, positive) if measured else None,
        median_sizes=median_sizes(train) if measured else None,
        assumed_scale=AssumedScale.of(split),
        training_data=TrainingData.of(split),
        recipe=_recorded(recipe),
        versions=versions(),
    )
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    return Draft(info, to_onnx(network, recipe.preprocess.size), weights, fitting_cells(split))


def _recorded(recipe: Recipe) -> dict[str, Any]:
    """The recipe as the bundle keeps it: of a file of weights its name and SHA-256, not where it lay."""
    kept = recipe.model_dump(mode="json")
    if recipe.model.weights not in ("none", "imagenet"):
        path = Path(recipe.model.weights)
        kept["model"]["weights"] = f"{path.name}, sha256 {sha256_file(path)}"
    return kept


def _undecided() -> OperatingPoint:
    return OperatingPoint(
        name="undecided", criterion="none yet", target=0, normal_below=0.5, blast_from=0.5, fitted_on="nobody"
    )


def references(prepared: Prepared, known: Readings) -> References:
    """A few of the cells fitted on, as many of each subject as come."""
    groups = prepared.data.groups[known.positions]
    cells = prepared.manifest.frame[known.positions[chosen_cells(groups)]]
    return References(
        choose_references(known.embedding, groups), cells.select("sha256", "subject_id", "label")
    )


def novelty(
    prepared: Prepared, known: Readings, unseen: Readings, *, fitted_on: str
) -> tuple[References, NoveltyLimit]:
    """References among the cells fitted on, and the limit that cells of unseen subjects keep."""
    kept = references(prepared, known)
    return kept, fit_limit(kept.embeddings, unseen.embedding, fitted_on=fitted_on)


def table_of(prepared: Prepared, readings: Readings, made: Draft) -> PredictionTable:
    """A prediction table of these cells, with what the metrics need.

    Args:
        prepared: the cells.
        readings: what the graph says of those that make rows.
        made: with its calibration, limits and references.
    """
    manifest, info = prepared.manifest, made.info
    rows = manifest.frame[readings.positions]
    calibrated = info.calibration.apply(readings.logits)
    p = blast_probability(calibrated, manifest.classes, manifest.positive_classes)
    decisions, reasons = decide(
        p,
        errors=[None] * len(p),
        flags=[text.split(",") for text in rows["quality"]],
        novelty=_novelty_of(readings, made),
        info=info,
    )
    frame = rows.select("cell_id", "subject_id", "label").with_columns(
        pl.Series("decision", decisions),
        pl.Series("reason", reasons, dtype=pl.String),
        pl.Series("blast_probability", p),
    )
    if info.ruler is not None:
        frame = frame.with_columns(pl.Series("ruler_probability", info.ruler.predict(rows)).fill_nan(None))
    keys = ("classes", "positive_classes", "leaky", "synthetic")
    metadata = {key: manifest.metadata[key] for key in keys if key in manifest.metadata}
    return PredictionTable(frame, metadata)


def _novelty_of(readings: Readings, made: Draft) -> NDArray[np.float32]:
    if made.info.novelty is None or made.references is None:
        return np.full(len(readings.positions), np.nan, dtype=np.float32)
    known = Known(made.references.embeddings, made.info.novelty.k)
    return known.distance(readings.embedding)
