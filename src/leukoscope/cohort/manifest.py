"""The manifest: one row a cell, whose it is and what was measured; a split is a manifest with roles.

Parquet. The columns are :data:`COLUMNS`; the file's metadata say where the images lie (``root``), what the
classes are, where the cells come from and, for a split, how it was made.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from leukoscope.cohort.source import ImageSource, open_source
from leukoscope.core.files import atomic
from leukoscope.errors import ManifestError

SCHEMA_VERSION = 1

SPLITS = ("train", "validation", "calibration", "test", "unlabelled")
"""The roles a cell can have in a split."""

UNREADABLE = "unreadable: "
"""How ``quality`` begins for a file that could not be decoded; the reason follows."""

COLUMNS: dict[str, type[pl.DataType]] = {
    "cell_id": pl.String,
    "path": pl.String,
    "subject_id": pl.String,
    "label": pl.String,
    "source": pl.String,
    "sha256": pl.String,
    "width": pl.Int32,
    "height": pl.Int32,
    "cell_width": pl.Int32,
    "cell_height": pl.Int32,
    "cell_area": pl.Int32,
    "brightness": pl.Float32,
    "stain": pl.Float32,
    "quality": pl.String,
    "fold": pl.Int32,
    "photograph_id": pl.String,
    "duplicate_group": pl.String,
}
"""Columns of every manifest, in order. ``label``, ``subject_id`` and the sizes are null where unknown;
``source`` is the part of the data set (C-NMC: ``training``, ``preliminary``, ``final``); sizes are in pixels;
``quality`` is empty for a good cell, else its flags joined by commas, or ``unreadable: <reason>``. A split
adds ``split``."""

_NEVER_NULL = ("cell_id", "path", "source", "sha256", "quality")


@dataclass(frozen=True, eq=False)
class Manifest:
    """Many cells and whose they are.

    Args:
        frame: one row a cell, columns as :data:`COLUMNS` (and ``split``).
        root: the folder or zip file that ``path`` is relative to.
        metadata: text by key: ``kind`` (``manifest`` or ``split``), ``layout``, ``source_name``, ``classes``
            and ``positive_classes`` (JSON lists), ``synthetic``, ``leaky``, ``licence``, ``citation``; for a
            split also ``protocol``, ``unit``, ``seed``, ``folds``.

    Raises:
        ManifestError: when a column is missing or of another type, an id is empty or twice there, or a label
            is not among the classes.
    """

    frame: pl.DataFrame
    root: Path
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "frame", _checked(self.frame, set(self.classes), self.is_split))

    @classmethod
    def read(cls, path: Path | str) -> Manifest:
        """Read a manifest or split; a ``root`` that is relative is meant from the file's own folder, so that
        a manifest can travel with its images.

        Raises:
            ManifestError: when the file is none, or was written by a newer Leukoscope.
        """
        try:
            metadata = dict(pl.read_parquet_metadata(path))
            frame = pl.read_parquet(path)
        except FileNotFoundError:
            raise ManifestError(
                f"{path}: no such file", hint="make one with: leukoscope data index"
            ) from None
        except (OSError, pl.exceptions.PolarsError) as error:
            reason = str(error).splitlines()[0]
            raise ManifestError(f"{path}: expected a Parquet file: {reason}", hint=_MAKE_ONE) from None
        metadata.pop("ARROW:schema", None)
        _check_schema(path, metadata)
        try:
            return cls(frame, Path(path).absolute().parent / metadata["root"], metadata)
        except ManifestError as error:
            raise ManifestError(f"{path}: {error.message}", hint=error.hint) from None

    def write(self, path: Path | str) -> Path:
        """Write it as Parquet, whole or not at all, and give the path back."""
        metadata = {
            **self.metadata,
            "kind": "split" if self.is_split else "manifest",
            "schema_version": str(SCHEMA_VERSION),
            "root": str(self.root),
        }
        with atomic(path) as temporary:
            self.frame.write_parquet(temporary, metadata=metadata)
        return Path(path)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, negative ones first; C-NMC: ``("normal", "blast")``."""
        return tuple(json.loads(self.metadata.get("classes", '["normal", "blast"]')))

    @property
    def positive_classes(self) -> tuple[str, ...]:
        """Those of :attr:`classes` that count as blast."""
        return tuple(json.loads(self.metadata.get("positive_classes", '["blast"]')))

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """Index into :attr:`classes` for each row, -1 where the label is unknown."""
        index = pl.DataFrame({"label": list(self.classes), "index": list(range(len(self.classes)))})
        joined = self.frame.select("label").join(index, on="label", how="left", maintain_order="left")
        return joined["index"].fill_null(-1).to_numpy().astype(np.int64)

    @property
    def is_split(self) -> bool:
        """Whether the rows have roles."""
        return "split" in self.frame.columns

    @property
    def is_leaky(self) -> bool:
        """Whether a subject may be on both sides: cells without subjects, or a split by image."""
        return self.metadata.get("leaky") == "true"

    @property
    def is_synthetic(self) -> bool:
        """Whether the cells were drawn by a program."""
        return self.metadata.get("synthetic") == "true"

    def fingerprint(self) -> str:
        """SHA-256 over the sorted rows (cell_id, sha256, label, subject_id): their order does not matter."""
        rows = sorted(map(json.dumps, self.frame.select("cell_id", "sha256", "label", "subject_id").rows()))
        return hashlib.sha256("\n".join(rows).encode()).hexdigest()

    def with_frame(self, frame: pl.DataFrame, **metadata: str) -> Manifest:
        """The same cohort with other rows or columns, and these metadata added."""
        return Manifest(frame, self.root, {**self.metadata, **metadata})

    def part(self, split: str) -> Manifest:
        """The rows of one role.

        Raises:
            ManifestError: when this is no split, or there is no role of that name.
        """
        if not self.is_split:
            raise ManifestError(f"expected a split to take '{split}' from, got a manifest", hint=_SPLIT_IT)
        if split not in SPLITS:
            raise ManifestError(f"unknown part '{split}'", hint=f"known: {', '.join(SPLITS)}")
        return self.with_frame(self.frame.filter(pl.col("split") == split))

    def images(self) -> ImageSource:
        """The files that ``path`` names.

        Raises:
            LayoutError: when they are no longer where they were.
        """
        return self._images

    @cached_property
    def _images(self) -> ImageSource:
        return open_source(self.root)

    def read_bytes(self, path: str) -> bytes:
        """The bytes of the image file ``path`` (of the column of that name).

        Raises:
            ImageError: when it cannot be read.
        """
        return self._images.read(path)

    def __len__(self) -> int:
        return self.frame.height


_MAKE_ONE = 'make a manifest with "leukoscope data index SOURCE -o MANIFEST.parquet"'
_SPLIT_IT = 'make one with "leukoscope data split"'


def _check_schema(path: Path | str, metadata: Mapping[str, str]) -> None:
    if metadata.get("kind") not in {"manifest", "split"} or "root" not in metadata:
        raise ManifestError(
            f"{path}: expected a manifest or a split, got another Parquet file", hint=_MAKE_ONE
        )
    version = metadata.get("schema_version", "")
    if not version.isdecimal() or int(version) > SCHEMA_VERSION:
        raise ManifestError(
            f"{path}: schema version {version or 'none'}; this Leukoscope reads up to {SCHEMA_VERSION}",
            hint="update Leukoscope, or index the images again",
        )


def _checked(frame: pl.DataFrame, classes: set[str], is_split: bool) -> pl.DataFrame:
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise ManifestError(f"columns are missing: {', '.join(missing)}", hint=_MAKE_ONE)
    try:
        frame = frame.with_columns(pl.col(name).cast(kind) for name, kind in COLUMNS.items())
    except pl.exceptions.PolarsError as error:
        raise ManifestError(
            f"a column of another type: {str(error).splitlines()[0]}", hint=_MAKE_ONE
        ) from None
    empty = [name for name in _NEVER_NULL if frame[name].null_count()]
    if empty:
        raise ManifestError(f"empty values in: {', '.join(empty)}", hint=_MAKE_ONE)
    twice = frame["cell_id"].filter(frame["cell_id"].is_duplicated())
    if len(twice):
        raise ManifestError(f"cell_id '{twice[0]}' is there twice", hint="give every cell its own id")
    _check_words("label", frame["label"], classes)
    if is_split:
        _check_words("split", frame["split"], set(SPLITS))
    return frame


def _check_words(column: str, values: pl.Series, known: set[str]) -> None:
    strange = sorted(set(values.drop_nulls().unique()) - known)
    if strange:
        raise ManifestError(f"{column} '{strange[0]}' is none of: {', '.join(sorted(known))}", hint=_MAKE_ONE)
