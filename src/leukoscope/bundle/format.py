"""What ``bundle.json`` holds: everything a model needs to be used, judged and traced, typed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any, Self

import polars as pl
from pydantic import ConfigDict, Field, field_validator, model_validator

from leukoscope.cells.preprocess import Preprocess
from leukoscope.cells.quality import QualityLimits
from leukoscope.cells.scale import CNMC_MICROMETRES_PER_PIXEL, CNMC_SCALE_SOURCE
from leukoscope.cohort.manifest import Manifest
from leukoscope.core.config import Config
from leukoscope.evaluation.calibration import Calibration
from leukoscope.evaluation.operating_points import OperatingPoint
from leukoscope.evaluation.partitions import Evidence
from leukoscope.evaluation.people import PersonReading
from leukoscope.evaluation.quantisation import Quantisation
from leukoscope.evaluation.readings import Metric
from leukoscope.evaluation.ruler import Ruler
from leukoscope.evaluation.sizes import MedianSize

SCHEMA_VERSION = 2
"""The newest that is read. A bundle of 32 bits is written as schema 1; schema 2 adds ``quantisation``,
without which nobody should read an int8 graph."""

INFO = "bundle.json"
MODEL = "model.onnx"
MODEL_DATA = "model.onnx.data"
SUBJECTS = "subjects.parquet"
NOVELTY = "novelty.npz"
REFERENCES = "references.parquet"
WEIGHTS = "weights.safetensors"
CARD = "CARD.md"

FITTING_ROLES = ("train", "validation", "calibration")
"""Roles of cells that fitted anything: weights; stopping and choosing; temperature and operating points."""

NOTHING_TO_JUDGE = ("blank", "none", "not-segmented")
"""Quality flags of an image in which a model of segmented cells has nothing to judge."""

COMMON_SHARE = 0.05


class Architecture(Config):
    """Which network, as ``leukoscope.models.create_model(name, **arguments)`` builds it."""

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)


class Count(Config):
    """How many cells of how many subjects."""

    num_cells: int
    num_subjects: int


class TrainingData(Config):
    """What the model was fitted on.

    Attributes:
        name: the source's name, such as ``"C-NMC 2019"``.
        manifest_fingerprint: :meth:`Manifest.fingerprint` of the split that was used.
        counts: role -> class -> count; roles as in the ``split`` column of that split.
        protocol: how the split was made, ``"official"`` and so on.
        unit: ``"subject"``, or ``"image"`` for a leaky split.
        leaky: one subject may be on both sides, or subjects are unknown; no figure of this model says how it
            does on new people.
        synthetic: the cells were drawn, not photographed.
    """

    name: str = ""
    manifest_fingerprint: str = ""
    counts: dict[str, dict[str, Count]] = Field(default_factory=dict)
    protocol: str = ""
    unit: str = "subject"
    leaky: bool = False
    synthetic: bool = False
    licence: str = ""
    citation: str = ""

    @classmethod
    def of(cls, split: Manifest) -> Self:
        """The description of a split, counted from its rows."""
        metadata = split.metadata
        return cls(
            name=metadata.get("source_name", ""),
            manifest_fingerprint=split.fingerprint(),
            counts=_counts(split.frame),
            protocol=metadata.get("protocol", ""),
            unit=metadata.get("unit", "subject"),
            leaky=split.is_leaky,
            synthetic=split.is_synthetic,
            licence=metadata.get("licence", ""),
            citation=metadata.get("citation", ""),
        )


def _counts(frame: pl.DataFrame) -> dict[str, dict[str, Count]]:
    label = pl.col("label").fill_null("unlabelled")
    size = [pl.len().alias("cells"), pl.col("subject_id").drop_nulls().n_unique().alias("subjects")]
    counts: dict[str, dict[str, Count]] = {}
    grouped = frame.with_columns(label).group_by("split", "label").agg(size).sort("split", "label")
    for role, name, cells, subjects in grouped.iter_rows():
        counts.setdefault(role, {})[name] = Count(num_cells=cells, num_subjects=subjects)
    return counts


class NoveltyLimit(Config):
    """When a cell is unlike everything seen in training.

    Attributes:
        distance: root mean square difference of an embedding's features from those of its ``k``-th nearest
            reference; beyond it, novel.
        k: which neighbour counts, from 1.
        fitted_on: whose cells the limit was set on.
    """

    distance: float = Field(gt=0)
    k: int = Field(default=5, ge=1)
    fitted_on: str = ""


class AssumedScale(Config):
    """The scale of the training cells, where it is not known but assumed.

    Attributes:
        micrometres_per_pixel: what is assumed.
        source: from where.
    """

    micrometres_per_pixel: float = Field(gt=0)
    source: str

    @classmethod
    def of(cls, split: Manifest) -> Self | None:
        """Of the cells of a split; ``None`` where nothing is assumed of them."""
        if split.metadata.get("layout") != "cnmc2019":
            return None
        return cls(micrometres_per_pixel=CNMC_MICROMETRES_PER_PIXEL, source=CNMC_SCALE_SOURCE)


class Privacy(Config):
    """How ``subjects.parquet`` names people: in the clear, or as hashes with a ``salt`` (hexadecimal)."""

    hashed: bool = False
    salt: str = ""


class BundleInfo(Config):
    """The content of ``bundle.json``.

    Attributes:
        classes: the K class names in the order of the logits.
        positive_classes: those that count as blast, in any order.
        preprocess: how an image becomes the model's input; also the field and the scale that are assumed.
        views: 1, or 8 for the mean of the logits over the eight dihedral views.
        calibration: from logits to probabilities.
        operating_points: frozen thresholds; the first one decides.
        quality_limits: numbers behind the quality flags.
        forbidding_flags: flags that make a decision ``indeterminate``; see :func:`forbidding_flags`.
        novelty: limit for "have I seen anything like this?", ``None`` where no references were kept.
        ruler: the size-only baseline of the same training subjects, ``None`` where sizes are unknown.
        metrics: name -> reading, on the cells that ``metrics_on`` names.
        evidence: what stands beside them, on the same cells; a private bundle names no subject there.
        reference_readings: operating point -> what people of the evaluation read at it, each without a name;
            ``None`` where nobody was read, and ``bundle.json`` then does not have the key.
        median_sizes: class -> how large its training cells are in the middle; ``None`` where that was not
            measured, and ``bundle.json`` then does not have the key.
        assumed_scale: of the training cells, where nobody knows it; ``None`` where it is known or nothing is
            assumed, and ``bundle.json`` then does not have the key.
        demonstration: it is there for trying the software.
        recipe: the whole configuration of the training.
        versions: of Python and the packages that shaped the model.
        quantisation: how the graph became int8 and what that cost; ``None`` for a graph of 32 bits, whose
            ``bundle.json`` does not have the key. Its ``metrics`` and ``evidence`` are the 32-bit graph's.
        files: name -> SHA-256 of every other file of the bundle; filled in by ``write_bundle``.
    """

    model_config = ConfigDict(ser_json_inf_nan="constants")  # so that writing finds them, and refuses

    schema_version: int = 1
    name: str
    created_at: str
    architecture: Architecture
    classes: tuple[str, ...] = Field(min_length=2)
    positive_classes: tuple[str, ...] = Field(min_length=1)
    preprocess: Preprocess
    views: int = 1
    calibration: Calibration
    operating_points: tuple[OperatingPoint, ...] = Field(min_length=1)
    quality_limits: QualityLimits = QualityLimits()
    forbidding_flags: tuple[str, ...] = NOTHING_TO_JUDGE
    novelty: NoveltyLimit | None = None
    ruler: Ruler | None = None
    training_data: TrainingData = TrainingData()
    metrics: dict[str, Metric] = Field(default_factory=dict)
    metrics_on: str = ""
    evidence: Evidence | None = None
    reference_readings: dict[str, tuple[PersonReading, ...]] | None = None
    median_sizes: dict[str, MedianSize] | None = None
    assumed_scale: AssumedScale | None = None
    demonstration: bool = False
    recipe: dict[str, Any] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    privacy: Privacy = Privacy()
    quantisation: Quantisation | None = None
    files: dict[str, str] = Field(default_factory=dict)

    @property
    def limits(self) -> QualityLimits:
        """The quality limits, with the field that this model sees."""
        return self.quality_limits.model_copy(update={"field": self.preprocess.field})

    @property
    def micrometres_per_pixel(self) -> float | None:
        """Of the cells that this model is for: known, else assumed, else ``None``."""
        known, assumed = self.preprocess.micrometres_per_pixel, self.assumed_scale
        return known or (assumed.micrometres_per_pixel if assumed else None)

    @field_validator("views")
    @classmethod
    def _one_or_eight(cls, views: int) -> int:
        if views not in (1, 8):
            raise ValueError("must be 1 or 8")
        return views

    @field_validator("files")
    @classmethod
    def _plain_names(cls, files: dict[str, str]) -> dict[str, str]:
        for name in files:
            if name in ("", ".", "..", INFO) or PurePosixPath(name).name != name or "\\" in name:
                raise ValueError(f"names '{name}', which is no plain file name")
        return files

    @model_validator(mode="after")
    def _classes_agree(self) -> Self:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("names a class twice")
        unknown = sorted(set(self.positive_classes) - set(self.classes))
        if unknown or set(self.positive_classes) == set(self.classes):
            raise ValueError(
                f"positive_classes {unknown or self.classes} must be some, not all, of the classes"
            )
        return self

    @model_validator(mode="after")
    def _read_at_known_points(self) -> Self:
        unknown = sorted(set(self.reference_readings or ()) - {point.name for point in self.operating_points})
        if unknown:
            raise ValueError(f"reference_readings name '{unknown[0]}', which is no operating point")
        return self


def fitting_cells(split: Manifest) -> pl.DataFrame:
    """Every cell that fitted anything, for ``subjects.parquet``: ``subject_id, sha256, role``."""
    used = split.frame.filter(pl.col("split").is_in(FITTING_ROLES))
    return used.select("subject_id", "sha256", pl.col("split").alias("role"))


def forbidding_flags(quality: pl.Series) -> tuple[str, ...]:
    """The flags that forbid an answer of a model trained on cells of this quality.

    A flag that more than 5 % of the training cells carry does not: a model trained on cells that are not
    segmented may judge such cells.

    Args:
        quality: the manifest's column of the cells it was trained on.

    >>> forbidding_flags(pl.Series(["not-segmented", "not-segmented,blurred"]))
    ('blank', 'none')
    """
    carried = quality.str.split(",")
    shares = {flag: carried.list.contains(flag).mean() for flag in NOTHING_TO_JUDGE}
    return tuple(
        flag for flag, share in shares.items() if not isinstance(share, float) or share <= COMMON_SHARE
    )


def required_files(names: Sequence[str]) -> list[str]:
    """Those files without which a bundle is none and that ``names`` lacks."""
    return [name for name in (MODEL, SUBJECTS, CARD) if name not in names]
