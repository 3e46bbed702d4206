"""What an evaluation finds, as typed rows; ``report.json`` is this document."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import Field, InstanceOf

from leukoscope.core.config import Config
from leukoscope.evaluation.benefit import AtPrevalence, DecisionCurve
from leukoscope.evaluation.bootstrap import CONFIDENCE, IntervalMethod
from leukoscope.evaluation.corruptions import CorruptionReading
from leukoscope.evaluation.curves import Curves
from leukoscope.evaluation.folds import FoldReading
from leukoscope.evaluation.guidelines import GuidelineRow
from leukoscope.evaluation.in_short import Statement
from leukoscope.evaluation.label_suspects import LabelSuspects
from leukoscope.evaluation.leak import Leak
from leukoscope.evaluation.metrics import confusion
from leukoscope.evaluation.model_facts import OperatingPointReading
from leukoscope.evaluation.paired import Difference
from leukoscope.evaluation.per_class import ClassRow
from leukoscope.evaluation.quantisation import Quantisation
from leukoscope.evaluation.readings import Judgement, Metric
from leukoscope.evaluation.reliability import CalibrationReading
from leukoscope.evaluation.selective import RiskCoverage
from leukoscope.evaluation.subgroups import Subgroup
from leukoscope.evaluation.subject_table import SubjectMeans, SubjectRow
from leukoscope.evaluation.table import PredictionTable
from leukoscope.evaluation.worst_cells import WorstCell

SCHEMA_VERSION = 1


class Baselines(Config):
    """What simpler means read on the same cells.

    Attributes:
        size: name -> reading of the ruler; ``None`` where there is none, for ``size_reason``.
        size_source: where the ruler's probabilities come from.
        size_reason: why there is no ruler.
    """

    size: dict[str, Metric] | None
    size_source: str | None = None
    size_reason: str | None = None


class ConfusionMatrix(Config):
    """Cells by label and call at the threshold."""

    true_blasts: int
    false_blasts: int
    false_normals: int
    true_normals: int

    @classmethod
    def of(cls, judgement: Judgement) -> Self:
        """Count the calls of a judgement."""
        counts = confusion(judgement.cells.y, judgement.p >= judgement.threshold)
        tp, fp, fn, tn = (int(value) for value in counts)
        return cls(true_blasts=tp, false_blasts=fp, false_normals=fn, true_normals=tn)


class Unreadable(Config):
    """A row that is in no metric."""

    cell_id: str
    path: str | None = None
    error: str | None = None


class Model(Config):
    """What made the predictions.

    Attributes:
        bundle_ids: that the rows name; several for pooled out-of-fold rows.
        name: of the bundle that was given to the evaluation.
        asked: its id.
        quantisation: what 8 bits cost, where that bundle is int8.
    """

    bundle_ids: tuple[str, ...] = ()
    name: str | None = None
    asked: str | None = None
    quantisation: Quantisation | None = None

    @property
    def is_another(self) -> bool:
        """Whether the rows say that another bundle wrote them than the one that was given."""
        return bool(self.asked and self.bundle_ids) and self.asked not in self.bundle_ids


class Report(Config):
    """The whole evaluation. ``metrics`` and the rest are the keys of ``report.json``.

    Attributes:
        stamps: what must be said first: ``LEAKY``, ``SYNTHETIC``, ``LEAK FOUND``, ``SUBJECTS UNKNOWN``.
        notes: what a reader should know, in sentences.
        num_rows: of the table; they are the judged cells, the unreadable, the unlabelled, those of other
            roles.
        model_minus_size: name -> difference to the ruler on the same cells, with the paired interval.
        size_matched, size_size_matched: model and ruler with both classes weighted to one distribution
            of sizes; ``None`` where the sizes are unknown.
        subgroups: the model on parts of the cells.
        folds: the model fold by fold; ``None`` where these are no pooled out-of-fold rows.
        label_suspects: cells whose label cross-validation contradicts; ``None`` where a person's cells do not
            lie in one fold each.
        calibration: whether probabilities mean what they say.
        predictive_values: where blasts are rarer or commoner than here.
        decision_curve: net benefit, beside the ruler on the cells of known size.
        risk_coverage: errors left where the least certain cells are not answered, beside the ruler on the
            cells of known size.
        decisions: decision -> judged rows, as the table says; the operating points are read from
            probabilities alone.
        leak: what the judged cells share with the training cells, or that this was not checked.
        unreadable: the first hundred of those rows.
        corruptions: how each metric falls with something wrong with the pictures, where that was asked for.
        in_short: what all this says, in sentences.
        guidelines: what reporting guidelines ask for, and what is known of it here.
        table: the predictions, not in ``report.json``.
        root: where the images are, not in ``report.json``.
    """

    schema_version: int = SCHEMA_VERSION
    research_use_only: str
    stamps: list[str]
    notes: list[str]
    class_names: list[str]
    positive_classes: list[str]
    num_rows: int
    num_cells: int
    num_blasts: int
    num_normals: int
    num_subjects: int | None
    num_unreadable: int
    num_unlabelled: int
    num_other_roles: int
    threshold: float
    confidence_level: float = CONFIDENCE
    num_draws: int
    seed: int
    interval: IntervalMethod
    metrics: dict[str, Metric]
    baselines: Baselines
    model_minus_size: dict[str, Difference] | None
    size_matched: dict[str, Metric] | None
    size_size_matched: dict[str, Metric] | None
    subgroups: list[Subgroup]
    folds: FoldReading | None
    operating_points: dict[str, OperatingPointReading]
    decisions: dict[str, int]
    calibration: CalibrationReading
    predictive_values: list[AtPrevalence]
    decision_curve: DecisionCurve | None
    risk_coverage: RiskCoverage | None
    confusion_matrix: ConfusionMatrix
    classes: list[ClassRow]
    subjects: list[SubjectRow]
    subject_means: SubjectMeans
    curves: Curves
    worst_cells: list[WorstCell]
    label_suspects: LabelSuspects | None
    unreadable: list[Unreadable]
    leak: Leak | str
    model: Model
    in_short: list[Statement] = Field(default_factory=list)
    guidelines: list[GuidelineRow] = Field(default_factory=list)
    provenance: dict[str, Any]
    corruptions: CorruptionReading | None = None
    table: InstanceOf[PredictionTable] = Field(exclude=True, repr=False)
    root: Path | None = Field(default=None, exclude=True, repr=False)

    def to_json(self) -> dict[str, Any]:
        """The content of ``report.json``: plain data without NaN."""
        return self.model_dump(mode="json")
