"""What a bundle and a table of predictions answer of the topics of :mod:`guidelines`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from leukoscope.evaluation.figure_texts import reading
from leukoscope.evaluation.model_facts import plain

if TYPE_CHECKING:
    from leukoscope.evaluation.results import Report

INTENDED_USE = (
    "Sorting images of single white blood cells by how much they look like leukaemic blasts, for "
    "research and teaching, with a person looking at the result. Not intended: diagnosis, screening, "
    "monitoring, or any decision about a patient."
)


def bundle_answers(info: Mapping[str, Any]) -> dict[str, str]:
    """Topic -> what ``bundle.json``, as plain data, says of it; nothing where that is empty."""
    if not info:
        return {}
    return _known(_of_the_training(info) | _of_the_model(info))


def _of_the_training(info: Mapping[str, Any]) -> dict[str, Any]:
    data = info.get("training_data") or {}
    counts, recipe = data.get("counts") or {}, info.get("recipe") or {}
    split = data.get("protocol") and f"{data['protocol']}, by {data['unit']}"
    disjoint = "LEAKY: people may be on both sides" if data.get("leaky") else f"By {data.get('unit')}"
    return {
        "Source of the data": _sentences(
            [
                data.get("name") and f"Trained on {data['name']}",
                data.get("citation"),
                data.get("licence") and f"Licence: {data['licence']}",
            ]
        ),
        "How cells were shared out to training and test": split and _sentences([split, *_roles(counts)]),
        "Level at which partitions are disjoint": split and f"{disjoint}.",
        "Where its weights started": (recipe.get("model") or {}).get("weights"),
        "Training, step by step": recipe and "The whole recipe is in the model card.",
        "How the final model was chosen": "validation" in counts
        and "By subjects of the role validation, who are in no test.",
        "Class imbalance": any((info.get("calibration") or {}).get("bias") or ())
        and "Training drew all classes alike; a bias restores their shares.",
    }


def _of_the_model(info: Mapping[str, Any]) -> dict[str, Any]:
    model, window = info.get("architecture"), info.get("preprocess")
    points = [plain(point) for point in info.get("operating_points") or ()]
    flags = ", ".join(info.get("forbidding_flags") or ())
    novel = ", and so is what is unlike the training cells" if info.get("novelty") else ""
    return {
        "Intended use and users": INTENDED_USE,
        "Preparation and quality of the input": window
        and f"A window of {window['field']} pixels around the cell, reduced to {window['size']}.",
        "Type of model, input and output": model
        and f"{model['name']}; one cell in, a probability of {', '.join(info['classes'])} out.",
        "Software and versions": _versions(info.get("versions") or {}),
        "Thresholds, and when they were fixed": _points(points),
        "Poor or missing input in use": flags and f"Images flagged {flags} are indeterminate{novel}.",
        "Availability of model and code": info.get("bundle_id") and f"Bundle {info['bundle_id']}.",
    }


def prediction_answers(report: Report) -> dict[str, str]:
    """Topic -> what the table says of it."""
    return _known(_of_the_cells(report) | _of_the_figures(report))


def _of_the_cells(report: Report) -> dict[str, Any]:
    calls, folds = report.confusion_matrix, report.folds
    people = "" if report.num_subjects is None else f" of {report.num_subjects:,} subjects"
    left_out = f"{report.num_unreadable:,} unreadable and {report.num_unlabelled:,} unlabelled"
    return {
        "Missing, unreadable and undecided cells": f"{left_out} rows are in no metric; "
        f"{report.decisions.get('indeterminate', 0):,} indeterminate cells are in all.",
        "How cells were shared out to training and test": folds
        and f"Cross-validated: out-of-fold rows of {len(folds.rows)} folds.",
        "Level at which partitions are disjoint": _disjoint(report),
        "Data unlike those of development": folds and "Internal: out-of-fold rows of one cohort.",
        "Software and versions": f"Judged with {_versions(report.provenance['versions'])}",
        "Flow of cells and people": f"{report.num_rows:,} rows: {report.num_cells:,} judged, {left_out}, "
        f"{report.num_other_roles:,} of other roles than test.",
        "Cells and people in the analysis": f"{report.num_blasts:,} blasts and "
        f"{report.num_normals:,} normal cells{people}.",
        "Calls against labels": f"{calls.true_blasts:,} blasts called blast, {calls.false_normals:,} called "
        f"normal; {calls.true_normals:,} normal cells called normal, {calls.false_blasts:,} called blast.",
        "Limitations": "At the top stands what these data cannot show; the authors' own words are needed.",
    }


def _of_the_figures(report: Report) -> dict[str, Any]:
    metrics, calibration, means = report.metrics, report.calibration, report.subject_means
    parts = ", ".join(dict.fromkeys(part.by for part in report.subgroups))
    beside = ", beside what size alone reads" if report.baselines.size else ""
    intervals = report.num_draws and report.num_subjects is not None
    return {
        "Thresholds, and when they were fixed": f"{report.threshold:g} for metrics, not fitted. "
        + _points(
            [{"name": name, "fitted_on": one.fitted_on} for name, one in report.operating_points.items()]
        ),
        "Measures of performance": f"Discrimination, calibration, predictive values, net benefit{beside}.",
        "Statistical uncertainty": intervals
        and f"{report.confidence_level:.0%} intervals from {report.num_draws:,} draws of subjects.",
        "Performance with intervals": f"AUROC {reading(metrics['auroc'])}; "
        f"sensitivity {reading(metrics['sensitivity'])}; specificity {reading(metrics['specificity'])}.",
        "Calibration": f"Slope {reading(calibration.slope)}; intercept {reading(calibration.intercept)}; "
        f"ECE {reading(metrics['ece'])}.",
        "Performance by subgroup, and fairness": parts
        and f"By {parts}. By age, sex or origin: not reported.",
        "Differences between people and folds": means.worst is not None
        and f"{len(report.subjects):,} people one by one; the worst has {means.worst:.3f} of cells right.",
        "Robustness and sensitivity analyses": report.size_matched
        and f"With sizes of cells set aside: AUROC {reading(report.size_matched['auroc'])}.",
        "Analysis of failures": report.worst_cells
        and f"The {len(report.worst_cells)} cells furthest on the wrong side are shown.",
    }


def _known(answers: Mapping[str, Any]) -> dict[str, str]:
    return {topic: str(answer).strip() for topic, answer in answers.items() if answer}


def _sentences(parts: Iterable[str | None]) -> str:
    return " ".join(f"{part.rstrip('.')}." for part in parts if part)


def _roles(counts: Mapping[str, Mapping[str, Any]]) -> Iterable[str]:
    for role, classes in counts.items():
        numbers = {name: plain(count) for name, count in classes.items()}
        yield f"{role}: " + ", ".join(
            f"{one['num_cells']:,} {name} cells of {one['num_subjects']:,} subjects"
            for name, one in numbers.items()
        )


def _points(points: Iterable[Mapping[str, Any]]) -> str:
    fitted = [f"{one['name']}, fitted on {one.get('fitted_on') or 'cells not named'}" for one in points]
    return _sentences(["; ".join(fitted)])


def _versions(versions: Mapping[str, str]) -> str:
    return _sentences([", ".join(f"{name} {version}" for name, version in versions.items())])


def _disjoint(report: Report) -> str | None:
    if "LEAKY" in report.stamps:
        return "LEAKY: cells were not kept apart by subject."
    if report.folds and report.num_subjects is not None:
        shared = report.folds.num_shared_subjects
        return (
            f"{shared:,} subjects lie in several folds." if shared else "By subject: nobody is in two folds."
        )
    if isinstance(report.leak, str):
        return None
    return f"{report.leak.summary[:1].upper()}{report.leak.summary[1:]}."
