"""Cells of other laboratories: what the starter calls them, and whether it notices that they are strange."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from leukoscope.cells.decode import decode
from leukoscope.cohort.open import open_cohort
from leukoscope.cohort.smears import SmearSettings
from leukoscope.evaluation.readings import Cells, Judgement
from leukoscope.inference.novelty import References
from leukoscope.inference.predictor import Predictor
from smear.moves import people_of
from smear.people import NUM_DRAWS, labelled
from smear.photographs import Photographs, answers

NORMALISATIONS = ("none", "reinhard", "macenko")


class Known(NamedTuple):
    """C-NMC's own cells: how novel each is (N,), and whose."""

    novelty: np.ndarray
    subjects: np.ndarray


def known_cells(source: Path, predictor: Predictor) -> Known:
    """How novel C-NMC's cells are beside the references of other people.

    The starter's network has learned from all of them; no more than the references can be left out.
    """
    cells = labelled(open_cohort(source))
    subjects = cells.frame["subject_id"].to_numpy()
    pictures = (decode(cells.images().read(path), name=path) for path in cells.frame["path"])
    return Known(beside_others(predictor, answers(predictor, pictures).embedding, subjects), subjects)


def beside_others(predictor: Predictor, embedding: np.ndarray, subjects: np.ndarray) -> np.ndarray:
    """The distance to the k-th nearest reference that is of another person."""
    bundle = predictor.bundle
    assert bundle.novelty is not None and bundle.references is not None and bundle.info.novelty is not None
    distances = References(bundle.novelty, bundle.info.novelty.k).distances(embedding)
    distances[subjects[:, None] == bundle.references["subject_id"].to_numpy()[None]] = np.inf
    place = bundle.info.novelty.k - 1
    return np.asarray(np.partition(distances, place, axis=1)[:, place])


def ways() -> dict[str, SmearSettings]:
    """Each way to treat colours, by its name."""
    return {
        f"{'flat field' if flat_field else 'as it is'}, {normalise}": SmearSettings(
            flat_field=flat_field, normalise=normalise
        )
        for flat_field in (False, True)
        for normalise in NORMALISATIONS
    }


def read(photographs: Photographs, settings: SmearSettings, predictor: Predictor) -> pl.DataFrame:
    """One row for each white cell: its photograph, why it is not shown to the model, what that says else."""
    facts, pictures = list[dict[str, Any]](), list[np.ndarray]()
    for name, found in zip(photographs.names, photographs.cells(settings), strict=True):
        for one in found:
            if one.cell.is_cell:
                facts.append({"subject_id": name, "label": None, "why": one.cell.why_not_judged})
                pictures += [one.image] if one.cell.why_not_judged is None else []
    rows = pl.DataFrame(facts, schema={"subject_id": pl.String, "label": pl.String, "why": pl.String})
    said = answers(predictor, iter(pictures)).rows.select(
        "blast_probability", "decision", "reason", "novelty"
    )
    judged = rows.filter(pl.col("why").is_null()).hstack(said)
    return pl.concat([judged, rows.filter(pl.col("why").is_not_null())], how="diagonal")


def summary(rows: pl.DataFrame, predictor: Predictor, known: Known) -> dict[str, Any]:
    """The figures of one collection, treated in one way."""
    judged = rows.filter(pl.col("why").is_null())
    people, info = people_of(judged), predictor.bundle.info
    assert info.novelty is not None
    probability, novelty = (judged[name].to_numpy() for name in ("blast_probability", "novelty"))
    return {
        "num_photographs": rows["subject_id"].n_unique(),
        "num_cells": rows.height,
        "not_judged": dict(Counter(rows["why"].drop_nulls().to_list()).most_common()),
        "num_judged": judged.height,
        "median_probability": people.median(probability),
        "above_threshold": people.share(info.operating_points[0].decide(probability) == "blast"),
        "called": {
            call: people.share((judged["decision"] == call).to_numpy()) for call in ("blast", "normal")
        },
        "indeterminate": dict(Counter(judged["reason"].drop_nulls().to_list()).most_common()),
        "beyond_limit": people.share(novelty > info.novelty.distance),
        "novelty_auroc": auroc(novelty, judged["subject_id"].to_numpy(), known),
    }


def auroc(novelty: np.ndarray, photographs: Sequence[str] | np.ndarray, known: Known) -> dict[str, Any]:
    """Of novelty, these cells against C-NMC's; people and photographs are drawn."""
    strange = np.repeat([True, False], [len(novelty), len(known.novelty)])
    whose = np.concatenate([[f"photograph {name}" for name in photographs], known.subjects]).astype(np.str_)
    values = np.concatenate([novelty, known.novelty]).astype(np.float64)
    found = Judgement(Cells(strange, whose, NUM_DRAWS, 0), np.clip(values / values.max(), 0, 1), 0.5)
    metric = found.metrics["auroc"]
    return {key: getattr(metric, key) for key in ("estimate", "ci_low", "ci_high")}


def strangers(source: Path, collections: dict[str, Photographs]) -> dict[str, Any]:
    """Every collection, treated in every way."""
    predictor = Predictor("starter")
    known = known_cells(source, predictor)
    limit = predictor.bundle.info.novelty
    assert limit is not None
    return {
        "bundle_id": predictor.bundle.bundle_id,
        "known": {
            "num_cells": len(known.novelty),
            "beyond_limit": float((known.novelty > limit.distance).mean()),
        },
        "collections": {
            name: {
                way: summary(read(photographs, settings, predictor), predictor, known)
                for way, settings in ways().items()
            }
            for name, photographs in collections.items()
        },
    }
