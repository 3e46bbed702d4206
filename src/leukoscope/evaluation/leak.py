"""Was anybody who is judged here also there when the model was fitted?"""

from __future__ import annotations

import hashlib

import polars as pl
from pydantic import Field

from leukoscope.cohort.manifest import Manifest
from leukoscope.core.config import Config
from leukoscope.errors import TableError

NOT_CHECKED = "overlap with training not checked"
NEAR_NOT_CHECKED = "near copies not looked for"
FITTING = ("train", "validation", "calibration")
"""Roles of cells that fitted anything."""

FITTED = {
    "train": "its weights",
    "validation": "its choice of epoch",
    "calibration": "its temperature and thresholds",
}
MOST_NAMED = 50
_KEYS = ("subject_id", "duplicate_group", "sha256")


class NearPair(Config):
    """A judged cell and a cell that fitted the model which show the same; ``similarity`` is at most 1."""

    cell_id: str
    fitted_cell_id: str
    subject_id: str | None
    fitted_subject_id: str | None
    similarity: float


class Leak(Config):
    """What the judged cells share with the cells that fitted the model.

    Attributes:
        summary: the finding in one sentence.
        found: is there any overlap?
        subjects: judged subjects that fitted something; at most 50 are named.
        related_subjects: judged subjects that did not, but whose duplicate group did; at most 50 are named.
        num_subjects, num_related_subjects: how many they are.
        num_by_role: of the subjects that fitted something, how many had each role; ``validation`` chose the
            epoch, ``calibration`` temperature and thresholds.
        num_cells: judged cells of those subjects.
        num_copies: judged cells whose very file, by SHA-256, fitted something.
        num_near_copies: judged cells of other subjects that show a cell which fitted something, turned,
            moved, re-compressed or photographed again; ``None`` where the pictures were not compared.
        near_copies: these pairs, at most 50.
        near_note: how far the pictures were compared, in words.
    """

    summary: str
    found: bool
    subjects: tuple[str, ...] = ()
    related_subjects: tuple[str, ...] = ()
    num_subjects: int = 0
    num_related_subjects: int = 0
    num_by_role: dict[str, int] = Field(default_factory=dict)
    num_cells: int = 0
    num_copies: int = 0
    num_near_copies: int | None = None
    near_copies: tuple[NearPair, ...] = ()
    near_note: str = NEAR_NOT_CHECKED


def check_leak(judged: pl.DataFrame, train: Manifest | pl.DataFrame, *, salt: str | None = None) -> Leak:
    """Look for judged subjects and files among those that fitted the model.

    Args:
        judged: the judged rows, with ``subject_id`` and, where known, ``sha256`` and ``fold``.
        train: cells that fitted the model: ``subjects.parquet`` of a bundle (``subject_id, sha256,
            role``), or
            a manifest. Of a split only the rows of the roles train, validation and calibration count; of a
            split in k folds, for each judged cell, the rows of the other folds.
        salt: of a private bundle, whose ``train`` has hashes of salt and value instead of the values.

    Raises:
        TableError: when the split is in folds and the table does not say the fold of every cell.
    """
    frame = train.frame if isinstance(train, Manifest) else train
    keys = _keys(judged, frame, salt)
    if isinstance(train, Manifest) and train.metadata.get("protocol") == "grouped-kfold":
        _check_folds(judged)
        fitting, keys = frame, keys.with_columns(judged["fold"])
    else:
        fitting, keys = _fitting(frame).with_columns(fold=None), keys.with_columns(fold=None)
    shared, related, copies = (_seen(keys, fitting, column) for column in _KEYS)
    roles = _roles(keys.filter(shared), fitting)
    return _leak(judged["subject_id"], shared, related & ~shared, int(copies.sum()), roles)


def _roles(shared: pl.DataFrame, fitting: pl.DataFrame) -> dict[str, int]:
    """Subjects on both sides by what they did there, where the training cells say so and are not in folds."""
    column = next((name for name in ("role", "split") if name in fitting.columns), None)
    if column is None or fitting["fold"].null_count() < fitting.height:
        return {}
    seen = fitting.join(shared.unique("subject_id"), on="subject_id", how="semi")
    counted = dict(seen.group_by(column).agg(pl.col("subject_id").n_unique()).iter_rows())
    return {role: counted[role] for role in FITTING if role in counted}


def _fitting(frame: pl.DataFrame) -> pl.DataFrame:
    for column in ("role", "split"):
        if column in frame.columns:
            return frame.filter(pl.col(column).is_in(FITTING))
    return frame


def _keys(judged: pl.DataFrame, train: pl.DataFrame, salt: str | None) -> pl.DataFrame:
    """For each judged row what it could be recognised by, named as in ``train``."""
    keys = judged.select(salted(judged["subject_id"], salt))
    if "sha256" in judged.columns:
        keys = keys.with_columns(salted(judged["sha256"], salt))
    if "duplicate_group" not in train.columns:
        return keys
    groups = train.select("subject_id", "duplicate_group").drop_nulls().unique("subject_id", keep="first")
    return keys.join(groups, on="subject_id", how="left", maintain_order="left")


def salted(values: pl.Series, salt: str | None) -> pl.Series:
    """Subjects or files as a private bundle of this salt names them; as they are for ``None``."""
    if salt is None:
        return values
    hashed = [value and hashlib.sha256(f"{salt}:{value}".encode()).hexdigest() for value in values]
    return pl.Series(values.name, hashed, dtype=pl.Utf8)


def _check_folds(judged: pl.DataFrame) -> None:
    if "fold" not in judged.columns or judged["fold"].null_count():
        raise TableError(
            "the training split is in folds, but the table does not say the fold of every cell",
            hint="give the pooled out-of-fold rows, which 'leukoscope train --fold all' writes",
        )


def _seen(keys: pl.DataFrame, fitting: pl.DataFrame, column: str) -> pl.Series:
    """For each row of ``keys``: is its value in ``fitting``, in another fold where there are folds?"""
    if column not in keys.columns or column not in fitting.columns:
        return pl.Series([False] * keys.height, dtype=pl.Boolean)
    where = fitting.filter(pl.col(column).is_not_null()).group_by(column).agg(pl.col("fold").unique())
    found = keys.join(where, on=column, how="left", suffix="s", maintain_order="left")
    in_folds = keys["fold"].null_count() == 0
    elsewhere = pl.col("folds").list.set_difference(pl.concat_list("fold")).list.len() > 0
    return found.select(
        (elsewhere if in_folds else pl.col("folds").is_not_null()).fill_null(False)
    ).to_series()


def _leak(
    subjects: pl.Series, shared: pl.Series, related: pl.Series, num_copies: int, roles: dict[str, int]
) -> Leak:
    fitted, kin = (subjects.filter(rows).drop_nulls().unique().sort().to_list() for rows in (shared, related))
    said = [
        text
        for number, text in (
            (len(fitted), f"{len(fitted)} of the judged subjects fitted the model{_in_words(roles)}"),
            (len(kin), f"{len(kin)} judged subjects share pictures with one that fitted it"),
            (num_copies, f"{num_copies:,} of the judged files fitted it"),
        )
        if number
    ]
    return Leak(
        summary="; ".join(said)
        or "no judged subject and no judged file is among those that fitted the model",
        found=bool(said),
        subjects=tuple(fitted[:MOST_NAMED]),
        related_subjects=tuple(kin[:MOST_NAMED]),
        num_subjects=len(fitted),
        num_related_subjects=len(kin),
        num_by_role=roles,
        num_cells=int((shared | related).sum()),
        num_copies=num_copies,
    )


def _in_words(roles: dict[str, int]) -> str:
    """What the subjects fitted.

    >>> _in_words({"train": 3, "calibration": 1})
    ' (3 its weights, 1 its temperature and thresholds)'
    """
    told = ", ".join(f"{number} {FITTED[role]}" for role, number in roles.items())
    return f" ({told})" if told else ""
