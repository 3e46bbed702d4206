"""The model card: what somebody must know before using the model, written from ``bundle.json`` alone."""

from __future__ import annotations

from leukoscope.bundle.format import FITTING_ROLES, BundleInfo, Metric
from leukoscope.core.provenance import RESEARCH_USE_ONLY


def card(info: BundleInfo) -> str:
    """The card as Markdown."""
    parts = [
        _head(info),
        _use(info),
        _data(info),
        _metrics(info),
        _decisions(info),
        _limits(info),
        _making(info),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(info: BundleInfo) -> str:
    lines = [f"# {info.name}", f"**{RESEARCH_USE_ONLY}**"]
    if info.training_data.synthetic:
        lines.append("**SYNTHETIC: trained on drawn cells. It knows nothing about real ones.**")
    if info.training_data.leaky:
        lines.append(
            "**LEAKY: subjects may be on both sides of the split it was fitted with, or they are unknown. "
            "No figure below says how it does on people it has not seen.**"
        )
    return "\n\n".join(lines)


def _use(info: BundleInfo) -> str:
    positive = ", ".join(info.positive_classes)
    window = f"{info.preprocess.field} x {info.preprocess.field} pixels"
    scale = info.preprocess.micrometres_per_pixel
    assumed = (
        f"{scale:g} micrometres per pixel" if scale else "the scale of its training images (not published)"
    )
    return f"""## Intended use

Sorting images of single white blood cells by how much they look like leukaemic blasts, for research and
teaching, with a person looking at the result. One image is one cell; positive means: {positive}.
Classes: {", ".join(info.classes)}. Not intended: diagnosis, screening, monitoring, any decision about a
patient.

Input: RGB, any file format, one segmented cell on black where the training cells were; a window of {window}
around the cell, at {assumed}, reduced to {info.preprocess.size} x {info.preprocess.size}. Cells are not
rescaled to a common
size: an image at another magnification gives wrong answers."""


def _data(info: BundleInfo) -> str:
    data = info.training_data
    lines = ["## Data", f"Source: {data.name or 'not named'}."]
    lines.append("| role | class | cells | subjects |\n|---|---|---|---|")
    rows = [
        f"| {role} | {name} | {count.num_cells:,} | {count.num_subjects} |"
        for role, classes in data.counts.items()
        for name, count in classes.items()
    ]
    lines[-1] = (
        "\n".join([lines[-1], *rows]) if rows else "How many cells and subjects fitted it was not recorded."
    )
    lines.append(
        f"Split: {data.protocol or 'not named'}, by {data.unit}. "
        f"Roles that fitted anything: {', '.join(FITTING_ROLES)}."
    )
    if data.citation:
        lines.append(f"Citation: {data.citation}")
    if data.licence:
        lines.append(f"Licence of the data: {data.licence}")
    if info.privacy.hashed:
        lines.append("`subjects.parquet` keeps salted hashes of subjects and cells, not their names.")
    return "\n\n".join(lines)


def _metrics(info: BundleInfo) -> str:
    if not info.metrics:
        return "## How well it does\n\nNo figures were recorded in this bundle."
    rows = [f"| {name} | {_reading(metric)} |" for name, metric in info.metrics.items()]
    first = next(iter(info.metrics.values()))
    over = f", over {first.num_cells:,} cells of {first.num_subjects} subjects" if first.num_cells else ""
    where = info.metrics_on or "cells that this bundle does not name"
    table = "\n".join(["| metric | estimate and interval |", "|---|---|", *rows])
    return f"""## How well it does

On {where}{over}; intervals resample {first.unit}s. Read them beside the size-only ruler: a model that does
no better has learned the size of the cells.

{table}"""


def _reading(metric: Metric) -> str:
    if metric.estimate is None:
        return f"undefined: {metric.reason}" if metric.reason else "undefined"
    if metric.ci_low is None or metric.ci_high is None:
        return f"{metric.estimate:.3f}" + (f" ({metric.reason})" if metric.reason else "")
    level = f"{metric.confidence_level:.0%} " if metric.confidence_level else ""
    return f"{metric.estimate:.3f} ({level}{metric.ci_low:.3f} to {metric.ci_high:.3f})"


def _decisions(info: BundleInfo) -> str:
    rows = "\n".join(
        f"| {point.name} | {point.normal_below:.4f} | {point.blast_from:.4f} | {point.fitted_on} |"
        for point in info.operating_points
    )
    calibration = info.calibration
    novelty = (
        f"An image whose embedding is farther than {info.novelty.distance:.4f} (cosine) from its "
        f"{info.novelty.k}-th nearest training reference is `indeterminate: novel`."
        if info.novelty
        else "This bundle keeps no references: it cannot say that an image is unlike its training cells."
    )
    return f"""## Probabilities and decisions

Probabilities are calibrated by {calibration.method} {calibration.temperature:.3f}, fitted on
{calibration.subjects or "subjects that this bundle does not name"}. Below `normal below` a cell is
`normal`, from `blast from` on it is `blast`, between them `indeterminate`. The first row decides.

| operating point | normal below | blast from | fitted on |
|---|---|---|---|
{rows}

{novelty}"""


def _limits(info: BundleInfo) -> str:
    return """## What it does not know

* Other stains, scanners, magnifications and laboratories than those of its data; people unlike its subjects.
* Cell types outside its classes: it gives every white cell, red cell or dirt speck a probability.
* Whether a person has leukaemia. The share of cells called blast is not a blast count of a differential.
* Size is a shortcut in its kind of data: healthy people with large cells are where it errs most."""


def _making(info: BundleInfo) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in info.versions.items())
    arguments = ", ".join(f"{key}={value}" for key, value in info.architecture.arguments.items())
    lines = [
        "## How it was made",
        f"Architecture: `{info.architecture.name}({arguments})`.",
        f"Views of a cell that the logits are the mean of: {info.views}.",
        f"Written at {info.created_at}." + (f" Versions: {versions}." if versions else ""),
    ]
    if info.training_data.manifest_fingerprint:
        lines.append(f"Fingerprint of the split: `{info.training_data.manifest_fingerprint}`.")
    return "\n\n".join(lines)
