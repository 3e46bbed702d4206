"""The model card: what somebody must know before using the model, written from ``bundle.json`` alone."""

from __future__ import annotations

from collections.abc import Iterator

from leukoscope.bundle.format import FITTING_ROLES, BundleInfo, Metric
from leukoscope.core.config import write_yaml
from leukoscope.core.provenance import RESEARCH_USE_ONLY

SYNTHETIC = "SYNTHETIC: trained on drawn cells. It knows nothing about real ones."
LEAKY = (
    "LEAKY: subjects may be on both sides of the split it was fitted with, or they are unknown. "
    "No figure below says how it does on people it has not seen."
)


def card(info: BundleInfo) -> str:
    """The card as Markdown."""
    sections = (_head, _use, _data, _metrics, _decisions, _limits, _making)
    return "\n\n".join(paragraph for section in sections for paragraph in section(info)) + "\n"


def _head(info: BundleInfo) -> Iterator[str]:
    yield f"# {info.name}"
    yield f"**{RESEARCH_USE_ONLY}**"
    if info.training_data.synthetic:
        yield f"**{SYNTHETIC}**"
    if info.training_data.leaky:
        yield f"**{LEAKY}**"


def _use(info: BundleInfo) -> Iterator[str]:
    window, scale = info.preprocess, info.preprocess.micrometres_per_pixel
    assumed = f"{scale:g} micrometres per pixel" if scale else "the scale of its training images"
    yield "## Intended use"
    yield (
        "Sorting images of single white blood cells by how much they look like leukaemic blasts, for "
        "research and teaching, with a person looking at the result. Not intended: diagnosis, screening, "
        "monitoring, or any decision about a patient."
    )
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
    first = next(iter(info.metrics.values()))
    over = f": {first.num_cells:,} cells of {first.num_subjects} subjects" if first.num_cells else ""
    yield (
        f"On {info.metrics_on or 'cells that this bundle does not name'}{over}. Intervals resample "
        f"{first.unit}s. Read the figures beside those of the size-only ruler: a model that does no better "
        "has learned the size of the cells."
    )
    yield _table(
        ("metric", "estimate and interval"), [(name, _reading(m)) for name, m in info.metrics.items()]
    )


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
        f"Probabilities are calibrated by {calibration.method} {calibration.temperature:.3f}, fitted on "
        f"{calibration.subjects or 'cells that this bundle does not name'}. Below `normal below` a cell is "
        "`normal`, from `blast from` on it is `blast`, between them `indeterminate`. The first row decides."
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
            f"An image farther than {novelty.distance:.4f} (cosine distance of embeddings) from its nearest "
            f"but {novelty.k - 1} of the training references is `indeterminate`: novel."
        )


def _limits(_info: BundleInfo) -> Iterator[str]:
    yield "## What it does not know"
    yield "\n".join(
        [
            "* Other stains, scanners, magnifications and laboratories than those of its data, and people "
            "unlike its subjects.",
            "* Cell types outside its classes: it gives every white cell, red cell or speck of dirt a "
            "probability.",
            "* Whether a person has leukaemia. The share of cells called blast is not a blast count.",
            "* Size is a shortcut in this kind of data: healthy people with large cells are where to look "
            "for errors.",
        ]
    )


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
