"""How far probabilities have moved: rows of a table, each with a probability before and after."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from smear.people import People

MOVED = 0.1


def people_of(rows: pl.DataFrame) -> People:
    """Whose cells these rows are (``subject_id``, ``label``)."""
    return People(rows["subject_id"].to_list(), (rows["label"] == "blast").fill_null(False).to_list())


def moves(rows: pl.DataFrame) -> dict[str, Any]:
    """Of ``probability_before`` and ``_after``, and of ``decision_before`` and ``_after``."""
    people, signed = people_of(rows), (rows["probability_after"] - rows["probability_before"]).to_numpy()
    distance = np.abs(signed)
    return {
        "num": rows.height,
        "num_subjects": rows["subject_id"].n_unique(),
        "kept": people.share(distance < MOVED),
        "median": people.quantile(distance, 0.5),
        "p90": people.quantile(distance, 0.9),
        "mean_signed": float(np.mean(signed)),
        "decisions_changed": people.share((rows["decision_after"] != rows["decision_before"]).to_numpy()),
    }


def moves_by_class(rows: pl.DataFrame) -> dict[str, Any]:
    """The same of all rows, and of each class."""
    classes = {label: moves(rows.filter(pl.col("label") == label)) for label in ("blast", "normal")}
    return moves(rows) | {"by_class": classes}


def shifts_of_people(rows: pl.DataFrame) -> dict[str, Any]:
    """Of each subject the share of cells called blast, before and after: how far it has moved."""
    called = (pl.col(f"decision_{when}") == "blast" for when in ("before", "after"))
    shares = rows.group_by("subject_id", "label").agg(
        *(one.mean().alias(name) for one, name in zip(called, ("before", "after"), strict=True)),
        pl.len().alias("num"),
    )
    enough = shares.filter(pl.col("num") >= MIN_CELLS)
    moved = (enough["after"] - enough["before"]).to_numpy()
    return {
        "num_subjects": enough.height,
        "min_cells": MIN_CELLS,
        "median": float(np.median(np.abs(moved))),
        "greatest": float(np.max(np.abs(moved))),
        "mean_signed": float(np.mean(moved)),
    }


MIN_CELLS = 20
