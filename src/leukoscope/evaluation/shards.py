"""A prediction table in a folder: Parquet shards, and ``manifest.json``, which says what they are.

Each shard is a prediction table by itself. Any program that reads a folder of Parquet files reads all of
them; here the manifest is read first, so that nothing is taken for whole that is not.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Literal

import polars as pl
from pydantic import ValidationError

from leukoscope.core.addresses import Place, below, read_bytes
from leukoscope.core.config import Config
from leukoscope.core.files import sha256_bytes
from leukoscope.errors import TableError

MANIFEST = "manifest.json"


class Shard(Config):
    """One file.

    Attributes:
        name: of the file.
        rows: in it.
        unreadable: those with an ``error``.
        sha256: of the file.
        inputs: SHA-256 over ids and paths of its cells, in order.
    """

    name: str
    rows: int
    unreadable: int
    sha256: str
    inputs: str


class ShardManifest(Config):
    """What ``manifest.json`` says.

    Attributes:
        schema_version: of this file.
        complete: whether all rows are there; until then ``shards`` is empty.
        run: what makes the rows what they are: bundle, views, inputs' root.
        metadata: of the prediction table.
        columns: name -> type of the rows.
        rows_per_shard: of every shard but the last.
        inputs: SHA-256 over those of the shards, in order.
        shards: in the order of the inputs.
    """

    schema_version: Literal[1] = 1
    complete: bool = False
    run: dict[str, str]
    metadata: dict[str, str]
    columns: dict[str, str]
    rows_per_shard: int
    inputs: str = ""
    shards: tuple[Shard, ...] = ()

    @property
    def num_rows(self) -> int:
        """Of all shards."""
        return sum(shard.rows for shard in self.shards)

    @property
    def num_unreadable(self) -> int:
        """Rows with an ``error``."""
        return sum(shard.unreadable for shard in self.shards)


def read_manifest(folder: Place) -> ShardManifest | None:
    """What the folder says of itself; ``None`` where it says nothing.

    Raises:
        TableError: for a manifest of another kind.
    """
    try:
        return ShardManifest.model_validate_json(read_bytes(below(folder, MANIFEST)))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise TableError(
            f"{below(folder, MANIFEST)}: is no manifest of predictions: '{key}' {first['msg'].lower()}",
            hint="update Leukoscope, or write the predictions again",
        ) from None


def read_shards(folder: Place) -> tuple[pl.DataFrame, dict[str, str]]:
    """All rows, in the order of the inputs, and the metadata.

    Raises:
        TableError: when there is no manifest, rows are missing, or a shard is not the file it was.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        raise TableError(
            f"{folder}: expected a prediction table, found a folder without {MANIFEST}",
            hint="name a file, or the folder that 'leukoscope predict --engine ray' wrote",
        )
    if not manifest.complete:
        raise TableError(
            f"{folder}: rows are missing: its run was interrupted",
            hint="go on with it: leukoscope predict ... --engine ray --resume",
        )
    return pl.concat(shard_rows(folder, manifest)), dict(manifest.metadata)


def shard_rows(
    folder: Place, manifest: ShardManifest, columns: Sequence[str] | None = None
) -> Iterator[pl.DataFrame]:
    """The rows of one shard after the other, all columns or these.

    Raises:
        TableError: when a shard is missing or not the file that it was.
    """
    for shard in manifest.shards:
        place = below(folder, shard.name)
        try:
            data = read_bytes(place)
        except FileNotFoundError:
            raise TableError(f"{place}: is missing", hint="copy the folder again") from None
        if sha256_bytes(data) != shard.sha256:
            raise TableError(
                f"{place}: is not the file that {MANIFEST} lists (its SHA-256 differs)",
                hint="copy the folder again",
            )
        yield pl.read_parquet(io.BytesIO(data), columns=None if columns is None else list(columns))
