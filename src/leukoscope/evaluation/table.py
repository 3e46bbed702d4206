"""The prediction table: one row for every input, and the only thing that passes from a model to judgement.

A table from any other program will do, as long as it has ``cell_id, subject_id, label, blast_probability``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import polars as pl

from leukoscope.cohort.classes import KNOWN
from leukoscope.cohort.smears import ORIGIN_COLUMNS
from leukoscope.core.addresses import Place, is_address, place_of
from leukoscope.core.files import atomic
from leukoscope.errors import TableError
from leukoscope.evaluation.shards import read_shards

COLUMNS: dict[str, type[pl.DataType]] = {
    "cell_id": pl.Utf8,
    "path": pl.Utf8,
    "sha256": pl.Utf8,
    "subject_id": pl.Utf8,
    "label": pl.Utf8,
    "split": pl.Utf8,
    "fold": pl.Int32,
    "decision": pl.Utf8,
    "reason": pl.Utf8,
    "blast_probability": pl.Float64,
    "raw_probability": pl.Float64,
    "ruler_probability": pl.Float64,
    "novelty": pl.Float32,
    "quality": pl.Utf8,
    "cell_width": pl.Int32,
    "cell_height": pl.Int32,
    "cell_area": pl.Int32,
    "brightness": pl.Float32,
    "stain": pl.Float32,
    "bundle_id": pl.Utf8,
    "error": pl.Utf8,
}
"""Columns of a table that Leukoscope writes, in their order; those of :func:`class_columns` follow."""

REQUIRED = ("cell_id", "subject_id", "label", "blast_probability")
PROBABILITIES = ("blast_probability", "raw_probability", "ruler_probability")
CLASSES = ("normal", "blast")
POSITIVE = ("blast",)
SUFFIXES = (".parquet", ".csv", ".jsonl")
STAMPS = ("leaky", "synthetic")


def class_columns(classes: Iterable[str]) -> dict[str, type[pl.DataType]]:
    """The columns that a table has for each class: its probability (0..1) and its logit.

    >>> list(class_columns(["normal", "blast"]))
    ['probability_normal', 'probability_blast', 'logit_normal', 'logit_blast']
    """
    names = list(classes)
    probabilities: dict[str, type[pl.DataType]] = {f"probability_{name}": pl.Float64 for name in names}
    return probabilities | {f"logit_{name}": pl.Float32 for name in names}


def stamps(metadata: Mapping[str, str]) -> str:
    """What must be said of everything made from these data, as the column ``stamp`` of a CSV says it.

    >>> stamps({"leaky": "true", "synthetic": "true"})
    'LEAKY,SYNTHETIC'
    """
    return ",".join(name.upper() for name in STAMPS if metadata.get(name) == "true")


FORMULA = "^'*[=+\\-@\\t\\r]"
"""Texts that a spreadsheet would take for a formula, and those that look like one made safe."""


def safe_texts(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows for CSV: an apostrophe before texts that a spreadsheet would take for a formula.

    >>> safe_texts(pl.DataFrame({"cell_id": ["=1+1", "a", "'-b"]}))["cell_id"].to_list()
    ["'=1+1", 'a', "''-b"]
    """
    return frame.with_columns(
        pl.when(pl.col(name).str.contains(FORMULA)).then("'" + pl.col(name)).otherwise(name).alias(name)
        for name in _texts(frame)
    )


def true_texts(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows of a CSV without the apostrophes of :func:`safe_texts`."""
    return frame.with_columns(
        pl.when(pl.col(name).str.contains("^'" + FORMULA[1:]))
        .then(pl.col(name).str.slice(1))
        .otherwise(name)
        .alias(name)
        for name in _texts(frame)
    )


def _texts(frame: pl.DataFrame) -> list[str]:
    return [name for name, kind in frame.schema.items() if kind == pl.String]


@dataclass(frozen=True)
class PredictionTable:
    """Predictions, one row for every input, in input order.

    Attributes:
        frame: the rows. Known columns have the types of :data:`COLUMNS` and of
            :data:`~leukoscope.cohort.smears.ORIGIN_COLUMNS`; others are kept as they came.
        metadata: facts about all rows, as text: ``bundle_id``, ``leaky`` and ``synthetic`` (``"true"`` or
            ``"false"``), ``root`` (the folder or zip that ``path`` starts from), ``classes`` and
            ``positive_classes`` (JSON lists).

    Raises:
        TableError: for a missing column, a value that is not of the column's type, or a probability beyond
            0..1.

    >>> rows = {"cell_id": ["a", "b"], "subject_id": ["1", "H1"], "label": ["blast", "normal"]}
    >>> table = PredictionTable(pl.DataFrame(rows | {"blast_probability": [0.9, None]}))
    >>> table.y, table.p, table.num_unreadable
    (array([ True]), array([0.9]), 1)
    """

    frame: pl.DataFrame
    metadata: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "frame", _checked(self.frame))

    @classmethod
    def read(cls, path: Path | str, *, positive: Sequence[str] = ()) -> Self:
        """Read a table from CSV, Parquet or JSON lines, told apart by the ending, or from a folder of shards.

        Where the file does not name its classes, ``ALL`` and ``HEM`` are blast and normal, in any case.

        Args:
            path: the file, or the folder that ``predict --engine ray`` wrote, which may be an address.
            positive: names of the classes that count as blast, where the file itself does not say so and they
                are not called ``blast``.

        Raises:
            TableError: when the file is not there or not such a table.
        """
        path = place_of(path)
        frame, metadata = _read(path)
        if positive:
            _check_named(path, frame, positive)
            metadata["positive_classes"] = json.dumps(list(positive))
        elif "label" in frame.columns and not _names_classes(frame, metadata):
            frame = frame.with_columns(_known_labels(frame["label"]))
        try:
            return cls(frame, metadata)
        except TableError as error:
            raise TableError(f"{path}: {error.message}", hint=error.hint) from None

    def write(self, path: Path | str) -> Path:
        """Write the table atomically, in the format of the ending, and give its path.

        Only Parquet keeps the metadata. CSV and JSON lines get a column ``stamp`` where there is one to give.

        Raises:
            TableError: for another ending.
        """
        path = Path(path)
        _check_suffix(path)
        with atomic(path) as temporary:
            if path.suffix == ".parquet":
                self.frame.write_parquet(temporary, metadata=dict(self.metadata))
            elif path.suffix == ".csv":
                safe_texts(self._stamped()).write_csv(temporary)
            else:
                self._stamped().write_ndjson(temporary)
        return path

    def _stamped(self) -> pl.DataFrame:
        stamp = stamps(self.metadata)
        return self.frame.with_columns(pl.lit(stamp).alias("stamp")) if stamp else self.frame

    @property
    def is_leaky(self) -> bool:
        """Whether the cells were not kept apart by subject somewhere on their way."""
        return self.metadata.get("leaky") == "true"

    @property
    def is_synthetic(self) -> bool:
        """Whether the cells were drawn, not photographed."""
        return self.metadata.get("synthetic") == "true"

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The K class names: of the metadata, else of the columns ``probability_<class>``, else C-NMC's."""
        if "classes" in self.metadata:
            return tuple(json.loads(self.metadata["classes"]))
        prefix = "probability_"
        found = [name.removeprefix(prefix) for name in self.frame.columns if name.startswith(prefix)]
        if found:
            return tuple(found)
        labels = self.frame["label"].drop_nulls().unique().sort().to_list()
        if "positive_classes" in self.metadata:
            return (*(name for name in labels if name not in self.positive_classes), *self.positive_classes)
        return CLASSES

    @cached_property
    def positive_classes(self) -> tuple[str, ...]:
        """Those classes that count as blast."""
        if "positive_classes" in self.metadata:
            return tuple(json.loads(self.metadata["positive_classes"]))
        return POSITIVE

    @cached_property
    def judged(self) -> pl.DataFrame:
        """The rows that metrics are made of: labelled, and with a probability.

        Raises:
            TableError: for a label that is none of the classes.
        """
        judged = self.frame.filter(pl.col("label").is_not_null() & ~self._unreadable)
        _check_labels(judged["label"], self.classes, self.positive_classes)
        return judged

    @property
    def _unreadable(self) -> pl.Expr:
        missing = pl.col("blast_probability").is_null()
        return missing | pl.col("error").is_not_null() if "error" in self.frame.columns else missing

    @property
    def unreadable(self) -> pl.DataFrame:
        """Rows with an error or without a probability: they are in no metric."""
        return self.frame.filter(self._unreadable)

    @property
    def num_unreadable(self) -> int:
        """How many rows are :attr:`unreadable`."""
        return self.unreadable.height

    @property
    def num_unlabelled(self) -> int:
        """Rows with a probability but without a label."""
        return self.frame.filter(pl.col("label").is_null() & ~self._unreadable).height

    @cached_property
    def y(self) -> npt.NDArray[np.bool_]:
        """For every judged row, shape (N,): is its label a positive class?"""
        return self.judged["label"].is_in(list(self.positive_classes)).to_numpy()

    @cached_property
    def p(self) -> npt.NDArray[np.float64]:
        """For every judged row, shape (N,): ``blast_probability``, 0..1."""
        return self.judged["blast_probability"].to_numpy()

    @cached_property
    def subjects(self) -> npt.NDArray[np.str_]:
        """For every judged row, shape (N,): ``subject_id``, empty where unknown."""
        return self.judged["subject_id"].fill_null("").to_numpy().astype(np.str_)


def _check_named(path: Place, frame: pl.DataFrame, positive: Sequence[str]) -> None:
    found = (
        frame["label"].cast(pl.Utf8).drop_nulls().unique().sort().to_list()
        if "label" in frame.columns
        else []
    )
    if found and not set(found) & set(positive):
        raise TableError(
            f"{path}: no cell has the label {' or '.join(map(repr, positive))}. Received: {', '.join(found)}",
            hint="name labels that are there: --positive NAME,NAME",
        )


def _names_classes(frame: pl.DataFrame, metadata: Mapping[str, str]) -> bool:
    named = any(name.startswith("probability_") for name in frame.columns)
    return named or bool({"classes", "positive_classes"} & set(metadata))


def _known_labels(labels: pl.Series) -> pl.Series:
    """``all`` and ``hem`` as blast and normal where all labels are among the known ones."""
    lower = labels.cast(pl.Utf8).str.to_lowercase()
    understood = lower.drop_nulls().is_in([*KNOWN, ""]).all()
    return lower.replace(KNOWN).alias("label") if understood else labels


def _read(path: Place) -> tuple[pl.DataFrame, dict[str, str]]:
    if is_address(path) or Path(path).is_dir():
        return read_shards(path)
    path = Path(path)
    _check_suffix(path)
    if not path.is_file():
        raise TableError(f"{path}: no such file", hint="give a table that 'leukoscope predict' wrote")
    try:
        if path.suffix == ".parquet":
            metadata = dict(pl.read_parquet_metadata(path))
            metadata.pop("ARROW:schema", None)
            return pl.read_parquet(path), metadata
        if path.suffix == ".csv":
            return _unstamped(true_texts(pl.read_csv(path, infer_schema=False)))
        return _unstamped(pl.read_ndjson(path, infer_schema_length=None))
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0]
        hint = "separate columns by commas" if path.suffix == ".csv" else "check the file"
        raise TableError(f"{path}: cannot be read as {path.suffix[1:]}: {reason}", hint=hint) from None


def _unstamped(frame: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, str]]:
    if "stamp" not in frame.columns:
        return frame, {}
    said = {part.strip() for text in frame["stamp"].drop_nulls().unique() for part in str(text).split(",")}
    return frame.drop("stamp"), {name: "true" for name in STAMPS if name.upper() in said}


def _check_suffix(path: Path) -> None:
    if path.suffix not in SUFFIXES:
        expected = ", ".join(SUFFIXES)
        raise TableError(f"{path}: expected a table ending in {expected}, found '{path.suffix}'")


def _checked(frame: pl.DataFrame) -> pl.DataFrame:
    missing = [name for name in REQUIRED if name not in frame.columns]
    if missing:
        raise TableError(
            f"expected the columns {', '.join(REQUIRED)}; missing: {', '.join(missing)}. "
            f"Received: {', '.join(frame.columns)}",
            hint="rename the columns, or add them; an unknown label or subject is an empty value",
        )
    frame = frame.with_columns(_typed(column) for column in frame)
    for name in PROBABILITIES:
        if name in frame.columns:
            _check_probability(frame, name)
    return frame


def _type_of(name: str) -> type[pl.DataType] | None:
    if name.startswith("probability_"):
        return pl.Float64
    return pl.Float32 if name.startswith("logit_") else (COLUMNS | ORIGIN_COLUMNS).get(name)


def _typed(column: pl.Series) -> pl.Series:
    wanted = _type_of(column.name)
    if wanted is None:
        return column
    try:
        typed = column.cast(wanted)
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]
        raise TableError(f"column '{column.name}': {reason}", hint="leave unknown values empty") from None
    if wanted == pl.Utf8:
        return typed.replace("", None)
    return typed.fill_nan(None) if wanted.is_float() else typed


def _check_probability(frame: pl.DataFrame, name: str) -> None:
    wrong = frame.filter(~pl.col(name).is_between(0.0, 1.0))
    if wrong.height:
        cell, value = wrong.row(0)[wrong.get_column_index("cell_id")], wrong[name][0]
        raise TableError(
            f"{name} must lie in 0..1; {wrong.height:,} rows do not. Received: {value!r} for cell '{cell}'",
            hint="write probabilities, not logits or per cent",
        )


def _check_labels(labels: pl.Series, classes: Sequence[str], positive: Sequence[str]) -> None:
    found = labels.unique().sort().to_list()
    missing = sorted(set(positive) - set(classes))
    if missing:
        raise TableError(
            f"expected '{missing[0]}' among the classes. Received: {', '.join(classes)}",
            hint=f"say which count as blast, for example --positive {classes[-1]}",
        )
    if set(found) - set(classes):
        raise TableError(
            f"expected labels among {', '.join(classes)}. Received: {', '.join(map(repr, found))}",
            hint=f"say which count as blast, for example --positive {found[-1]}",
        )
