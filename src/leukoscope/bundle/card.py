"""The model card: what somebody must know before using the model, written from ``bundle.json`` alone."""

from __future__ import annotations

from collections.abc import Iterator

from leukoscope.bundle.format import FITTING_ROLES, BundleInfo
from leukoscope.core.config import write_yaml
from leukoscope.core.provenance import RESEARCH_USE_ONLY
from leukoscope.evaluation.calibration import Calibration
from leukoscope.evaluation.guideline_answers import INTENDED_USE, bundle_answers
from leukoscope.evaluation.guidelines import NO_CERTIFICATE, crosswalk
from leukoscope.evaluation.paired import Difference
from leukoscope.evaluation.partitions import Evidence
from leukoscope.evaluation.people import PeopleSummary, summarise_people
from leukoscope.evaluation.quantisation import judged_words, rows_for_people
from leukoscope.evaluation.readings import Metric
from leukoscope.evaluation.subject_table import MIN_CELLS

SYNTHETIC = "SYNTHETIC: trained on drawn cells. It knows nothing about real ones."
NUM_HARDEST = 8
DEMONSTRATION = "DEMONSTRATION MODEL: for trying the software. Train one on cells of your own to work with."
LEAKY = (
    "LEAKY: subjects may be on both sides of the split it was fitted with, or they are unknown. "
    "No figure below says how it does on people it has not seen."
)


def card(info: BundleInfo) -> str:
    """The card as Markdown."""
    sections = (
        _head,
        _use,
        _data,
        _metrics,
        _readings,
        _quantisation,
        _decisions,
        _limits,
        _guidelines,
        _making,
    )
    return "\n\n".join(paragraph for section in sections for paragraph in section(info)) + "\n"


def _head(info: BundleInfo) -> Iterator[str]:
    yield f"# {info.name}"
    yield f"**{RESEARCH_USE_ONLY}**"
    if info.demonstration:
        yield f"**{DEMONSTRATION}**"
    if info.training_data.synthetic:
        yield f"**{SYNTHETIC}**"
    if info.training_data.leaky:
        yield f"**{LEAKY}**"


def _use(info: BundleInfo) -> Iterator[str]:
    window, scale = info.preprocess, info.micrometres_per_pixel
    assumed = f"{scale:g} micrometres per pixel" if scale else "the scale of its training images"
    if info.assumed_scale and not window.micrometres_per_pixel:
        assumed += f" ({info.assumed_scale.source})"
    yield "## Intended use"
    yield INTENDED_USE
    yield (
        f"One image is one cell. Classes: {', '.join(info.classes)}; counted as blast: "
        f"{', '.join(info.positive_classes)}."
    )
    yield (
        f"Input: a window of {window.field} x {window.field} pixels around the cell, at {assumed}, reduced "
        f"to {window.size} x {window.size}. Cells are not rescaled to a common size: an image at another "
        "magnification gives wrong answers."
    )


def _data(info: BundleInfo) -> Iterator[str]:
    data = info.training_data
    yield "## Data"
    yield f"Source: {data.name or 'not named'}. Split: {data.protocol or 'not named'}, by {data.unit}."
    if data.counts:
        yield _table(
            ("role", "class", "cells", "subjects"),
            [
                (role, name, f"{count.num_cells:,}", str(count.num_subjects))
                for role, classes in data.counts.items()
                for name, count in classes.items()
            ],
        )
    yield f"Fitted with: {', '.join(FITTING_ROLES)}. Test subjects fitted nothing."
    if data.citation:
        yield f"Citation: {data.citation}."
    if data.licence:
        yield f"Licence of the data: {data.licence}."
    if info.privacy.hashed:
        yield "`subjects.parquet` keeps salted hashes of subjects and cells, not their names."


def _metrics(info: BundleInfo) -> Iterator[str]:
    yield "## How well it does"
    if not info.metrics:
        yield "No figures were recorded in this bundle."
        return
    first, beside = next(iter(info.metrics.values())), info.evidence
    over = f": {first.num_cells:,} cells of {first.num_subjects} subjects" if first.num_cells else ""
    several = (
        f" Every figure is the mean over {beside.num_partitions} partitions of these people into folds."
        if beside and beside.num_partitions > 1
        else ""
    )
    yield (
        f"On {info.metrics_on or 'cells that this bundle does not name'}{over}.{several} Intervals resample "
        f"{first.unit}s. Read the figures beside those of the size-only ruler: a model that does no better "
        "has learned the size of the cells."
    )
    ruler = beside.size if beside else None
    yield _table(
        ("metric", "32 bits" if info.quantisation else "this model", *(("ruler",) if ruler else ())),
        [
            (name, _reading(metric), *((_reading(ruler[name]),) if ruler else ()))
            for name, metric in info.metrics.items()
        ],
    )
    if beside:
        yield from _beside(beside)


def _beside(evidence: Evidence) -> Iterator[str]:
    if evidence.num_partitions > 1:
        spread = {
            name: "; ".join(
                "undefined" if value is None else f"{value:.3f}" for value in evidence.estimates[name]
            )
            for name in ("auroc", "weighted_f1")
        }
        yield f"In each partition: AUROC {spread['auroc']}. Weighted F1 {spread['weighted_f1']}."
    if evidence.minus_size:
        yield (
            "This model minus the ruler, on the same cells and draws of subjects: "
            + ", ".join(f"{name} {_difference(found)}" for name, found in evidence.minus_size.items())
            + "."
        )
    if evidence.size_matched:
        ruler = evidence.size_size_matched
        yield (
            "With the cells weighted so that both classes have one distribution of sizes: "
            + ", ".join(f"{name} {_reading(metric)}" for name, metric in evidence.size_matched.items())
            + (f". The ruler: auroc {_reading(ruler['auroc'])}." if ruler else ".")
        )
    if evidence.without:
        yield _table(
            ("without the cells of", "auroc", "weighted_f1"),
            [
                (name, _reading(left["auroc"]), _reading(left["weighted_f1"]))
                for name, left in evidence.without.items()
            ],
        )
    yield from _people(evidence)


def _people(evidence: Evidence) -> Iterator[str]:
    means, enough = evidence.subject_means, evidence.subject_means.min_cells
    known = [row for row in evidence.subjects if row.num_cells >= enough]
    if not known:
        return
    yield "### Person by person"
    said = [
        (f"mean of {means.num_blast_subjects} blast people", means.blast, means.blast_ci),
        (f"mean of {means.num_normal_subjects} normal people", means.normal, means.normal_ci),
        ("worst", means.worst, means.worst_ci),
    ]
    yield (
        f"Share of a person's cells called what they are, people with at least {enough} cells: "
        + ", ".join(f"{words} {value:.3f}{_between(ci)}" for words, value, ci in said if value is not None)
        + ". The interval of the worst takes the person's cells as independent."
    )
    hardest = sorted(known, key=lambda row: row.accuracy)[:NUM_HARDEST]
    yield "Where it fails, the people it reads worst:"
    yield _table(
        ("person", "label", "cells", "called right", "called blast"),
        [
            (
                row.subject_id,
                row.label,
                str(row.num_cells),
                f"{row.accuracy:.2f}",
                f"{row.blast_fraction:.2f}",
            )
            for row in hardest
        ],
    )


def _readings(info: BundleInfo) -> Iterator[str]:
    if not info.reference_readings:
        return
    found = {
        point.name: summarise_people(info.reference_readings[point.name], info.positive_classes)
        for point in info.operating_points
        if point.name in info.reference_readings
    }
    yield "## What people read at the operating points"
    yield (
        f"Share of a person's judged cells called blast, people with at least {MIN_CELLS} judged cells; "
        "indeterminate cells are in no share. They are the people that the figures above are of; whom the "
        "thresholds were fitted on stands below. Not a blast count."
    )
    yield _table(
        ("operating point", "people", "number", "median", "lowest", "highest", "with fewer cells"),
        [
            (name, {"normal": "healthy", "blast": "leukaemic"}[kind.kind], *_people_cells(kind))
            for name, kinds in found.items()
            for kind in kinds
        ],
    )


def _people_cells(kind: PeopleSummary) -> tuple[str, ...]:
    shares = ("–" if value is None else f"{value:.3f}" for value in (kind.median, kind.lowest, kind.highest))
    return str(kind.num_people), *shares, str(kind.num_left_out)


def _quantisation(info: BundleInfo) -> Iterator[str]:
    found = info.quantisation
    if found is None:
        return
    yield "## What 8 bits cost"
    yield (
        f"The graph was quantised by NNCF {found.versions.get('nncf', '')} ({found.way_words}) from bundle "
        f"`{found.of_bundle}`, of which the figures above are. {judged_words(found)}."
    )
    yield _table(("int8 in place of 32 bits", "measured"), list(rows_for_people(found)))
    yield (
        "Measured with ONNX Runtime. Programs round 8-bit sums differently, so that probabilities of one "
        "cell differ a little between ONNX Runtime and OpenVINO, and between processors."
    )


def _difference(found: Difference) -> str:
    if found.difference is None or found.ci_low is None or found.ci_high is None:
        return f"unknown ({found.reason})"
    return f"{found.difference:+.3f}{_between((found.ci_low, found.ci_high), '+.3f')}"


def _between(ends: tuple[float, float] | None, form: str = ".3f") -> str:
    return "" if ends is None else f" ({ends[0]:{form}} to {ends[1]:{form}})"


def _reading(metric: Metric) -> str:
    why = f" ({metric.reason})" if metric.reason else ""
    if metric.estimate is None:
        return f"undefined{why}"
    if metric.ci_low is None or metric.ci_high is None:
        return f"{metric.estimate:.3f}, no interval{why}"
    level = f"{metric.confidence_level:.0%} " if metric.confidence_level else ""
    return f"{metric.estimate:.3f} ({level}{metric.ci_low:.3f} to {metric.ci_high:.3f})"


def _decisions(info: BundleInfo) -> Iterator[str]:
    calibration, novelty = info.calibration, info.novelty
    yield "## Probabilities and decisions"
    yield (
        f"Probabilities are calibrated by {_method(calibration)}, fitted on "
        f"{calibration.subjects or 'cells that this bundle does not name'}."
        f"{_bias(info)}{_chosen(calibration)} Below `normal below` a cell is `normal`, from `blast from` on "
        "it is `blast`, between them `indeterminate`. The first row decides."
    )
    yield _table(
        ("operating point", "normal below", "blast from", "fitted on"),
        [
            (point.name, f"{point.normal_below:.4f}", f"{point.blast_from:.4f}", point.fitted_on)
            for point in info.operating_points
        ],
    )
    yield f"Always `indeterminate`: images flagged {', '.join(info.forbidding_flags) or 'nothing'}."
    if novelty is None:
        yield "This bundle keeps no references: it cannot say that an image is unlike its training cells."
    else:
        yield (
            f"An image farther than {novelty.distance:.4f} (root mean square over the features) "
            f"from its nearest but {novelty.k - 1} of the training references is `indeterminate`: novel."
        )


def _method(calibration: Calibration) -> str:
    if calibration.method == "temperature":
        return f"temperature {calibration.temperature:.3f}"
    if calibration.method == "platt":
        return f"Platt scaling (slope {1 / calibration.temperature:.3f}, offset {calibration.bias[-1]:+.3f})"
    if calibration.beta is not None:
        a, b, c = calibration.beta
        return f"beta calibration (a {a:.3f}, b {b:.3f}, c {c:+.3f})"
    return f"isotonic regression ({len(calibration.knots)} knots)"


def _chosen(calibration: Calibration) -> str:
    if not calibration.cross_validated:
        return ""
    losses = ", ".join(f"{name} {loss:.4f}" for name, loss in calibration.cross_validated.items())
    return (
        f" It was chosen by its log loss on calibration subjects left out: {losses}; temperature scaling "
        "stays where no other is better by more than a standard error over subjects."
    )


def _bias(info: BundleInfo) -> str:
    bias = info.calibration.bias
    if info.calibration.method != "temperature" or not any(bias):
        return ""
    shares = ", ".join(f"{name} {value:+.3f}" for name, value in zip(info.classes, bias, strict=True))
    return (
        f" Training drew all classes alike; the bias ({shares}) restores their shares among those cells, so "
        "that a probability holds where the classes are as common as there."
    )


def _limits(_info: BundleInfo) -> Iterator[str]:
    yield "## What it does not know"
    yield "\n".join(
        [
            "* Other stains, scanners, magnifications and laboratories than those of its data, and people "
            "unlike its subjects.",
            "* Whether its thresholds hold on pictures that are darker, larger, stained otherwise or saved "
            "as JPEG: fix them on such cells.",
            "* That a picture lacks texture: a strongly blurred cell, or an outline filled with one colour, "
            "may be answered as if it were a cell.",
            "* Cell types outside its classes: it gives every white cell, red cell or speck of dirt a "
            "probability.",
            "* Whether a person has leukaemia. The share of cells called blast is not a blast count.",
            "* Size is a shortcut in this kind of data: healthy people with large cells are where to look "
            "for errors.",
        ]
    )


def _guidelines(info: BundleInfo) -> Iterator[str]:
    rows = crosswalk(bundle=bundle_answers(info.model_dump()))
    yield "## What guidelines ask for"
    yield f"{NO_CERTIFICATE} What only an evaluation can answer is in its report."
    yield _table(
        ("topic", "TRIPOD+AI", "CLAIM 2024", "STARD-AI", "this bundle"),
        [
            (row.topic, row.tripod_ai or "–", row.claim or "–", row.stard_ai or "–", row.bundle)
            for row in rows
            if row.bundle is not None
        ],
    )
    left = [row.topic for row in rows if row.bundle is None]
    yield f"Not reported here: {'; '.join(left)}."


def _making(info: BundleInfo) -> Iterator[str]:
    arguments = ", ".join(f"{key}={value}" for key, value in info.architecture.arguments.items())
    versions = ", ".join(f"{name} {version}" for name, version in info.versions.items())
    yield "## How it was made"
    yield f"Architecture: `{info.architecture.name}({arguments})`. Views of a cell: {info.views}."
    yield f"Written at {info.created_at}." + (f" Versions: {versions}." if versions else "")
    if info.training_data.manifest_fingerprint:
        yield f"Fingerprint of the split: `{info.training_data.manifest_fingerprint}`."
    if info.recipe:
        yield f"Recipe:\n\n```yaml\n{write_yaml(info.recipe)}```"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines)
